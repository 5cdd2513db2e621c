//! What streams that never read cost an edge, process and kernel together, and whether others
//! notice. Starts the emulators and the API itself, and the `sse-edge` beside this program.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for those who measure")]

use std::{net::SocketAddr, process::Stdio, time::Duration};

use clap::Parser;
use domain::limits;
use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    deaf::Deaf,
    sse::Stream,
    world::{SECRET, World},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// Measures what streams that never read cost.
#[derive(Debug, Parser)]
struct Args {
    /// Streams that never read.
    #[arg(long, default_value_t = 2_000)]
    streams: usize,
    /// Messages of 16 KiB for each of them.
    #[arg(long, default_value_t = 12)]
    messages: usize,
}

/// Members of one group, beside its owner.
const GROUP: usize = 39;
/// Streams that may be opening at once: what an opening one costs for a moment is not asked here.
const OPENING: usize = 32;
/// How long all streams together may take to be closed: the stall, the next ping, and some.
const CLOSED_WITHIN: Duration = Duration::from_secs(90);

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let world = World::start(Topology::PerEdge, 0).await;
    let (mut edge, address, metrics) = start_edge(&world).await;
    let process = edge.id().unwrap();
    let alice = world.as_user("alice");
    let users: Vec<String> =
        (0..args.streams.div_ceil(limits::USER_STREAMS)).map(|n| format!("u{n}")).collect();
    let mut groups = Vec::new();
    for members in users.chunks(GROUP) {
        groups.push(alice.thread(json!({"members": members, "title": "deaf"})).await);
    }
    let quiet = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = Stream::open(address, &world.token("bob"), None).await;
    bob.expect("hello").await;

    let alone = latencies(&world, &quiet, &mut bob, 100).await;
    let (rss, kernel) = (rss_kib(process), tcp_kib());
    let mut deaf = Vec::new();
    for n in 0..args.streams {
        while n >= streams(metrics).await + OPENING {
            sleep(Duration::from_millis(5)).await;
        }
        deaf.push(Deaf::open(address, &world.token(&users[n / limits::USER_STREAMS])).await);
    }
    while streams(metrics).await < args.streams {
        sleep(Duration::from_millis(50)).await;
    }
    println!(
        "open: {:.1} KiB each in the process, {:.1} in the kernel",
        each(rss_kib(process), rss, args.streams),
        each(tcp_kib(), kernel, args.streams)
    );
    let long = "x".repeat(limits::MESSAGE_BYTES);
    let (mut most, mut filling) = ((0, 0), Vec::new());
    for _ in 0..args.messages {
        for group in &groups {
            alice.say(group, &long).await;
            filling.extend(latencies(&world, &quiet, &mut bob, 1).await);
            most = most.max((rss_kib(process) + tcp_kib(), rss_kib(process)));
        }
    }
    let kernel_most = most.0 - most.1;
    println!(
        "full, {} still open: {:.1} KiB each in the process, {:.1} in the kernel (both ends)",
        streams(metrics).await,
        each(most.1, rss, args.streams),
        each(kernel_most, kernel, args.streams),
    );
    let begin = Instant::now();
    timeout(CLOSED_WITHIN, async {
        while streams(metrics).await > 1 {
            filling.extend(latencies(&world, &quiet, &mut bob, 1).await);
        }
    })
    .await
    .expect("those who never read are closed");
    println!("all closed {:.0} s later", begin.elapsed().as_secs_f64());
    println!(
        "a reader's latency: alone p50 {:.1} p99 {:.1} ms; meanwhile p50 {:.1} p99 {:.1} ms",
        at(&alone, 0.5),
        at(&alone, 0.99),
        at(&filling, 0.5),
        at(&filling, 0.99)
    );
    edge.kill().await.unwrap();
}

async fn start_edge(world: &World) -> (Child, SocketAddr, SocketAddr) {
    let endpoints = world.endpoints.clone();
    let beside = std::env::current_exe().unwrap().with_file_name("sse-edge");
    let mut edge = Command::new(beside)
        .env("NO_COLOR", "1")
        .args([
            "--listen",
            "127.0.0.1:0",
            "--table",
            &world.stage,
            "--stage",
            &world.stage,
            "--queues",
            "per-edge",
            "--metrics-listen",
            "127.0.0.1:0",
        ])
        .env("RUNNEL_DYNAMODB_ENDPOINT", endpoints.dynamodb.unwrap())
        .env("RUNNEL_SQS_ENDPOINT", endpoints.sqs.unwrap())
        .env("RUNNEL_JWT_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("`cargo build -p sse-edge` first, in the same profile");
    let mut lines = BufReader::new(edge.stderr.take().unwrap()).lines();
    let mut metrics = None;
    loop {
        let line = lines.next_line().await.unwrap().expect("the edge says where it listens");
        if let Some((_, rest)) = line.split_once("metrics at http://") {
            metrics = Some(rest.split_once('/').unwrap().0.parse().unwrap());
        }
        if let Some((_, address)) = line.split_once("listens on http://") {
            let address = address.split_whitespace().next().unwrap().parse().unwrap();
            // Whatever else it says must not fill the pipe.
            tokio_util::task::TaskTracker::new()
                .spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (edge, address, metrics.unwrap());
        }
    }
}

/// Milliseconds from the post of a message to its frame.
async fn latencies(world: &World, thread: &str, stream: &mut Stream, count: usize) -> Vec<f64> {
    let (alice, mut all) = (world.as_user("alice"), Vec::new());
    for _ in 0..count {
        let begin = Instant::now();
        alice.say(thread, "hi").await;
        stream.expect("message").await;
        all.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    all
}

fn at(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((sorted.len() - 1) as f64 * quantile) as usize;
    sorted[index]
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn each(now: u64, before: u64, count: usize) -> f64 {
    now.saturating_sub(before) as f64 / count as f64
}

/// What the process holds.
fn rss_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    number(&status, "VmRSS:")
}

/// What the kernel holds for all TCP sockets of the machine, in pages of 4 KiB.
fn tcp_kib() -> u64 {
    let sockets = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).unwrap();
    4 * number(tcp, "mem")
}

fn number(text: &str, name: &str) -> u64 {
    text.split_once(name).unwrap().1.split_whitespace().next().unwrap().parse().unwrap()
}

/// Streams that the edge has open.
async fn streams(address: SocketAddr) -> usize {
    let text = tests::http::text(address, "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix("edge_streams ")).unwrap();
    line.trim().parse().unwrap()
}
