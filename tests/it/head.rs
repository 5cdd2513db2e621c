//! The head check: no stream is left behind for longer than it takes.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use client::{PATIENCE, http::Api, sse::Stream};
use domain::{ids::UserId, limits};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use server::listener;
use sse_edge::config::{EdgeArgs, Topology};
use store::table::keys;
use tests::{
    faults::{Call, Fault, Held, Moment},
    world::{World, until},
};

both!(
    a_pause_of_the_process_is_followed_by_a_look_at_every_head,
    an_edge_that_was_taken_for_dead_goes_on_under_another_name,
    a_revoked_user_hears_bye_within_one_head_check_and_is_never_let_in_again,
    a_stream_that_loses_its_queue_and_gets_no_other_is_not_late,
    streams_that_open_together_share_their_reads,
);

/// A world of one edge that looks at heads this often.
async fn world(topology: Topology, head_check: u64) -> World {
    let mut world = World::start(topology, 0).await;
    let config = EdgeArgs { head_check: Duration::from_secs(head_check), ..World::settings(topology) };
    world.add_edge_with(config, listener::Options::default()).await;
    world
}

async fn live(world: &World, alice: &Api, thread: &str) -> Stream {
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    alice.say(thread, "first").await;
    bob.expect("message").await;
    bob
}

async fn a_pause_of_the_process_is_followed_by_a_look_at_every_head(topology: Topology) {
    let world = world(topology, 600).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = live(&world, &alice, &thread).await;
    // The check that follows the lease is over; the next one is ten minutes off.
    tokio::time::timeout(Duration::from_secs(4), bob.next()).await.unwrap_err();
    // Nobody is told: as if another had taken the lease while this process stood still.
    world.lose_leases("bob").await;
    alice.say(&thread, "while you stood still").await;
    tokio::time::timeout(Duration::from_secs(2), bob.next()).await.unwrap_err();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(7)).await;
    tokio::time::resume();
    // Pings alone are not enough.
    let shown = tokio::time::timeout(PATIENCE, bob.expect("message")).await.unwrap();
    assert_eq!(shown.data["text"], "while you stood still");
    // And the lease is put right.
    until("it is held again", async || world.leases("bob").await.iter().any(|lease| lease.holder.is_some()))
        .await;
    alice.say(&thread, "awake").await;
    assert_eq!(bob.expect("message").await.data["text"], "awake");
}

async fn an_edge_that_was_taken_for_dead_goes_on_under_another_name(topology: Topology) {
    let world = world(topology, 600).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = live(&world, &alice, &thread).await;
    let old = world.edges[0].edge.boot();
    until("it is marked dead between two beats", async || {
        let edges = world.table.edges().await.unwrap();
        let beat = edges.iter().find(|edge| edge.boot == old).unwrap().beat;
        world.table.mark_dead(&old, beat).await.unwrap()
    })
    .await;
    alice.say(&thread, "are you there").await;
    assert_eq!(bob.expect("message").await.data["text"], "are you there");
    until("it has another name, and the lease under it", async || {
        let leases = world.leases("bob").await;
        let boot = world.edges[0].edge.boot();
        boot != old && leases.iter().any(|lease| lease.holder.as_ref() == Some(&boot))
    })
    .await;
    alice.say(&thread, "good").await;
    assert_eq!(bob.expect("message").await.data["text"], "good");
}

async fn a_revoked_user_hears_bye_within_one_head_check_and_is_never_let_in_again(topology: Topology) {
    let world = world(topology, 2).await;
    let mut bob = world.open(0, "bob", None).await;
    let cursor = bob.expect("hello").await.id;
    let token = world.token("bob");
    let ended = world.as_user("bob").call("DELETE", "/v1/session?everywhere=true", None, &[]).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    let bye = bob.expect("bye").await;
    assert_eq!((bye.data["reason"].as_str(), &bye.id), (Some("revoked"), &cursor));
    assert!(bob.any().await.is_none());
    let edge = world.edges[0].address;
    assert_eq!(Stream::open(edge, &token, Some(&cursor)).await.status, StatusCode::NO_CONTENT);
    let poll = Api { address: edge, token: Some(token) }.get("/v1/events/poll?wait=25").await;
    assert_eq!(poll.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.open(0, "carol", None).await.status, StatusCode::OK);
}

