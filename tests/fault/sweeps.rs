//! A sweeper dies in the middle of its round.

use server::clock::Clock;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault, Made, Moment},
    world::{World, sweep},
};

use super::{
    stage::{Stage, Write, until_death},
    verdict,
};

/// The process that commits the write dies then; a sweeper takes it up, and dies at a call; then
/// another comes. The rows of all cases lie in one outbox, so that the cases run one by one.
async fn dies_at_any_call(write: Write) {
    let world = World::start(Topology::PerEdge, 1).await;
    let mut played = Vec::new();
    let (stage, calls) = play(&world, write, 0, None).await;
    played.push(stage);
    // A round begins with every shard; dying there is dying before it.
    let reads = calls.iter().take_while(|call| call.operation == "Query").count();
    for call in reads.max(1)..=calls.len() {
        for moment in [Moment::Before, Moment::After] {
            let tag = played.len();
            played.push(play(&world, write, tag, Some((call, moment))).await.0);
        }
    }
    println!("{write:?}: {} calls of a sweeper, {} cases", calls.len(), played.len() - 1);
    for mut stage in played {
        let went_on = stage.say("last").await;
        if let Err(wrong) = verdict::judge(&stage, true, went_on).await {
            panic!("{write:?}, case {}: {wrong:#}", stage.tag);
        }
    }
    verdict::nothing_is_owed(&world).await;
}

async fn play(
    world: &World,
    write: Write,
    tag: usize,
    strike: Option<(usize, Moment)>,
) -> (Stage<'_>, Vec<Made>) {
    let stage = Stage::set(world, write, tag).await;
    let writer = world.side().await;
    writer.faults.on(Call::to("TransactWriteItems"), Fault::Die(Moment::After));
    assert!(until_death(&writer.faults, stage.ask(Some(&writer))).await.is_none());
    writer.kill();
    let sweeper = world.side().await;
    if let Some((call, moment)) = strike {
        sweeper.faults.on(Call::any().nth(call), Fault::Die(moment));
    }
    let swept = until_death(&sweeper.faults, sweep(&sweeper.fanout(Clock::system()))).await;
    assert_eq!(swept.is_none(), strike.is_some(), "{write:?} {strike:?}");
    sweeper.kill();
    // What the dead one held is due again.
    sweep(&world.fanout(Clock::system())).await;
    (stage, sweeper.faults.take())
}

#[tokio::test]
async fn a_message_is_shown_once_whichever_sweeper_dies() {
    dies_at_any_call(Write::Message).await;
}

#[tokio::test]
async fn seen_is_shown_whichever_sweeper_dies() {
    dies_at_any_call(Write::Seen).await;
}

#[tokio::test]
async fn a_removal_is_shown_once_whichever_sweeper_dies() {
    dies_at_any_call(Write::Remove).await;
}
