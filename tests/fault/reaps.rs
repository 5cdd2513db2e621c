//! A reaper dies while it takes away what a dead edge has left.

use std::time::Duration;

use anyhow::ensure;
use client::sse::Stream;
use domain::{ids::BootId, limits};
use serde_json::json;
use server::clock::Clock;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault, Faults, Made, Moment},
    world::{World, until},
};

use super::{
    cases::{kinds, play_all},
    stage::until_death,
};

/// Each has a world of its own, since a reaper takes from everybody.
const SIDE_BY_SIDE: usize = 12;
/// After which a queue that nobody holds is nobody's.
const AWHILE: Duration = limits::QUEUE_IDLE.saturating_add(Duration::from_hours(1));
/// A first reaper gives the lease back, and the second takes the queue away.
const REAPERS: usize = 2;

/// What happens to which of the reapers, at which call.
type Strike = (usize, Made, Moment);

async fn dies_at_any_call(topology: Topology) {
    let mut cases: Vec<Strike> = Vec::new();
    for (reaper, made) in play(topology, None).await.unwrap().made.into_iter().enumerate() {
        for (made, many) in kinds(made) {
            println!("{topology:?}, reaper {reaper}: {made} × {many}");
            cases.extend([Moment::Before, Moment::After].map(|moment| (reaper, made.clone(), moment)));
        }
    }
    let plays = cases.iter().map(|case| (format!("{case:?}"), play(topology, Some(case))));
    let struck = play_all(plays, SIDE_BY_SIDE).await.iter().filter(|played| played.struck).count();
    println!("{topology:?}: {} cases of dying reapers, {struck} of them at a call that came", cases.len());
    // Whether one that has nothing to do still beats and looks is a matter of time.
    assert!(2 * struck > cases.len(), "what is to strike does not");
}

/// What came of a case in which nothing was wrong.
struct Played {
    /// Whether the fault has struck.
    struck: bool,
    /// The calls that each reaper has made.
    made: Vec<Vec<Made>>,
}

/// An edge dies with bob's stream; days pass, and reapers come; then bob does.
async fn play(topology: Topology, strike: Option<&Strike>) -> anyhow::Result<Played> {
    let world = World::start(topology, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let list = world.as_user("bob").get("/v1/threads").await.body;
    let cursor = list["cursor"].as_str().unwrap();
    leave_a_lease_behind(&world, topology, cursor).await?;
    alice.say(&thread, "while bob is away").await;

    let mut played = Played { struck: true, made: Vec::new() };
    for nth in 0..REAPERS {
        let faults = Faults::default();
        if let Some((_, made, moment)) = strike.filter(|(reaper, ..)| *reaper == nth) {
            faults.on(Call::like(made.clone()), Fault::Die(*moment));
        }
        let reaper = world.reaper(in_days(nth), faults).await;
        // One whose forerunner has died gives back, and takes nothing away.
        let gives = nth == 0 || strike.is_some_and(|(reaper, ..)| *reaper == 0);
        let done = async { if gives { given_back(&world).await } else { nothing_is_left(&world).await } };
        until_death(&reaper.faults, done).await;
        reaper.kill();
        // What an observer does after half a minute.
        world.table.remove_edge(&reaper.edge.boot()).await?;
        played.struck &= reaper.faults.have_struck();
        played.made.push(reaper.faults.take());
    }
    let last = world.reaper(in_days(REAPERS), Faults::default()).await;
    nothing_is_left(&world).await;
    last.kill();

    let edge = world.edge(topology, Faults::default()).await;
    let mut bob = Stream::open(edge.address, &world.token("bob"), Some(cursor)).await;
    ensure!(bob.next().await.event == "hello");
    ensure!(bob.expect("message").await.data["text"] == "while bob is away");
    alice.say(&thread, "last").await;
    ensure!(bob.expect("message").await.data["text"] == "last");
    Ok(played)
}

async fn leave_a_lease_behind(world: &World, topology: Topology, cursor: &str) -> anyhow::Result<()> {
    let edge = world.edge(topology, Faults::default()).await;
    let mut bob = Stream::open(edge.address, &world.token("bob"), Some(cursor)).await;
    ensure!(bob.next().await.event == "hello");
    let boot = edge.edge.boot();
    until("the edge holds the lease", async || held(world).await == [Some(boot.clone())]).await;
    edge.kill();
    world.table.remove_edge(&boot).await?;
    Ok(())
}

/// Who holds bob's leases.
async fn held(world: &World) -> Vec<Option<BootId>> {
    let leases = world.leases("bob").await;
    leases.into_iter().map(|lease| lease.holder).collect()
}

async fn given_back(world: &World) {
    until("nobody holds the queue, or it is gone", async || {
        held(world).await == [None] || world.registered().await.is_empty()
    })
    .await;
}

async fn nothing_is_left(world: &World) {
    until("the registry is empty", async || world.registered().await.is_empty()).await;
    until("all queues are gone", async || world.queues_of_users().await.is_empty()).await;
}

fn in_days(nth: usize) -> Clock {
    let passed = AWHILE * u32::try_from(nth + 1).unwrap();
    Clock::fixed(Clock::system().now() + passed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_user_is_reaped_whichever_reaper_dies() {
    dies_at_any_call(Topology::PerUser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_an_edge_is_reaped_whichever_reaper_dies() {
    dies_at_any_call(Topology::PerEdge).await;
}
