//! What an edge keeps for clients that do not read. A test binary of its own: what the kernel holds is
//! counted for the whole machine.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use domain::limits;
use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    deaf::Deaf,
    process::{Running, program},
    sse::Stream,
    world::{SECRET, World},
};

const STREAMS: usize = 500;
/// Members of one group, beside its owner.
const GROUP: usize = 39;
/// Of 16 KiB each, to every stream: three times what an edge and its socket may hold.
const MESSAGES: usize = 12;
/// The process and, for both ends, the kernel.
const MOST_KIB: u64 = 64;

#[tokio::test]
async fn a_stream_that_nobody_reads_costs_less_than_64_kib_and_others_are_served() {
    let world = World::start(Topology::PerEdge, 0).await;
    let edge = Running::serving(edge_of(&world)).await;
    let alice = world.as_user("alice");
    let users = (0..STREAMS.div_ceil(limits::USER_STREAMS)).map(|n| format!("u{n}"));
    let users: Vec<String> = users.collect();
    let mut groups = Vec::new();
    for members in users.chunks(GROUP) {
        groups.push(alice.thread(json!({"members": members, "title": "deaf"})).await);
    }
    let quiet = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = Stream::open(edge.address, &world.token("bob"), None).await;
    bob.expect("hello").await;

    let before = held_kib(edge.pid());
    let mut deaf = Vec::new();
    for n in 0..STREAMS {
        deaf.push(Deaf::open(edge.address, &world.token(&users[n / limits::USER_STREAMS])).await);
    }
    let (long, mut most) = ("x".repeat(limits::MESSAGE_BYTES), 0);
    for n in 0..MESSAGES {
        for group in &groups {
            alice.say(group, &long).await;
        }
        alice.say(&quiet, &n.to_string()).await;
        assert_eq!(bob.expect("message").await.data["text"], n.to_string());
        most = most.max(held_kib(edge.pid()));
    }
    let each = most.saturating_sub(before) / STREAMS as u64;
    assert!((1..MOST_KIB).contains(&each), "{each} KiB each");
}

fn edge_of(world: &World) -> tokio::process::Command {
    let mut edge = program("sse-edge");
    edge.args(["--listen", "127.0.0.1:0", "--queues", "per-edge", "--table", &world.stage])
        .args(["--stage", &world.stage])
        .env("RUNNEL_DYNAMODB_ENDPOINT", world.endpoints.dynamodb.as_deref().unwrap())
        .env("RUNNEL_SQS_ENDPOINT", world.endpoints.sqs.as_deref().unwrap())
        .env("RUNNEL_JWT_SECRET", SECRET);
    edge
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
