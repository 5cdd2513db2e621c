//! Open-loop load of 1:1 messages: latency from the moment at which a message is due to its frame at the receiver, and
//! whether any message is lost, doubled or reordered.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use domain::frame;
use hdrhistogram::Histogram;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// Pairs of users, each with a sender and an open stream.
const PAIRS: u32 = 50;
/// How long before its first request a connection is opened: a server gives a silent one 5 s.
const EARLY: Duration = Duration::from_secs(1);
/// A frame that takes longer counts as lost.
const LOST: Duration = Duration::from_secs(15);

/// What became of the messages.
pub(crate) struct Outcome {
    pub(crate) accepted: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) lost: f64,
    /// Doubled or reordered.
    pub(crate) wrong: f64,
}

/// Sends `rate` messages a second for `seconds`, and waits for all of their frames.
pub(crate) fn load(at: SocketAddr, rate: u32, seconds: u32) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut pairs = Vec::new();
        for n in 0..PAIRS {
            pairs.push(Pair::open(at, n).await?);
        }
        let begin = Instant::now();
        let end = begin + Duration::from_secs(seconds.into());
        let mut running = JoinSet::new();
        for (n, pair) in (0_u32..).zip(pairs) {
            let first = begin + Duration::from_secs(1) * n / rate;
            running.spawn(pair.run(first, Duration::from_secs(1) * PAIRS / rate, end));
        }
        let (mut all, mut histogram) = (Seen::default(), Histogram::<u64>::new(3)?);
        while let Some(one) = running.join_next().await {
            let one = one??;
            all.accepted += one.accepted;
            all.lost += one.lost;
            all.wrong += one.wrong;
            for latency in one.latencies {
                histogram.record(latency.as_micros() as u64)?;
            }
        }
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Ok(Outcome {
            accepted: f64::from(all.accepted),
            seconds: begin.elapsed().as_secs_f64(),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            lost: f64::from(all.lost),
            wrong: f64::from(all.wrong),
        })
    })
}

/// What one pair has seen.
#[derive(Debug, Default)]
struct Seen {
    accepted: u32,
    latencies: Vec<Duration>,
    lost: u32,
    wrong: u32,
}

struct Pair {
    at: SocketAddr,
    path: String,
    token: String,
    stream: Stream,
}

impl Pair {
    async fn open(at: SocketAddr, n: u32) -> anyhow::Result<Self> {
        let [from, to] = [format!("from{n}"), format!("to{n}")];
        let (token, token_to) = (sign_in(at, &from).await?, sign_in(at, &to).await?);
        let mut sender = connect(at).await?;
        let thread = sender.send_request(post(at, "/v1/threads", &token, &json!({"members": [to]}))).await?;
        let path = format!(
            "/v1/threads/{}/messages",
            whole(thread).await?["id"].as_str().context("the answer has no thread id")?
        );
        let mut stream = Stream::open(at, &token_to).await?;
        // The first message shows that the stream is live.
        whole(sender.send_request(post(at, &path, &token, &json!({"text": "first"}))).await?).await?;
        while stream.text().await? != "first" {}
        Ok(Self { at, path, token, stream })
    }

    async fn run(self, first: Instant, period: Duration, end: Instant) -> anyhow::Result<Seen> {
        let Self { at, path, token, mut stream } = self;
        let (sent, mut due) = mpsc::channel(100_000);
        let sending = async move {
            sleep_until(first.checked_sub(EARLY).unwrap_or(first)).await;
            let mut sender = connect(at).await?;
            let (mut accepted, mut when, mut n) = (0, first, 0_u64);
            while when < end {
                sleep_until(when).await;
                sent.send((n, when)).await?;
                let request = post(at, &path, &token, &json!({"text": n.to_string()}));
                let answer = sender.send_request(request).await?;
                accepted += u32::from(answer.status().is_success());
                answer.into_body().collect().await?;
                n += 1;
                when += period;
            }
            anyhow::Ok(accepted)
        };
        let receiving = async move {
            let (mut seen, mut next) = (Seen::default(), 0);
            while let Some((n, when)) = due.recv().await {
                while next <= n {
                    let Ok(text) = timeout(LOST, stream.text()).await else {
                        seen.lost += 1;
                        break;
                    };
                    let shown: u64 = text?.parse()?;
                    match shown.cmp(&next) {
                        std::cmp::Ordering::Equal => seen.latencies.push(when.elapsed()),
                        std::cmp::Ordering::Less => seen.wrong += 1,
                        // Refused, or lost on its way.
                        std::cmp::Ordering::Greater => seen.lost += (shown - next) as u32,
                    }
                    next = next.max(shown + 1);
                }
            }
            anyhow::Ok(seen)
        };
        let (accepted, seen) = tokio::try_join!(sending, receiving)?;
        Ok(Seen { accepted, ..seen })
    }
}

/// An open stream.
pub(super) struct Stream {
    body: Incoming,
    unread: Vec<u8>,
    _sender: SendRequest<Full<Bytes>>,
}

impl Stream {
    pub(super) async fn open(at: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let mut sender = connect(at).await?;
        let request = request(at, Method::GET, "/v1/events", token).body(Full::default())?;
        let body = sender.send_request(request).await?.into_body();
        Ok(Self { body, unread: Vec::new(), _sender: sender })
    }

    /// The text of the next message.
    pub(super) async fn text(&mut self) -> anyhow::Result<String> {
        loop {
            while let Some(block) = frame::next_block(&mut self.unread) {
                let frame = frame::parse(std::str::from_utf8(&block)?)
                    .context("a block of the stream is no frame")?;
                if frame.event == "message" {
                    let data: Value = serde_json::from_str(frame.data)?;
                    return Ok(data["text"].as_str().context("the message has no text")?.to_owned());
                }
            }
            let part = self.body.frame().await.context("the stream ended")??;
            self.unread.extend_from_slice(&part.into_data().unwrap_or_default());
        }
    }
}

pub(super) async fn connect(at: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(at).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    // It ends with its sender.
    tokio::spawn(connection);
    Ok(sender)
}

pub(super) fn request(at: SocketAddr, method: Method, path: &str, token: &str) -> http::request::Builder {
    let builder = Request::builder().method(method).uri(path).header("host", at.to_string());
    builder.header("content-type", "application/json").header("authorization", format!("Bearer {token}"))
}

pub(super) fn post(at: SocketAddr, path: &str, token: &str, body: &Value) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from(body.to_string()));
    request(at, Method::POST, path, token).body(body).expect("a path and headers of our own make a request")
}

pub(super) async fn sign_in(at: SocketAddr, user: &str) -> anyhow::Result<String> {
    let request = post(at, "/dev/session", "", &json!({"user": user}));
    let session = whole(connect(at).await?.send_request(request).await?).await?;
    Ok(session["token"].as_str().context("the answer has no token")?.to_owned())
}

pub(super) async fn whole(answer: Response<Incoming>) -> anyhow::Result<Value> {
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}
