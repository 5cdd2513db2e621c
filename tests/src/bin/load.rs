//! Open-loop load of 1:1 messages on a running `runnel`: latency from the moment a message was due
//! to its frame at the receiver, and whether any was lost, doubled or reordered.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for those who measure")]

#[path = "load/hot.rs"]
mod hot;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use clap::Parser;
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tests::{http::Api, sse::Stream};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::TaskTracker;

/// Loads a `runnel` on this machine with 1:1 messages.
#[derive(Debug, Parser)]
struct Args {
    /// Where it serves.
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// Pairs of users, each with a sender and an open stream.
    #[arg(long, default_value_t = 50)]
    pairs: u32,
    /// Messages a second, in all.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Seconds to send for.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Instead: so many busy threads of one user, who reads them all.
    #[arg(long, value_name = "THREADS")]
    hot: Option<u32>,
    /// With `--hot`: writers in each thread, each as fast as it is answered.
    #[arg(long, default_value_t = 1)]
    writers: u32,
}

/// What one pair has seen.
#[derive(Debug, Default)]
struct Seen {
    sent: u64,
    failed: u64,
    latencies: Vec<Duration>,
    lost: u64,
    doubled: u64,
    reordered: u64,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    if let Some(threads) = args.hot {
        let time = Duration::from_secs(args.seconds.into());
        return hot::run(hot::Hot { address: args.address, threads, writers: args.writers, time }).await;
    }
    let (tracker, (done, mut seen)) = (TaskTracker::new(), mpsc::channel(args.pairs as usize));
    let mut pairs = Vec::new();
    for n in 0..args.pairs {
        pairs.push(Pair::open(args.address, n).await);
    }
    let begin = Instant::now();
    for (n, pair) in (0_u32..).zip(pairs) {
        let period = Duration::from_secs(1) * args.pairs / args.rate;
        let first = begin + Duration::from_secs(1) * n / args.rate;
        let end = begin + Duration::from_secs(args.seconds.into());
        let done = done.clone();
        tracker.spawn(async move { done.send(pair.run(first, period, end).await).await.unwrap() });
    }
    drop(done);
    let mut all = Seen::default();
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    while let Some(one) = seen.recv().await {
        all.sent += one.sent;
        all.failed += one.failed;
        all.lost += one.lost;
        all.doubled += one.doubled;
        all.reordered += one.reordered;
        one.latencies.iter().for_each(|l| histogram.record(u64::try_from(l.as_micros()).unwrap()).unwrap());
    }
    let ms = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile)).as_secs_f64() * 1e3;
    println!(
        "{} messages accepted in {:.1} s, {} not accepted; due → frame: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; lost {}, doubled {}, reordered {}",
        all.sent,
        begin.elapsed().as_secs_f64(),
        all.failed,
        ms(0.5),
        ms(0.99),
        ms(1.0),
        all.lost,
        all.doubled,
        all.reordered,
    );
}

/// How long before its first request a connection is opened: a server gives one that says nothing 5 s.
const EARLY: Duration = Duration::from_secs(1);

struct Pair {
    address: SocketAddr,
    path: String,
    token: String,
    stream: Stream,
}

impl Pair {
    async fn open(address: SocketAddr, n: u32) -> Self {
        let (from, to) =
            (sign_in(address, &format!("from{n}")).await, sign_in(address, &format!("to{n}")).await);
        let api = Api { address, token: Some(from.clone()) };
        let thread = api.thread(json!({"members": [format!("to{n}")]})).await;
        let mut stream = Stream::open(address, &to, None).await;
        stream.expect("hello").await;
        // The first message shows that the stream is live.
        api.say(&thread, "first").await;
        stream.expect("message").await;
        let path = format!("/v1/threads/{thread}/messages");
        Self { address, path, token: from, stream }
    }

    async fn run(self, first: Instant, period: Duration, end: Instant) -> Seen {
        let (due_at, mut due) = mpsc::channel(100_000);
        let mut stream = self.stream;
        let sending = async {
            sleep_until(first.checked_sub(EARLY).unwrap_or(first)).await;
            let mut sender = connect(self.address).await;
            let (mut seen, mut at, mut n) = (Seen::default(), first, 0_u64);
            while at < end {
                sleep_until(at).await;
                let body = json!({ "text": n.to_string() }).to_string();
                let request = Request::post(&self.path)
                    .header("host", self.address.to_string())
                    .header("authorization", format!("Bearer {}", self.token))
                    .header("content-type", "application/json")
                    .body(Full::new(Bytes::from(body)))
                    .unwrap();
                due_at.send((n, at)).await.unwrap();
                let answer = sender.send_request(request).await.unwrap();
                let accepted = answer.status().is_success();
                answer.into_body().collect().await.unwrap();
                if accepted {
                    seen.sent += 1;
                } else {
                    seen.failed += 1;
                }
                n += 1;
                at += period;
            }
            drop(due_at);
            seen
        };
        let receiving = async {
            let mut seen = Seen::default();
            let mut next = 0;
            while let Some((n, at)) = due.recv().await {
                while next <= n {
                    let Ok(frame) = timeout(Duration::from_secs(15), stream.next()).await else {
                        seen.lost += 1;
                        break;
                    };
                    let Some(shown) = number(&frame.data) else { continue };
                    match shown.cmp(&next) {
                        std::cmp::Ordering::Less => seen.doubled += 1,
                        std::cmp::Ordering::Greater => seen.reordered += 1,
                        std::cmp::Ordering::Equal => seen.latencies.push(at.elapsed()),
                    }
                    next = next.max(shown + 1);
                }
            }
            seen
        };
        let (sent, received) = tokio::join!(sending, receiving);
        Seen { sent: sent.sent, failed: sent.failed, ..received }
    }
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    TaskTracker::new().spawn(connection);
    sender
}

fn number(data: &Value) -> Option<u64> {
    data["text"].as_str()?.parse().ok()
}

async fn sign_in(address: SocketAddr, user: &str) -> String {
    let answer = Api { address, token: None }.post("/dev/session", json!({ "user": user })).await;
    answer.body["token"].as_str().expect("the dev sign-in of a local runnel").to_owned()
}
