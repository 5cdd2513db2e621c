//! Two stages on one endpoint: the same users, threads and tokens, and nothing in common. The name
//! of one begins as the other's does, which is as near as two may come.

use std::{collections::BTreeSet, time::Duration};

use client::sse::Stream;
use domain::{
    ids::{IdempotencyKey, ThreadId, UserId},
    limits,
    version::Expected,
};
use jiff::ToSpan as _;
use serde_json::{Value, json};
use server::{clock::Clock, listener};
use sse_edge::config::{EdgeArgs, Topology};
use store::{
    rate::permit::Permit,
    table::{keys::SHARDS, rows::QueueRow},
    write::{Outcome, command::Command, request::WriteRequest},
};
use tests::world::{World, sweep, until};

both!(
    what_is_said_in_one_stage_is_heard_in_no_other,
    a_cursor_of_another_stage_is_none,
    nobody_finishes_what_another_stage_owes,
);

async fn two(topology: Topology) -> (World, World) {
    let one = World::start(topology, 1).await;
    let other = one.beside(format!("{}0", one.stage), topology, 1).await;
    (one, other)
}

async fn live(world: &World, name: &str) -> Stream {
    let mut stream = world.open(0, name, None).await;
    stream.expect("hello").await;
    stream
}

/// The URLs of all queues that the endpoint has for a stage.
async fn queues(world: &World) -> BTreeSet<String> {
    let prefix = format!("runnel-{}-", world.stage);
    let listed = world.sqs.list_queues().queue_name_prefix(prefix).send().await.unwrap();
    listed.queue_urls.unwrap_or_default().into_iter().collect()
}

/// The names of the queues that a stage knows of.
async fn registered(world: &World) -> BTreeSet<String> {
    let name = |row: QueueRow| format!("runnel-{}-{}", world.stage, row.queue);
    world.registered().await.into_iter().map(name).collect()
}

/// How many fan-outs a stage has not finished.
async fn owed(world: &World) -> usize {
    let mut rows = 0;
    for shard in 0..SHARDS {
        rows += world.table.outbox(shard).await.unwrap().len();
    }
    rows
}

async fn threads(world: &World, user: &str) -> Vec<Value> {
    world.as_user(user).get("/v1/threads").await.body["items"].as_array().unwrap().clone()
}

async fn what_is_said_in_one_stage_is_heard_in_no_other(topology: Topology) {
    let (one, other) = two(topology).await;
    let alice = [one.as_user("alice"), other.as_user("alice")];
    let thread = alice[0].thread(json!({"members": ["bob"]})).await;
    assert!(threads(&other, "bob").await.is_empty());
    let path = format!("/v1/threads/{thread}/messages");
    assert_eq!(alice[1].post(&path, json!({"text": "hi"})).await.status, 404, "no such thread here");
    let there = alice[1].thread(json!({"members": ["bob"]})).await;
    assert_ne!(thread, there, "the key of its stage is part of the id of a direct thread");
    let threads_of = [thread, there];

    let mut bob = [live(&one, "bob").await, live(&other, "bob").await];
    for round in 0..5 {
        for n in [0, 1] {
            alice[n].say(&threads_of[n], &format!("{round} in stage {n}")).await;
        }
        for (n, stream) in bob.iter_mut().enumerate() {
            let heard = stream.expect("message").await.data;
            assert_eq!(heard["text"], format!("{round} in stage {n}"), "each has its own, and only that");
            assert_eq!(heard["number"], round + 1);
        }
    }
    for world in [&one, &other] {
        let [thread] = &threads(world, "bob").await[..] else { panic!("bob is in one thread") };
        assert_eq!(thread["number"], 5);
    }

    let (here, there) = (queues(&one).await, queues(&other).await);
    assert!(here.is_disjoint(&there), "{here:?} {there:?}");
    assert!(here.contains(&one.jobs) && there.contains(&other.jobs));
    for (world, all) in [(&one, &here), (&other, &there)] {
        let known = registered(world).await;
        assert!(!known.is_empty(), "the stage has queues");
        for name in &known {
            assert!(all.iter().any(|url| url.ends_with(name)), "{name} in {all:?}");
        }
    }
}

