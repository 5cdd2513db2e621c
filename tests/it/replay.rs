//! What happens while a stream still replays.

use client::{http::Api, sse::Stream};
use domain::limits;
use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault, Moment},
    world::World,
};

both!(
    a_replay_of_long_messages_goes_by_pages_that_an_edge_can_hold,
    what_is_sent_while_a_replay_runs_comes_after_it_and_once,
    typing_while_a_replay_runs_moves_no_cursor,
    a_queue_that_is_not_ready_yet_only_costs_time,
    a_queue_that_cannot_be_had_only_costs_time,
    a_broken_read_costs_nothing,
);

/// Says the numbers of a range.
async fn say(api: &Api, thread: &str, numbers: std::ops::Range<u64>) {
    for n in numbers {
        api.say(thread, &n.to_string()).await;
    }
}

/// The stream shows messages `0..end`, each once and in order, and its cursor goes step by step.
async fn shows(stream: &mut Stream, first: u64, end: u64) {
    let mut last = None;
    for n in first..end {
        let frame = stream.expect("message").await;
        assert_eq!(frame.data["text"], n.to_string());
        assert!(last.is_none_or(|last| last + 1 == frame.seq()), "{frame:?}");
        last = Some(frame.seq());
    }
}

async fn what_is_sent_while_a_replay_runs_comes_after_it_and_once(topology: Topology) {
    for moment in [Moment::Before, Moment::After] {
        let world = World::start(topology, 2).await;
        let alice = world.as_user("alice");
        let thread = alice.thread(json!({"members": ["bob"]})).await;
        let cursor = world.open(0, "bob", None).await.expect("hello").await.id;
        say(&alice, &thread, 0..5).await;
        // Where nobody has seen these, another stream is live, so that envelopes come meanwhile.
        let mut live = world.open(1, "bob", None).await;
        live.expect("hello").await;
        say(&alice, &thread, 5..6).await;
        shows(&mut live, 5, 6).await;
        let replay = world.edges[1].faults.hold(Call::to("BatchGetItem").about("\"E#"), moment);
        let mut stream = world.open(1, "bob", Some(&cursor)).await;
        stream.expect("hello").await;
        replay.reached().await;
        say(&alice, &thread, 6..10).await;
        shows(&mut live, 6, 10).await;
        replay.release();
        say(&alice, &thread, 10..12).await;
        shows(&mut stream, 0, 12).await;
    }
}

async fn a_replay_of_long_messages_goes_by_pages_that_an_edge_can_hold(topology: Topology) {
    const MANY: u64 = 24;
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let list = world.as_user("bob").get("/v1/threads").await.body;
    let cursor = list["cursor"].as_str().unwrap();
    let long = |n: u64| format!("{n} {}", "x".repeat(limits::MESSAGE_BYTES - 8));
    for n in 0..MANY {
        alice.say(&thread, &long(n)).await;
    }
    let mut bob = world.open(0, "bob", Some(cursor)).await;
    bob.expect("hello").await;
    for n in 0..MANY {
        assert_eq!(bob.expect("message").await.data["text"], long(n));
    }
    let made = world.edges[0].faults.take();
    let reads =
        made.iter().filter(|made| made.operation == "BatchGetItem" && made.rows.contains(&"E#")).count();
    // Three of them fit.
    assert!((8..=9).contains(&reads), "{reads} reads");
}

async fn typing_while_a_replay_runs_moves_no_cursor(topology: Topology) {
    let world = World::start(topology, 2).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let cursor = world.open(0, "bob", None).await.expect("hello").await.id;
    say(&alice, &thread, 0..2).await;
    let mut live = world.open(1, "bob", None).await;
    live.expect("hello").await;
    say(&alice, &thread, 2..3).await;
    shows(&mut live, 2, 3).await;
    let replay = world.edges[1].faults.hold(Call::to("BatchGetItem").about("\"E#"), Moment::After);
    let mut stream = world.open(1, "bob", Some(&cursor)).await;
    assert_eq!(stream.expect("hello").await.id, cursor);
    replay.reached().await;
    let typing = format!("/v1/threads/{thread}/typing");
    alice.post(&typing, json!({"state": "started"})).await;
    live.expect("typing").await;
    replay.release();
    // Nothing but the past, before it is live.
    shows(&mut stream, 0, 3).await;
    let shown = stream.expect("typing").await;
    assert_eq!(shown.seq(), seq_of(&cursor) + 3, "typing carries the stream's own cursor");
    say(&alice, &thread, 3..4).await;
    let next = stream.expect("message").await;
    assert_eq!((next.data["text"].as_str(), next.seq()), (Some("3"), shown.seq() + 1));
}

fn seq_of(cursor: &str) -> u64 {
    cursor.split_once('.').unwrap().1.parse().unwrap()
}

async fn a_queue_that_is_not_ready_yet_only_costs_time(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    for n in 1..=2 {
        let receive = Call::to("ReceiveMessage").nth(n);
        world.edges[0].faults.on(receive, Fault::Refuse(400, "QueueDoesNotExist"));
    }
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    say(&alice, &thread, 0..3).await;
    shows(&mut bob, 0, 3).await;
}

async fn a_queue_that_cannot_be_had_only_costs_time(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    for n in 1..=3 {
        world.edges[0].faults.on(Call::to("CreateQueue").nth(n), Fault::Refuse(400, "RequestThrottled"));
    }
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    say(&alice, &thread, 0..3).await;
    shows(&mut bob, 0, 3).await;
}

async fn a_broken_read_costs_nothing(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let cursor = world.open(0, "bob", None).await.expect("hello").await.id;
    say(&alice, &thread, 0..3).await;
    let faults = &world.edges[0].faults;
    // More than the SDK repeats by itself: the row and the content are read again.
    for (operation, row) in [("GetItem", "HEAD"), ("BatchGetItem", "E#")] {
        for n in 1..=4 {
            let fault = if n % 2 == 0 {
                Fault::Reset(Moment::After)
            } else {
                Fault::Refuse(500, "InternalServerError")
            };
            faults.on(Call::to(operation).about(format!("\"{row}")).nth(n), fault);
        }
    }
    let mut bob = world.open(0, "bob", Some(&cursor)).await;
    bob.expect("hello").await;
    shows(&mut bob, 0, 3).await;
}
