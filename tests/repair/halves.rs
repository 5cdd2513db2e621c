//! Every half of what was done last, repaired and judged.

use std::{collections::BTreeSet, sync::Mutex};

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use server::clock::Clock;
use sse_edge::config::Topology;
use store::repair::{Note, Report};
use tests::world::{World, sweep};

use super::{
    cut::{self, Rows},
    deeds::{DEEDS, Deed},
    verdict::{self, Case},
};

/// Cases that are judged side by side.
const SIDE_BY_SIDE: usize = 12;

/// What a repair did, row by row.
pub(crate) async fn repair(world: &World, dry: bool) -> (Report, BTreeSet<String>) {
    let told = Mutex::new(BTreeSet::new());
    let tell = |note: Note<'_>| {
        let line = match note {
            Note::Put(key) => format!("put {key}"),
            Note::Delete(key) => format!("delete {key}"),
            Note::PassedOver(error) => panic!("{error:?}"),
            Note::Looked(_) => return,
        };
        told.lock().unwrap().insert(line);
    };
    let report = world.table.repair(Clock::system().now(), dry, &tell).await.unwrap();
    (report, told.into_inner().unwrap())
}

/// The rows but for what each repair makes anew.
fn but_heads(rows: Rows) -> Rows {
    rows.into_iter().filter(|((_, sk), _)| sk != "HEAD").collect()
}

async fn every_half_of(deeds: impl Iterator<Item = &'static Deed>) {
    let original = World::start_idle(Topology::PerEdge, 0).await;
    let mut world = World::start_idle(Topology::PerEdge, 0).await;
    let mut cases = Vec::new();
    for deed in deeds {
        let done = cut::done(&original, *deed).await;
        let cuts = done.cuts();
        println!("{}: {} cases of {:?}", deed.name, cuts.len(), done.changed);
        for cut in cuts {
            // Each other one: the cuts are many enough for both.
            let (cast, rows) = done.cut(cut, &world.table, &cases.len().to_string()).await;
            cut::put(&world, rows).await;
            cases.push(Case::new(&world, *deed, cut, cast, cut.count_ones() % 2 == 0).await);
        }
    }
    repair(&world, false).await;
    let repaired = but_heads(cut::all(&world).await);
    let (_, again) = repair(&world, false).await;
    assert!(again.iter().all(|line| line.starts_with("put U#") && line.ends_with(" HEAD")), "{again:?}");
    assert_eq!(repaired, but_heads(cut::all(&world).await), "a repaired table is not repaired again");
    world.add_edge(Topology::PerEdge).await;
    judge(&world, cases).await;
}

async fn judge(world: &World, cases: Vec<Case>) {
    let many = cases.len();
    let side_by_side = async |what: &str, cases: Vec<Case>, step: u8| -> Vec<Case> {
        let stepped = stream::iter(cases)
            .map(|mut case| async move {
                let stepped = match step {
                    0 => case.list(world).await,
                    1 => case.go_on(world).await,
                    _ => case.judge(world).await,
                };
                stepped.with_context(|| format!("{case}")).map(|()| case)
            })
            .buffer_unordered(SIDE_BY_SIDE)
            .collect::<Vec<_>>()
            .await;
        let (good, wrong): (Vec<_>, Vec<_>) = stepped.into_iter().partition(Result::is_ok);
        let told: Vec<String> =
            wrong.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
        assert!(told.is_empty(), "{what}: {} of {many} cases:\n{}", told.len(), told.join("\n"));
        good.into_iter().map(Result::unwrap).collect()
    };
    let cases = side_by_side("repaired", cases, 0).await;
    sweep(&world.fanout(Clock::system())).await;
    let cases = side_by_side("going on", cases, 1).await;
    side_by_side("in the end", cases, 2).await;
    verdict::nothing_is_owed(world).await;
    verdict::no_secret_is_left(world).await;
    println!("{many} cases");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_half_of_what_a_group_did_last_converges() {
    every_half_of(DEEDS.iter().filter(|deed| !deed.direct)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_half_of_what_two_did_last_converges() {
    every_half_of(DEEDS.iter().filter(|deed| deed.direct)).await;
}
