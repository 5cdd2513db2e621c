//! An edge that is asked for more than it has.

use std::time::Duration;

use client::sse::Stream;
use domain::{
    envelope::{Envelope, News, Recipient},
    event::EventName,
    ids::{BootId, QueueId, UserId},
    limits,
};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use server::{clock::Clock, listener};
use sse_edge::config::{EdgeArgs, Topology};
use tests::{
    deaf::Deaf,
    faults::{Call, Held, Made, Moment},
    world::{World, until},
};

/// Opens a stream from an address of the open internet, as a proxy reports it.
async fn from(world: &World, user: &str, address: &str) -> Stream {
    let headers = [
        ("authorization", format!("Bearer {}", world.token(user))),
        ("x-forwarded-for", format!("198.51.100.1, {address}")),
    ];
    Stream::request(world.edges[0].address, "/v1/events", &headers).await
}

/// Sees that the stream is turned away in a way that an `EventSource` outlives.
async fn is_busy(mut stream: Stream) {
    assert_eq!(stream.status, StatusCode::OK);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let bye = stream.expect("bye").await;
    assert_eq!(bye.data, json!({"reason": "busy", "retry_ms": bye.retry}));
    assert!(limits::RETRY_LATER_MS.contains(&bye.retry.unwrap()));
    assert!(stream.any().await.is_none());
}

async fn greeted(mut stream: Stream) -> Stream {
    stream.expect("hello").await;
    stream
}

#[tokio::test]
async fn the_ninth_stream_of_a_user_is_told_to_come_later_and_the_others_go_on() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut streams = Vec::new();
    for _ in 0..limits::USER_STREAMS {
        streams.push(greeted(world.open(0, "bob", None).await).await);
    }
    is_busy(world.open(0, "bob", None).await).await;
    greeted(world.open(0, "carol", None).await).await;
    alice.say(&thread, "hi").await;
    for stream in &mut streams {
        stream.expect("message").await;
    }
    drop(streams.pop());
    world.edges[0].streams(limits::USER_STREAMS - 1).await;
    greeted(world.open(0, "bob", None).await).await;
}

#[tokio::test]
async fn a_crowd_that_comes_back_does_not_read_all_its_inboxes_at_once() {
    let world = World::start(Topology::PerEdge, 1).await;
    let alice = world.as_user("alice");
    let users: Vec<String> =
        (0..=limits::INBOX_READS / limits::USER_STREAMS).map(|n| format!("u{n}")).collect();
    let thread = alice.thread(json!({"members": users, "title": "crowd"})).await;
    let mut cursors = Vec::new();
    for user in &users {
        let list = world.as_user(user).get("/v1/threads").await.body;
        cursors.push(list["cursor"].as_str().unwrap().to_owned());
    }
    alice.say(&thread, "hi").await;
    let edge = &world.edges[0];
    let read = || Call::to("BatchGetItem").about("\"E#");
    let held: Vec<Held> =
        (1..=limits::INBOX_READS).map(|n| edge.faults.hold(read().nth(n), Moment::Before)).collect();
    let all = users.iter().zip(&cursors).flat_map(|pair| [pair; limits::USER_STREAMS]);
    // Whoever is greeted has asked for its inbox.
    let opening = all.map(async |(user, cursor)| greeted(world.open(0, user, Some(cursor)).await).await);
    let mut streams = join_all(opening).await;
    join_all(held.iter().map(Held::reached)).await;
    let of_log = |made: &&Made| made.operation == "BatchGetItem" && made.rows.contains(&"E#");
    let begun = edge.faults.take().iter().filter(of_log).count();
    assert_eq!((begun, streams.len()), (limits::INBOX_READS, limits::INBOX_READS + limits::USER_STREAMS));
    held.iter().for_each(Held::release);
    for stream in &mut streams {
        assert_eq!(stream.expect("message").await.data["text"], "hi");
    }
}

