//! One row of each transaction becomes visible late: every row of every kind of write, with and without the death of the
//! writer. Meanwhile everybody lists, opens streams, writes, and asks again with the same key.

use std::{sync::Arc, thread};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use server::aws::Configs;
use sse_edge::config::EdgeArgs;
use tokio::time::{Duration, sleep};

use crate::{
    actor::Actor,
    cloud::weather::Weather,
    deployment::Fleet,
    device::Device,
    history::Said,
    lists,
    stage::{Outcome, Stage},
};

/// A kind of write.
#[derive(Debug, Clone, Copy)]
enum Write {
    DirectMessage,
    GroupMessage,
    Edit,
    Delete,
    React,
    Retitle,
    Add,
    Remove,
    Leave,
    Rejoin,
    CreateDirect,
    CreateGroup,
    DirectSeen,
    GroupSeen,
    Block,
    AddAll,
}

use Write::{
    Add, AddAll, Block, CreateDirect, CreateGroup, Delete, DirectMessage, DirectSeen, Edit, GroupMessage,
    GroupSeen, Leave, React, Rejoin, Remove, Retitle,
};

const WRITES: [Write; 16] = [
    DirectMessage,
    GroupMessage,
    Edit,
    Delete,
    React,
    Retitle,
    Add,
    Remove,
    Leave,
    Rejoin,
    CreateDirect,
    CreateGroup,
    DirectSeen,
    GroupSeen,
    Block,
    AddAll,
];

/// How late a row is, whether the answer comes before it, and whether the writer dies behind its transaction.
#[derive(Debug, Clone, Copy)]
struct How {
    ms: u64,
    early: bool,
    dies: bool,
}

const HOWS: [How; 4] = [
    How { ms: 20, early: true, dies: false },
    How { ms: 700, early: true, dies: true },
    How { ms: 2_000, early: true, dies: false },
    How { ms: 2_000, early: false, dies: true },
];

/// More rows than any of the transactions has.
const MOST: usize = 8;
/// As in `run.rs`: what is owed is delivered, and every cursor compared.
const REST: Duration = Duration::from_secs(170);

#[test]
fn every_row_of_every_write_may_be_late() {
    let base = crate::base();
    thread::scope(|scope| {
        let all = WRITES.map(|write| {
            let base = &base;
            scope.spawn(move || each_row(write, base))
        });
        let rows: Vec<usize> = all.into_iter().map(|one| one.join().expect("no panic")).collect();
        assert!(rows.iter().all(|rows| *rows >= 2), "each is a transaction of several rows: {rows:?}");
    });
}

/// How many rows of a write were late, each in a run of its own.
fn each_row(write: Write, base: &Configs) -> usize {
    for nth in 0..MOST {
        for (n, how) in HOWS.into_iter().enumerate() {
            let seed = u64::try_from(nth * HOWS.len() + n).expect("few");
            // On a thread of its own, as all runs are.
            let run = || run(seed, write, (nth, how), base);
            let (were_late, outcome) = thread::scope(|own| own.spawn(run).join()).expect("no panic");
            assert!(
                outcome.wrong.is_empty(),
                "{write:?}, row {nth}, {how:?}, seed {seed}: {:#?}",
                outcome.wrong
            );
            if were_late == 0 {
                return nth;
            }
        }
    }
    MOST
}

fn run(seed: u64, write: Write, late: (usize, How), base: &Configs) -> (usize, Outcome) {
    rng::seed(seed);
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O");
    let ended = runtime.block_on(simulate(seed, write, late, base));
    runtime.shutdown_background();
    ended
}

