//! A worker dies in the middle of a chain of jobs.

use std::{collections::BTreeMap, time::Duration};

use server::clock::Clock;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault, Made, Moment},
    world::{PATIENCE, Side, World},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    stage::{Stage, Write, until_death},
    verdict,
};

/// A message to a thread of two links is committed, and its first job lies in the queue; a worker
/// takes it up, and dies at a call; when the row is due a sweeper begins anew, and another worker
/// comes. The jobs of all cases lie in one queue, so that the cases run one by one.
#[tokio::test]
async fn a_message_in_a_large_group_is_shown_once_whichever_worker_dies() {
    let mut world = World::start_idle(Topology::PerEdge, 1).await;
    world.add_edge(Topology::PerUser).await;
    let (stage, made) = play(&world, 0, None).await;
    let mut played = vec![stage];
    let mut kinds: BTreeMap<Made, usize> = BTreeMap::new();
    for made in made {
        *kinds.entry(made).or_default() += 1;
    }
    for (made, many) in kinds {
        println!("a chain of two: {made} × {many}");
        // The same calls are made for each member, in order, and the last one is of the other link.
        // Only how often SQS is asked is a matter of time.
        let last = if made.rows.is_empty() { many.min(2) } else { many };
        for (nth, moment) in [(1, Moment::Before), (last, Moment::After)] {
            let strike = Call::like(made.clone()).nth(nth);
            played.push(play(&world, played.len(), Some((strike, moment))).await.0);
        }
    }
    println!("{} cases of a dying worker", played.len() - 1);
    for stage in &mut played {
        assert!(stage.say("last").await);
    }
    work(&world.side().await, &world).await;
    for stage in &played {
        if let Err(wrong) = verdict::judge(stage, true, true).await {
            panic!("case {}: {wrong:#}", stage.tag);
        }
    }
    verdict::nothing_is_owed(&world).await;
}

async fn play(world: &World, tag: usize, strike: Option<(Call, Moment)>) -> (Stage<'_>, Vec<Made>) {
    let stage = Stage::set(world, Write::Large, tag).await;
    assert!(stage.ask(None).await.status.is_success());
    let worker = world.side().await;
    let Some((call, moment)) = strike else {
        work(&worker, world).await;
        return (stage, worker.faults.take());
    };
    worker.faults.on(call.clone(), Fault::Die(moment));
    let fanout = worker.fanout(Clock::system());
    let working = until_death(&worker.faults, fanout.work_until(CancellationToken::new()));
    timeout(PATIENCE, working).await.unwrap_or_else(|_| panic!("no {call:?} in time"));
    worker.kill();
    world.fanout(Clock::fixed(Clock::system().now() + Duration::from_hours(1))).sweep().await;
    work(&world.side().await, world).await;
    (stage, Vec::new())
}

/// Works jobs until no fan-out is owed.
async fn work(worker: &Side, world: &World) {
    let fanout = worker.fanout(Clock::system());
    tokio::select! {
        () = fanout.work_until(CancellationToken::new()) => {}
        () = verdict::settle(world) => {}
    }
}
