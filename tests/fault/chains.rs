//! A worker dies in the middle of a chain of jobs.

use anyhow::Context as _;
use client::PATIENCE;
use fanout::worker::RECEIVES;
use futures_util::future::select_all;
use server::clock::Clock;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault, Faults, Held, Made, Moment},
    world::{Side, World, sweep},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    cases::{kinds, play_all},
    stage::{Stage, Write, until_death},
    verdict,
};

/// Each has a world of its own, since the jobs of a world lie in one queue.
const SIDE_BY_SIDE: usize = 4;

/// Which call, and on which side of it the worker dies.
type Strike = (Made, usize, Moment);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_a_large_group_is_shown_once_whichever_worker_dies() {
    let mut cases: Vec<Strike> = Vec::new();
    for (made, many) in kinds(play(None).await.unwrap()) {
        println!("a chain of two: {made} × {many}");
        // The same calls are made for each member, in order, and the last one is of the other link.
        // Only how often SQS is asked is a matter of time.
        let last = if made.rows.is_empty() { many.min(2) } else { many };
        cases.extend([(made.clone(), 1, Moment::Before), (made, last, Moment::After)]);
    }
    println!("{} cases of a dying worker", cases.len());
    play_all(cases.iter().map(|case| (format!("{case:?}"), play(Some(case)))), SIDE_BY_SIDE).await;
}

/// A message to a thread of two links is committed, and its first job lies in the queue; a worker
/// takes it up, and dies at a call; when the row is due a sweeper begins anew, and another worker
/// comes. With the calls of the first one.
async fn play(strike: Option<&Strike>) -> anyhow::Result<Vec<Made>> {
    let mut world = World::start_idle(Topology::PerEdge, 1).await;
    world.add_edge(Topology::PerUser).await;
    let world = &world;
    let mut stage = Stage::set(world, Write::Large, 0).await;
    assert!(stage.ask(None).await.status.is_success());
    let worker = world.side().await;
    if let Some((made, nth, moment)) = strike.cloned() {
        let fanout = worker.fanout(Clock::system());
        let working = fanout.work_until(CancellationToken::new());
        if made.operation == "ReceiveMessage" && moment == Moment::After {
            tokio::select! {
                biased;
                () = nth_answer(&worker.faults, &made, nth) => {}
                () = working => {}
            }
        } else {
            worker.faults.on(Call::like(made).nth(nth), Fault::Die(moment));
            let working = until_death(&worker.faults, working);
            timeout(PATIENCE, working).await.context("it dies in time")?;
        }
        worker.kill();
        sweep(&world.fanout(Clock::system())).await;
        work(&world.side().await, verdict::settle(world)).await;
    } else {
        // Here the chain has to come to its end without a sweeper.
        work(&worker, world.settled()).await;
    }
    assert!(stage.say("last").await);
    work(&world.side().await, verdict::settle(world)).await;
    verdict::judge(&stage, true, true).await?;
    verdict::nothing_is_owed(world).await;
    Ok(worker.faults.take())
}

/// Waits until so many receives have been answered, and keeps the last answer back. Which of those that
/// wait side by side brings a job is for SQS to say; the others wait for as long as a test does.
async fn nth_answer(faults: &Faults, receive: &Made, nth: usize) {
    // Each that is let go may be followed by one more.
    let receives = 1..RECEIVES + nth;
    let mut held: Vec<Held> =
        receives.map(|n| faults.hold(Call::like(receive.clone()).nth(n), Moment::After)).collect();
    for answered in 1..=nth {
        let ((), which, _) = select_all(held.iter().map(|held| Box::pin(held.reached()))).await;
        let held = held.swap_remove(which);
        if answered < nth {
            held.release();
        }
    }
}

/// Works jobs until everything is settled.
async fn work(worker: &Side, settled: impl Future<Output = ()>) {
    let fanout = worker.fanout(Clock::system());
    tokio::select! {
        () = fanout.work_until(CancellationToken::new()) => {}
        () = settled => {}
    }
}