async fn simulate(seed: u64, write: Write, (nth, how): (usize, How), base: &Configs) -> (usize, Outcome) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut stage = Stage::set(seed, base, false, Fleet::of(EdgeArgs::default(), 2)).await;
    stage.people(&mut rng, &(2..=2), 0.0);
    stage.calm.cancel();
    let early = if how.early { 1.0 } else { 0.0 };
    let weather = Weather { late: 0.0, early, ..Weather::CALM };
    stage.deployment.cloud.state().weather = weather;
    for actor in &mut stage.actors {
        actor.doubles = 0.5;
    }
    let actors = stage.actors.clone();
    let group =
        actors[0].create(json!({"members": ["user1", "user2"], "title": "all"})).await.expect("a group");
    let direct = actors[0].create(json!({"members": ["user1"]})).await.expect("a thread");
    for (n, thread) in [&group, &direct, &group, &direct].into_iter().enumerate() {
        actors[n % 2].say(thread, &format!("begun {n}")).await;
    }
    if matches!(write, Rejoin | AddAll) {
        actors[0].change(&group, &actors[2].user, false).await;
    }
    // One device of each user is there from the beginning, the other one opens in the middle.
    let devices: Vec<_> = stage.devices.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    for (first, _) in &devices {
        stage.tracker.spawn(first.clone().run(rng.random(), stage.calm.clone(), stage.stop.clone()));
    }
    sleep(Duration::from_secs(5)).await;
    let before = {
        let mut state = stage.deployment.cloud.state();
        state.rows.late = Some((nth, Duration::from_millis(how.ms)));
        state.rows.were_late
    };
    if how.dies {
        for at in 0..stage.deployment.apis() {
            let deployment = stage.deployment.clone();
            stage.tracker.spawn(async move { deployment.doom_api(at, 1).await });
        }
    }
    let threads = (group.clone(), direct.clone());
    let writing = stage.tracker.spawn(write_once(write, actors.clone(), threads));
    meanwhile(&stage, &mut rng, &devices, &group);
    let _ = writing.await;
    sleep(Duration::from_secs(5)).await;
    let were_late = {
        let mut state = stage.deployment.cloud.state();
        state.rows.late = None;
        state.weather = Weather { late: 0.0, early: 0.0, ..Weather::CALM };
        state.rows.were_late - before
    };
    {
        let mut known = stage.history.known();
        let wrong = [("added", 3), ("back", 2)].into_iter().filter(|(text, who)| {
            let is_member =
                known.members.get(&group).is_some_and(|members| members.contains(&actors[*who].user));
            is_member && known.said.get(*text).is_some_and(|said| said.refused)
        });
        let wrong: Vec<String> = wrong.map(|(text, _)| format!("who was {text} may not write")).collect();
        known.wrong.extend(wrong);
    }
    sleep(REST).await;
    lists::judge(&stage).await;
    (were_late, stage.end(false))
}

/// While a row is late, everybody lists, opens a second stream, and writes on top, also who was removed.
fn meanwhile(stage: &Stage, rng: &mut StdRng, devices: &[(Arc<Device>, Arc<Device>)], group: &str) {
    for (_, second) in devices {
        for _ in 0..3 {
            let (second, after) = (second.clone(), Duration::from_millis(rng.random_range(0..1_500)));
            stage.tracker.spawn(async move {
                sleep(after).await;
                second.look().await;
            });
        }
        let (second, after) = (second.clone(), Duration::from_millis(rng.random_range(0..400)));
        let (seed, calm, stop) = (rng.random(), stage.calm.clone(), stage.stop.clone());
        stage.tracker.spawn(async move {
            sleep(after).await;
            second.run(seed, calm, stop).await;
        });
    }
    for (n, actor) in stage.actors.iter().enumerate() {
        let (actor, group, after) = (actor.clone(), group.to_owned(), rng.random_range(0..2_500));
        stage.tracker.spawn(async move {
            sleep(Duration::from_millis(after)).await;
            actor.say(&group, &format!("on top {n}")).await;
        });
    }
}

async fn write_once(write: Write, actors: Vec<Actor>, (group, direct): (String, String)) {
    let [first, second, third, fourth] = &actors[..] else { return };
    let said = |thread: &str, tseq| Said {
        thread: thread.into(),
        from: "user0".into(),
        tseq: Some(tseq),
        refused: false,
    };
    match write {
        DirectMessage => first.say(&direct, "late").await,
        GroupMessage => first.say(&group, "late").await,
        // The first message of each thread stands behind its creation.
        Edit => first.touch("begun 0", &said(&group, 2), 1).await,
        Delete => first.touch("begun 0", &said(&group, 2), 0).await,
        React => second.touch("begun 0", &said(&direct, 2), 4).await,
        Retitle => first.touch("begun 0", &said(&group, 2), 9).await,
        Add => {
            first.change(&group, &fourth.user, true).await;
            fourth.say(&group, "added").await;
        }
        AddAll => {
            first.add_all(&group, &[first.user.clone(), third.user.clone(), fourth.user.clone()]).await;
            fourth.say(&group, "added").await;
        }
        Remove => first.change(&group, &third.user, false).await,
        Leave => third.change(&group, &third.user, false).await,
        Rejoin => {
            first.change(&group, &third.user, true).await;
            third.say(&group, "back").await;
        }
        CreateDirect => drop(first.create(json!({"members": [fourth.user.as_str()]})).await),
        CreateGroup => drop(first.create(json!({"members": ["user1", "user3"], "title": "new"})).await),
        DirectSeen => second.mark(&direct, u64::MAX).await,
        GroupSeen => second.mark(&group, u64::MAX).await,
        Block => {
            second.block(&first.user, true).await;
            first.say(&direct, "to one who blocks").await;
        }
    }
}