#[tokio::test]
async fn an_address_and_an_edge_may_be_full_as_well() {
    let mut world = World::start(Topology::PerEdge, 0).await;
    let config = EdgeArgs {
        max_streams: 5,
        address_streams: 2,
        address_header: Some("x-forwarded-for".parse().unwrap()),
        ..World::settings(Topology::PerEdge)
    };
    world.add_edge_with(config, listener::Options::default()).await;
    let _one = greeted(from(&world, "alice", "203.0.113.7").await).await;
    let two = greeted(from(&world, "bob", "203.0.113.7").await).await;
    is_busy(from(&world, "carol", "203.0.113.7").await).await;
    let poll = [("x-forwarded-for", "203.0.113.7")];
    let poll = world.edge_as_user(0, "carol").call("GET", "/v1/events/poll", None, &poll).await;
    assert_eq!(poll.status, StatusCode::TOO_MANY_REQUESTS);
    drop(two);
    world.edges[0].streams(1).await;
    let _two = greeted(from(&world, "carol", "203.0.113.7").await).await;
    let mut others = Vec::new();
    for n in 0..3 {
        others.push(greeted(from(&world, "dave", &format!("203.0.113.{n}")).await).await);
    }
    is_busy(from(&world, "erin", "203.0.113.9").await).await;
    assert_eq!(world.poll(0, "erin", None, 0).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let metrics = world.edges[0].metrics();
    assert!(metrics.contains("edge_refusals_total{cap=\"address\"} 2"), "{metrics}");
    assert!(metrics.contains("edge_refusals_total{cap=\"edge\"} 2"), "{metrics}");
}

#[tokio::test]
async fn who_types_is_dropped_first_when_more_waits() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob) = (world.as_user("alice"), UserId::parse("bob").unwrap());
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    // A queue that somebody gave back, full already.
    let (queue, me) = (QueueId::made(7), BootId::made(7));
    let url = world.queues.create(&queue).await.unwrap();
    world.table.add_queue(&bob, &queue, &me).await.unwrap();
    for n in 0..queue::queues::BATCH {
        let data = json!({"thread": thread, "user": format!("u{n}"), "state": "started", "ttl_ms": 6000});
        let news = News::new(EventName::Typing, data.to_string());
        let to = vec![Recipient { user: bob.as_str(), place: None }];
        world.queues.post_envelope(&url, Envelope { to, news: Some(news) }.encode()).await.unwrap();
    }
    world.table.give_queue(&bob, &queue, &me, Clock::system().now()).await.unwrap();
    let mut stream = greeted(world.open(0, "bob", None).await).await;
    until("the queue was taken and its typing dropped", async || {
        world.edges[0].metrics().contains("edge_typing_shed_total 10")
    })
    .await;
    alice.say(&thread, "hi").await;
    stream.expect("message").await;
}

#[tokio::test]
async fn two_hundred_streams_that_never_read_are_closed_and_nobody_else_notices() {
    let mut world = World::start(Topology::PerEdge, 0).await;
    let options = listener::Options { stall_timeout: Duration::from_secs(2), ..listener::Options::default() };
    world.add_edge_with(World::settings(Topology::PerEdge), options).await;
    let alice = world.as_user("alice");
    let users: Vec<String> = (0..25).map(|n| format!("u{n}")).collect();
    let noisy = alice.thread(json!({"members": users, "title": "noisy"})).await;
    let quiet = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = greeted(world.open(0, "bob", None).await).await;
    let mut reader = greeted(world.open(0, "u0", None).await).await;
    let mut deaf = Vec::new();
    for n in 0..200 {
        // One place is the reader's.
        let user = if n == 0 { "carol" } else { &users[n % 25] };
        deaf.push(Deaf::open(world.edges[0].address, &world.token(user)).await);
    }
    world.edges[0].streams(202).await;
    let long = "x".repeat(limits::MESSAGE_BYTES);
    for n in 0..12 {
        alice.say(&noisy, &long).await;
        alice.say(&quiet, &n.to_string()).await;
        assert_eq!(reader.expect("message").await.data["text"], long);
        assert_eq!(bob.expect("message").await.data["text"], n.to_string());
    }
    // Those who have something to read and do not; carol has nothing.
    world.edges[0].streams(3).await;
    alice.say(&quiet, "still here").await;
    assert_eq!(bob.expect("message").await.data["text"], "still here");
    drop(deaf);
}
