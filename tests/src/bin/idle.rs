//! What open streams to which nothing happens cost an edge, each of a user of its own. Starts the
//! emulators itself, and the `sse-edge` beside this program.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for those who measure")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser;
use sse_edge::config::Topology;
use tests::{
    process::Running,
    world::{SECRET, World},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    sync::{Semaphore, mpsc},
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

/// Measures what streams at rest cost.
#[derive(Debug, Parser)]
struct Args {
    /// Streams.
    #[arg(long, default_value_t = 10_000)]
    streams: usize,
    /// Streams opened before the first look, so that what an edge needs for any is not counted.
    #[arg(long, default_value_t = 500)]
    warm: usize,
    /// Streams that may be opening at once.
    #[arg(long, default_value_t = 32)]
    opening: usize,
    /// Bytes of a cookie that the edge does not know, to make heads as long as a browser's.
    #[arg(long, default_value_t = 0)]
    cookie: usize,
    /// As HTTP/1.0, whose streams stay in hyper.
    #[arg(long)]
    in_hyper: bool,
    /// Seconds at rest over which the processor's time is taken.
    #[arg(long, default_value_t = 30)]
    rest: u64,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let world = Arc::new(World::start(Topology::PerEdge, 0).await);
    let endpoints = world.endpoints.clone();
    let mut command = Command::new(std::env::current_exe().unwrap().with_file_name("sse-edge"));
    command
        .args(["--listen", "127.0.0.1:0", "--table", &world.stage, "--stage", &world.stage])
        .args(["--queues", "per-edge", "--dynamodb-endpoint", &endpoints.dynamodb.unwrap()])
        .args(["--sqs-endpoint", &endpoints.sqs.unwrap()])
        .env("RUNNEL_JWT_SECRET", SECRET)
        .kill_on_drop(true);
    let edge = Running::serving(command).await;
    let mut streams = Vec::new();
    open(&mut streams, args.warm, &args, (&world, edge.address)).await;
    // What their leases and first comparisons cost has passed.
    sleep(Duration::from_secs(10)).await;
    let before = rss_kib(edge.pid());
    let begin = Instant::now();
    open(&mut streams, args.streams, &args, (&world, edge.address)).await;
    println!("{} streams opened in {:.0} s", streams.len(), begin.elapsed().as_secs_f64());
    sleep(Duration::from_secs(20)).await;
    let (after, ticks) = (rss_kib(edge.pid()), cpu_ticks(edge.pid()));
    sleep(Duration::from_secs(args.rest)).await;
    let ticks = cpu_ticks(edge.pid()) - ticks;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = (after as f64 - before as f64) / (args.streams - args.warm) as f64;
    println!("{before} → {after} KiB: {each:.2} KiB a stream");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let share = ticks as f64 / args.rest as f64;
    println!("at rest: {share:.1} % of a core");
    let peak = status(edge.pid(), "VmHWM:");
    println!("most at any time: {peak} KiB");
}

/// Opens streams until there are `count`, each up to its hello.
async fn open(
    streams: &mut Vec<TcpStream>,
    count: usize,
    args: &Args,
    (world, edge): (&Arc<World>, SocketAddr),
) {
    let (tracker, places) = (TaskTracker::new(), Arc::new(Semaphore::new(args.opening)));
    let (done, mut opened) = mpsc::channel(args.opening);
    for n in streams.len()..count {
        let (world, places, done) = (world.clone(), places.clone(), done.clone());
        let (cookie, version) = ("x".repeat(args.cookie), u8::from(!args.in_hyper));
        let opening = async move {
            let _place = places.acquire().await.unwrap();
            let token = world.token(&format!("user-{n:06}"));
            let mut stream = TcpStream::connect(edge).await.unwrap();
            let head = format!(
                "GET /v1/events HTTP/1.{version}\r\nhost: {edge}\r\nauthorization: Bearer {token}\r\ncookie: other={cookie}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let (mut got, mut buf) = (Vec::new(), [0; 2048]);
            while !got.windows(12).any(|some| some == b"event: hello") {
                let count = stream.read(&mut buf).await.unwrap();
                assert!(count > 0, "no stream for user {n}: {}", String::from_utf8_lossy(&got));
                got.extend_from_slice(&buf[..count]);
            }
            done.send(stream).await.unwrap();
        };
        tracker.spawn(opening);
    }
    drop(done);
    while let Some(stream) = opened.recv().await {
        streams.push(stream);
    }
}

fn rss_kib(process: u32) -> u64 {
    status(process, "VmRSS:")
}

fn status(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    status.split_once(name).unwrap().1.split_whitespace().next().unwrap().parse().unwrap()
}

/// What the process has used of the processors, in hundredths of a second.
fn cpu_ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
