//! An API dies in the middle of a write.

use std::{sync::atomic::AtomicUsize, sync::atomic::Ordering};

use anyhow::{Context as _, ensure};
use domain::ids::{BootId, QueueId, UserId};
use futures_util::{StreamExt as _, stream};
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

/// Cases that run side by side.
const SIDE_BY_SIDE: usize = 12;

/// What happens to the process, at which of its calls.
#[derive(Debug, Clone, Copy)]
enum Strike {
    Nothing,
    Dies(usize, Moment),
    /// It lives, and the SDK repeats the call.
    AnswerLost(usize),
}

/// What happens when it has died, before the sweeper comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The client tries again with the same key.
    Retry,
    /// Nothing.
    Sweep,
    /// Somebody sends the next message.
    Next,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    write: Write,
    strike: Strike,
    then: Then,
}

macro_rules! dies_at_any_call {
    ($($name:ident $write:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            dies_at_any_call(Write::$write).await;
        })*
    };
}

dies_at_any_call! {
    a_message_in_a_group_is_for_all_or_nobody Message,
    a_message_behind_one_left_behind_comes_after_it Behind,
    a_message_in_a_direct_thread_is_for_both_or_nobody Direct,
    a_message_in_a_large_group_is_for_all_or_nobody Large,
    an_edit_is_for_all_or_nobody Edit,
    a_deletion_is_for_all_or_nobody Delete,
    a_reaction_is_for_all_or_nobody React,
    a_reaction_is_taken_away_for_all_or_nobody Unreact,
    a_group_is_renamed_for_all_or_nobody Rename,
    seen_in_a_group_is_for_all_or_nobody Seen,
    seen_in_a_direct_thread_is_for_both_or_nobody SeenDirect,
    a_new_member_is_one_for_all_or_nobody Add,
    a_member_comes_back_for_all_or_nobody AddAgain,
    a_removal_is_for_all_or_nobody Remove,
    a_group_is_there_for_all_or_nobody CreateGroup,
    a_direct_thread_is_there_for_both_or_nobody CreateDirect,
}

async fn dies_at_any_call(write: Write) {
    let mut world = World::start(Topology::PerEdge, 1).await;
    world.add_edge(Topology::PerUser).await;
    world.queues.create(&theirs()).await.unwrap();
    let tag = AtomicUsize::new(0);
    let whole = Case { write, strike: Strike::Nothing, then: Then::Sweep };
    let (played, calls) = play(&world, whole, &tag).await.unwrap();
    close(vec![played]).await;
    let mut cases = Vec::new();
    for (call, made) in (1..).zip(&calls) {
        // Having died after one call is having died before the next: each state meets all three.
        for (moment, then) in [(Moment::Before, Then::Sweep), (Moment::After, Then::Next)] {
            let strike = Strike::Dies(call, moment);
            cases.extend([Then::Retry, then].map(|then| Case { write, strike, then }));
        }
        if made.writes() {
            cases.push(Case { write, strike: Strike::AnswerLost(call), then: Then::Sweep });
        }
    }
    let calls: Vec<String> = (1..).zip(&calls).map(|(n, call)| format!("  {n:2} {call}\n")).collect();
    println!("{write:?}: {} cases of a dying API, at\n{}", cases.len(), calls.concat());
    let (world, tag) = (&world, &tag);
    let played = stream::iter(cases)
        .map(|case| async move { play(world, case, tag).await.unwrap().0 })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    close(played).await;
}

/// The queue of an edge that is of no further interest: no user may take it.
fn theirs() -> QueueId {
    QueueId::parse(&format!("edge{}", QueueId::made(7))).unwrap()
}

/// A case before the sweeper comes.
struct Played<'a> {
    case: Case,
    stage: Stage<'a>,
    acknowledged: bool,
}

/// Plays a case until the sweeper is due; with the calls that the process has made.
async fn play<'a>(
    world: &'a World,
    case: Case,
    tag: &AtomicUsize,
) -> anyhow::Result<(Played<'a>, Vec<Made>)> {
    let mut stage = Stage::set(world, case.write, tag.fetch_add(1, Ordering::Relaxed)).await;
    // Somebody is there to be told.
    for who in ["alice", "bob"] {
        let user = UserId::parse(&stage.name(who)).unwrap();
        world.table.add_queue(&user, &theirs(), &BootId::made(7)).await?;
    }
    let side = world.side().await;
    match case.strike {
        Strike::Nothing => {}
        Strike::Dies(call, moment) => side.faults.on(Call::any().nth(call), Fault::Die(moment)),
        Strike::AnswerLost(call) => side.faults.on(Call::any().nth(call), Fault::Reset(Moment::After)),
    }
    let mut answer = until_death(&side.faults, stage.ask(Some(&side))).await;
    side.kill();
    ensure!(answer.is_some() != matches!(case.strike, Strike::Dies(..)), "{case:?}: {answer:?}");
    match case.then {
        Then::Retry => answer = Some(stage.ask(None).await),
        Then::Next => _ = stage.say("next").await,
        Then::Sweep => {}
    }
    if let Some(answer) = &answer {
        ensure!(answer.status.is_success(), "{case:?}: {answer:?}");
    }
    Ok((Played { case, stage, acknowledged: answer.is_some() }, side.faults.take()))
}

/// Lets the sweeper run, and judges.
async fn close(played: Vec<Played<'_>>) {
    let (world, many) = (played[0].stage.world, played.len());
    sweep(&world.fanout(Clock::system())).await;
    let ended = stream::iter(played)
        .map(|mut played| async move {
            let went_on = played.stage.say("last").await;
            (played, went_on)
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect::<Vec<_>>()
        .await;
    if ended.iter().any(|(played, _)| played.case.write == Write::Large) {
        // Jobs are worked behind the answers.
        verdict::settle(world).await;
    }
    let judged = stream::iter(ended)
        .map(|(Played { case, stage, acknowledged }, went_on)| async move {
            let judged = verdict::judge(&stage, acknowledged, went_on).await;
            judged.with_context(|| format!("{case:?}, case {}", stage.tag))
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect::<Vec<_>>()
        .await;
    let wrong: Vec<String> =
        judged.into_iter().filter_map(|judged| judged.err().map(|error| format!("{error:#}"))).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), many, wrong.join("\n"));
    verdict::nothing_is_owed(world).await;
}