async fn a_stream_that_loses_its_queue_and_gets_no_other_is_not_late(topology: Topology) {
    let world = world(topology, 600).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = live(&world, &alice, &thread).await;
    // The check that follows the lease is over; the next one is ten minutes off.
    tokio::time::timeout(Duration::from_secs(4), bob.next()).await.unwrap_err();
    for nth in 1..200 {
        let refused = Fault::Refuse(400, "ThrottlingException");
        world.edges[0].faults.on(Call::to("CreateQueue").nth(nth), refused);
    }
    let lease = &world.leases("bob").await[0];
    world.edges[0].faults.take();
    world.sqs.delete_queue().queue_url(&lease.url).send().await.unwrap();
    // A receive that is under way may hear of it only when its wait is over.
    let asks_for_another = async {
        while !world.edges[0].faults.take().iter().any(|made| made.operation == "CreateQueue") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limits::QUEUE_WAIT + PATIENCE, asks_for_another).await.unwrap();
    for n in 0..3 {
        alice.say(&thread, &n.to_string()).await;
        assert_eq!(bob.expect("message").await.data["text"], n.to_string());
    }
}

async fn streams_that_open_together_share_their_reads(topology: Topology) {
    let world = world(topology, 600).await;
    let (edge, faults) = (&world.edges[0], &world.edges[0].faults);
    // No read is answered before everybody has asked.
    let held: Vec<Held> = (0..8).map(|_| faults.hold(Call::to("BatchGetItem"), Moment::Before)).collect();
    let users: Vec<String> = (0..40).map(|n| format!("user{n}")).collect();
    let opening = join_all(users.iter().map(|user| world.open(0, user, None)));
    let release = async {
        edge.streams(users.len()).await;
        held.iter().for_each(Held::release);
    };
    let (mut streams, ()) = tokio::join!(opening, release);
    for stream in &mut streams {
        stream.expect("hello").await;
    }
    let reads = faults.take().iter().filter(|made| made.operation == "BatchGetItem").count();
    assert!(reads < users.len() / 2, "{reads} reads for {} streams", users.len());
}

#[tokio::test]
async fn an_edge_whose_head_check_stalls_says_so_by_a_measure_and_stays_ready() {
    let world = world(Topology::PerUser, 1).await;
    let edge = Api { address: world.edges[0].address, token: None };
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    assert_eq!(edge.get("/v1/ready").await.status, StatusCode::OK);
    assert!(world.edges[0].metric("edge_oldest_unchecked_seconds") < 5.0);
    world.dynamodb.delete_table().table_name(&world.stage).send().await.unwrap();
    let unchecked = async || world.edges[0].metric("edge_oldest_unchecked_seconds") > 15.0;
    until("longer than two head checks", unchecked).await;
    assert_eq!(edge.get("/v1/ready").await.status, StatusCode::OK);
    assert!(world.edges[0].metric("edge_failed_calls_total{failure=\"refused\"}") > 0.0);
    assert_eq!(edge.get("/v1/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_no_stall_of_the_others() {
    let world = world(Topology::PerUser, 1).await;
    let edge = Api { address: world.edges[0].address, token: None };
    let [mut alice, mut bob] = [world.open(0, "alice", None).await, world.open(0, "bob", None).await];
    alice.expect("hello").await;
    bob.expect("hello").await;
    let pk = keys::user_pk(&UserId::parse("bob").unwrap());
    let (table, s) = (&world.stage, |text: &str| AttributeValue::S(text.to_owned()));
    let put = world.dynamodb.put_item().table_name(table).item("pk", s(&pk)).item("sk", s("HEAD"));
    put.item("gen", s("rubbish")).send().await.unwrap();
    // More and more seldom, up to every other second: that takes longer than a stall.
    let corrupt = "edge_failed_calls_total{failure=\"corrupt\"}";
    until("it was asked for again and again", async || world.edges[0].metric(corrupt) >= 10.0).await;
    assert!(world.edges[0].metric("edge_oldest_unchecked_seconds") < 5.0);
    assert_eq!(edge.get("/v1/ready").await.status, StatusCode::OK);
}