async fn a_cursor_of_another_stage_is_none(topology: Topology) {
    let (one, other) = two(topology).await;
    for world in [&one, &other] {
        let alice = world.as_user("alice");
        let thread = alice.thread(json!({"members": ["bob"]})).await;
        alice.say(&thread, "hi").await;
    }
    let mut bob = live(&one, "bob").await;
    one.as_user("alice").thread(json!({"members": ["bob"], "title": "another"})).await;
    let cursor = bob.expect("thread").await.id;
    let mut stray = other.open(0, "bob", Some(&cursor)).await;
    stray.expect("hello").await;
    let own = stray.expect("reset").await.id;
    assert_ne!(own.split_once('.').unwrap().0, cursor.split_once('.').unwrap().0);
}

/// Jobs and outbox rows of one stage, while the other has a sweeper and a worker.
async fn nobody_finishes_what_another_stage_owes(topology: Topology) {
    let one = World::start_idle(topology, 1).await;
    let other = one.beside(format!("{}0", one.stage), topology, 1).await;
    let mut bob = live(&one, "bob").await;
    let thread = one.as_user("alice").thread(json!({"members": ["bob", "carol"], "title": "three"})).await;
    bob.expect("thread").await;
    // A writer dies between its commit and its fan-out.
    let now = Clock::system().now();
    let (by, key) = (UserId::parse("alice").unwrap(), IdempotencyKey::parse("a-key").unwrap());
    let request = WriteRequest {
        sender: by,
        via: None,
        idempotency_key: key,
        key_from_client: true,
        fingerprint: "a hash".into(),
        expected: Expected::Any,
        now,
        permit: Permit::default(),
    };
    let id = ThreadId::parse(&thread).unwrap();
    assert!(matches!(
        one.table.write(&request, &id, Command::Message(&"left behind".into())).await.unwrap(),
        Outcome::Logged(..)
    ));
    sweep(&other.fanout(Clock::system())).await;
    assert_eq!(owed(&one).await, 1, "the other stage's sweeper does not see it");
    sweep(&one.fanout(Clock::system())).await;
    assert_eq!(bob.expect("message").await.data["text"], "left behind");

    for world in [&one, &other] {
        let large = world.crowd("alice", limits::INLINE_MEMBERS + 1).await;
        world.as_user("alice").say(large.as_str(), "to all").await;
    }
    until("the other stage's worker has done its own job", async || owed(&other).await == 0).await;
    assert_eq!(one.lying_in(&one.jobs).await, 1, "and leaves this one where it is");
}

#[tokio::test]
async fn the_reaper_of_one_stage_leaves_the_queues_of_another() {
    let one = World::start(Topology::PerUser, 0).await;
    let mut worlds = [one.beside(format!("{}0", one.stage), Topology::PerUser, 0).await, one];
    for world in &mut worlds {
        let config = EdgeArgs { linger: Duration::ZERO, ..World::settings(Topology::PerUser) };
        world.add_edge_with(config, listener::Options::default()).await;
        drop(live(world, "bob").await);
        until("bob's lease is given back", async || {
            let leases = world.leases("bob").await;
            leases.iter().any(|lease| lease.holder.is_none())
        })
        .await;
    }
    let [mut other, one] = worlds;
    let (all, others) = (queues(&one).await, queues(&other).await);
    other.add_reaper(Clock::fixed(Clock::system().now() + 73.hours())).await;
    until("the other stage's queue is gone", async || registered(&other).await.is_empty()).await;
    assert_eq!(queues(&other).await.len(), others.len() - 1);
    assert_eq!((queues(&one).await, registered(&one).await.len()), (all, 1));
}
