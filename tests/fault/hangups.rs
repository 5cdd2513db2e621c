//! A client hangs up in the middle of its write, and the process lives. The write runs to its end: every member is
//! told, though no sweeper runs and no edge compares with the user row.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use client::PATIENCE;
use socket2::SockRef;
use sse_edge::config::{EdgeArgs, Topology};
use tests::{
    faults::{Call, Made, Moment},
    world::World,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    cases::play_all,
    stage::{Stage, Write},
    verdict::is_under_test,
};

/// Cases that run side by side.
const SIDE_BY_SIDE: usize = 12;
/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(86_400);

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Goodbye,
    Reset,
}

macro_rules! hangs_up_at_any_call {
    ($($name:ident $write:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            hangs_up_at_any_call(Write::$write).await;
        })*
    };
}

hangs_up_at_any_call! {
    a_message_in_a_group_is_told_without_its_sender Message,
    a_message_behind_one_left_behind_is_told_without_its_sender Behind,
    a_message_in_a_direct_thread_is_told_without_its_sender Direct,
    a_message_in_a_large_group_is_told_without_its_sender Large,
    an_edit_is_told_without_its_sender Edit,
    a_deletion_is_told_without_its_sender Delete,
    a_reaction_is_told_without_its_sender React,
    a_reaction_taken_away_is_told_without_its_sender Unreact,
    a_new_title_is_told_without_its_sender Rename,
    seen_in_a_group_is_told_without_its_sender Seen,
    seen_in_a_direct_thread_is_told_without_its_sender SeenDirect,
    a_new_member_is_told_of_without_the_sender Add,
    a_member_who_comes_back_is_told_of_without_the_sender AddAgain,
    a_removal_is_told_without_its_sender Remove,
    a_new_group_is_told_of_without_its_sender CreateGroup,
    a_new_direct_thread_is_told_of_without_its_sender CreateDirect,
}

/// A world in which only the process that writes tells anybody anything.
async fn world() -> World {
    let mut world = World::start(Topology::PerEdge, 0).await;
    let settings = EdgeArgs { head_check: NEVER, ..World::settings(Topology::PerEdge) };
    world.add_edge_with(settings, server::listener::Options::default()).await;
    world
}

async fn hangs_up_at_any_call(write: Write) {
    let world = world().await;
    let tag = AtomicUsize::new(0);
    let calls = play(&world, write, None, &tag).await.unwrap();
    println!("{write:?}: the client hangs up at each of {} calls", calls.len());
    let moments = (1..=calls.len()).flat_map(|call| {
        [
            (call, Moment::Before, Ending::Goodbye),
            (call, Moment::After, Ending::Goodbye),
            (call, Moment::Before, Ending::Reset),
        ]
    });
    let (world, tag) = (&world, &tag);
    let cases = moments.map(|(call, moment, ending)| {
        let name = format!("{write:?}, {ending:?} {moment:?} call {call}, `{}`", calls[call - 1]);
        (name, play(world, write, Some((call, moment, ending)), tag))
    });
    play_all(cases, SIDE_BY_SIDE).await;
}

/// Asks for the write, and hangs up at one of its calls if it is to be. Answers with the calls that were made.
async fn play(
    world: &World,
    write: Write,
    at: Option<(usize, Moment, Ending)>,
    tag: &AtomicUsize,
) -> anyhow::Result<Vec<Made>> {
    let stage = Stage::set(world, write, tag.fetch_add(1, Ordering::Relaxed)).await;
    let mut streams = Vec::new();
    for who in write.concerns() {
        let mut stream = world.open(0, &stage.name(who), None).await;
        stream.expect("hello").await;
        streams.push((who, stream));
    }
    let side = world.side().await;
    match at {
        None => _ = stage.ask(Some(&side)).await,
        Some((call, moment, ending)) => {
            let held = side.faults.hold(Call::any().nth(call), moment);
            let mut client = TcpStream::connect(side.api).await?;
            client.write_all(stage.raw().as_bytes()).await?;
            held.reached().await;
            match ending {
                Ending::Goodbye => {
                    client.shutdown().await?;
                    let mut answer = Vec::new();
                    // The process ends the connection: it knows that nobody waits any more.
                    timeout(PATIENCE, client.read_to_end(&mut answer))
                        .await
                        .context("hung up unnoticed")??;
                    ensure!(answer.is_empty(), "it was answered: {}", String::from_utf8_lossy(&answer));
                }
                Ending::Reset => reset(client)?,
            }
            held.release();
        }
    }
    for (who, mut stream) in streams {
        let told = timeout(PATIENCE, async { while !is_under_test(&stage, &stream.next().await) {} }).await;
        told.with_context(|| format!("{who} is not told"))?;
    }
    side.kill();
    Ok(side.faults.take())
}

#[tokio::test]
async fn a_reset_behind_any_byte_of_a_message_to_one_writes_nothing() {
    resets_behind_any_byte(Write::Direct).await;
}

#[tokio::test]
async fn a_reset_behind_any_byte_of_a_message_to_a_group_writes_nothing() {
    resets_behind_any_byte(Write::Message).await;
}

/// As long as a byte is missing. What a whole request does without its sender, the tests above say.
async fn resets_behind_any_byte(write: Write) {
    let world = world().await;
    let length = Stage::set(&world, write, 0).await.raw().len();
    let world = &world;
    let cases = (1..=length).map(|missing| {
        let case = async move {
            let mut stage = Stage::set(world, write, missing).await;
            let mut stream = world.open(0, &stage.name("bob"), None).await;
            // Names, and so requests, are not all of one length.
            let request = stage.raw();
            reset_behind(world, &request, request.len().saturating_sub(missing)).await?;
            stage.say("last").await;
            while stream.next().await.data["text"] != "last" {}
            let path = format!("/v1/threads/{}/messages", stage.thread.as_ref().context("a thread")?);
            let list = stage.user("alice").get(&path).await.body;
            ensure!(list["items"].as_array().is_some_and(|items| items.len() == 1), "{list}");
            Ok(())
        };
        (format!("a reset {missing} bytes before the end of {length}"), case)
    });
    play_all(cases, SIDE_BY_SIDE).await;
}

/// Sends the first bytes of a request, and resets the connection.
async fn reset_behind(world: &World, request: &str, at: usize) -> anyhow::Result<()> {
    let mut client = TcpStream::connect(world.api).await?;
    client.write_all(&request.as_bytes()[..at]).await?;
    reset(client)
}

fn reset(client: TcpStream) -> anyhow::Result<()> {
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    Ok(())
}
