//! What an edge keeps for clients that do not read, and what those notice who do.

use std::time::Duration;

use client::{http::Api, sse::Stream};
use domain::limits;
use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    deaf::Deaf,
    world::{World, until},
};
use tokio::time::Instant;

use crate::{ONE, edge_of};

const STREAMS: usize = 2_000;
/// Members of one group, beside its owner and carol.
const GROUP: usize = 39;
/// Of 16 KiB each, to every stream: three times what an edge and its socket may hold.
const MESSAGES: usize = 12;
/// Of each stream: the process and, for both ends, the kernel.
const MOST_KIB: u64 = 64;
/// From the request to the frame, while all the others do not read.
const SHOWN_IN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_that_do_not_read_cost_little_and_keep_nobody_waiting_with_a_queue_per_user() {
    nobody_reads(Topology::PerUser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_that_do_not_read_cost_little_and_keep_nobody_waiting_with_a_queue_per_edge() {
    nobody_reads(Topology::PerEdge).await;
}

async fn nobody_reads(topology: Topology) {
    let _one = ONE.lock().await;
    let world = World::start(topology, 0).await;
    let edge = edge_of(&world, topology).await;
    let alice = world.as_user("alice");
    let users = (0..STREAMS.div_ceil(limits::USER_STREAMS)).map(|n| format!("u{n}"));
    let users: Vec<String> = users.collect();
    let mut groups = Vec::new();
    for members in users.chunks(GROUP) {
        let members: Vec<&str> = members.iter().map(String::as_str).chain(["carol"]).collect();
        groups.push(alice.thread(json!({"members": members, "title": "deaf"})).await);
    }
    let quiet = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = Stream::open(edge.address, &world.token("bob"), None).await;
    bob.expect("hello").await;
    let mut carol = Stream::open(edge.address, &world.token("carol"), None).await;
    carol.expect("hello").await;

    let before = held_kib(edge.pid());
    let mut deaf = Vec::new();
    for n in 0..STREAMS {
        deaf.push(Deaf::open(edge.address, &world.token(&users[n / limits::USER_STREAMS])).await);
    }
    for user in &users {
        until("all are told of news", async || is_leased(&world, user).await).await;
    }
    let (long, mut most, mut latest) = ("x".repeat(limits::MESSAGE_BYTES), 0, Duration::ZERO);
    for n in 0..MESSAGES {
        for group in &groups {
            latest = latest.max(shown_in(&alice, group, &long, &mut carol).await);
        }
        latest = latest.max(shown_in(&alice, &quiet, &n.to_string(), &mut bob).await);
        most = most.max(held_kib(edge.pid()));
    }
    let each = most.saturating_sub(before) / STREAMS as u64;
    println!(
        "{topology:?}: {STREAMS} that do not read cost {each} KiB each; others were shown in {latest:?}"
    );
    assert!((1..MOST_KIB).contains(&each), "{each} KiB each");
    assert!(latest < SHOWN_IN, "somebody who reads was shown a message {latest:?} late");
}

async fn is_leased(world: &World, user: &str) -> bool {
    world.leases(user).await.iter().any(|lease| lease.holder.is_some())
}

/// Says something, and how long it took until somebody was shown it.
async fn shown_in(alice: &Api, thread: &str, text: &str, to: &mut Stream) -> Duration {
    let began = Instant::now();
    alice.say(thread, text).await;
    assert_eq!(to.expect("message").await.data["text"], text);
    began.elapsed()
}

/// What the process holds, and the kernel for all TCP sockets of the machine.
fn held_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let sockets = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).unwrap();
    // In pages of 4 KiB.
    number(&status, "VmRSS:") + 4 * number(tcp, "mem")
}

fn number(text: &str, name: &str) -> u64 {
    text.split_once(name).unwrap().1.split_whitespace().next().unwrap().parse().unwrap()
}
