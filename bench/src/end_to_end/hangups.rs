//! What becomes of messages whose senders hang up at once: a closed tab, a page left behind "send", a phone that loses
//! its network.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use serde_json::json;
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::pairs::{Stream, connect, post, sign_in, whole};

/// Messages, each in a thread of its own.
const MESSAGES: u32 = 40;
/// A reset comes up to so many milliseconds behind its request.
const RESET_MS: u32 = 15;
/// Time between two messages.
const APART: Duration = Duration::from_millis(50);
/// Later than this is late.
const LATE: Duration = Duration::from_secs(1);
/// Longer than the check that shows in the end what nobody was told of: 60 s.
const END: Duration = Duration::from_secs(90);

/// Sends the messages to threads of `members` besides their sender, and prints how late they are shown.
pub(super) fn measure(at: SocketAddr, name: &str, members: u32) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut threads = Vec::new();
        for n in 0..MESSAGES {
            threads.push(Thread::open(at, format!("{name}{n}"), members).await?);
        }
        let mut sent = JoinSet::new();
        for (n, thread) in (0..MESSAGES).zip(threads) {
            sent.spawn(thread.send(Duration::from_millis((n * RESET_MS / MESSAGES).into())));
            sleep(APART).await;
        }
        let shown: Vec<Option<Duration>> = sent.join_all().await.into_iter().collect::<anyhow::Result<_>>()?;
        let logged: Vec<Duration> = shown.into_iter().flatten().collect();
        let late = logged.iter().filter(|after| **after > LATE).count();
        let last = logged.iter().max().copied().unwrap_or_default().as_secs_f64();
        eprintln!(
            "{name}: {MESSAGES} senders hung up, {} messages were logged, {late} of them shown after more than \
             {} s, the last after {last:.2} s",
            logged.len(),
            LATE.as_secs()
        );
        Ok(())
    })
}

/// A thread whose other members read.
struct Thread {
    at: SocketAddr,
    path: String,
    token: String,
    streams: Vec<Stream>,
}

impl Thread {
    async fn open(at: SocketAddr, name: String, members: u32) -> anyhow::Result<Self> {
        let others: Vec<String> = (0..members).map(|n| format!("{name}-to{n}")).collect();
        let token = sign_in(at, &format!("{name}-from")).await?;
        let mut sender = connect(at).await?;
        let thread = json!({"members": others});
        let thread = whole(sender.send_request(post(at, "/v1/threads", &token, &thread)).await?).await?;
        let id = thread["id"].as_str().context("the answer has no thread id")?;
        let path = format!("/v1/threads/{id}/messages");
        let mut streams = Vec::new();
        for other in &others {
            streams.push(Stream::open(at, &sign_in(at, other).await?).await?);
        }
        let first = json!({"text": "first"});
        whole(sender.send_request(post(at, &path, &token, &first)).await?).await?;
        for stream in &mut streams {
            while stream.text().await? != "first" {}
        }
        Ok(Self { at, path, token, streams })
    }

    /// Sends a message and resets its connection `reset` later. How long it took until all others had it, if it was
    /// logged.
    async fn send(self, reset: Duration) -> anyhow::Result<Option<Duration>> {
        let Self { at, path, token, mut streams } = self;
        let body = r#"{"text":"hung up"}"#;
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {at}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut hasty = TcpStream::connect(at).await?;
        hasty.write_all(request.as_bytes()).await?;
        let begin = Instant::now();
        sleep(reset).await;
        SockRef::from(&hasty).set_linger(Some(Duration::ZERO))?;
        drop(hasty);
        let shown = timeout(END, async {
            for stream in &mut streams {
                while stream.text().await? != "hung up" {}
            }
            anyhow::Ok(begin.elapsed())
        });
        // What is not shown by then was not logged.
        shown.await.ok().transpose()
    }
}
