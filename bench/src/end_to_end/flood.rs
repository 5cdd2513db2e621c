//! How a flood affects other users: one user who asks for twenty times what each limit allows, and strangers without a
//! token.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Instant as Moment, sleep_until},
};

use super::pairs::{Outcome, connect, load, post, request, sign_in, whole};

/// Messages a second of all others: a chat at its ease.
const STEADY: u32 = 50;
/// How long each calm lasts, and the load beside each flood. A flood lasts two seconds more.
const SECONDS: u32 = 10;
/// How much more than its limit a user asks for.
const TIMES: f64 = 20.0;
/// Requests a second without a token.
const STRANGERS: f64 = 2_000.0;
/// Connections of a flood.
const CONNECTIONS: u32 = 16;

/// A flood of one kind.
#[derive(Clone, Copy)]
struct Flood {
    name: &'static str,
    per_second: f64,
    /// Its request of this number, from a flooder with a thread in which message 2 is theirs.
    request: fn(&Flooder, u64) -> Request<Full<Bytes>>,
}

/// The flooding user.
#[derive(Clone)]
struct Flooder {
    at: SocketAddr,
    token: String,
    thread: String,
}

/// Counts of answers, by status.
#[derive(Default)]
struct Answers {
    accepted: u64,
    refused: u64,
    other: u64,
}

const FLOODS: [Flood; 10] = [
    Flood {
        name: "send",
        per_second: TIMES * 2.0,
        request: |who, n| who.post("/messages", &json!({"text": n.to_string()})),
    },
    Flood {
        name: "change",
        per_second: TIMES * 4.0,
        request: |who, n| who.ask(Method::PATCH, "/messages/2", &json!({"text": n.to_string()}).to_string()),
    },
    Flood {
        name: "toggle",
        per_second: TIMES * 4.0,
        request: |who, n| {
            let method = if n.is_multiple_of(2) { Method::PUT } else { Method::DELETE };
            who.ask(method, "/messages/2/reactions/+1", "")
        },
    },
    Flood {
        name: "create",
        per_second: TIMES / 6.0,
        request: |who, n| {
            post(who.at, "/v1/threads", &who.token, &json!({"members": [format!("to{n}")], "title": "buy"}))
        },
    },
    Flood {
        name: "invite",
        per_second: TIMES * 200.0 / 3_600.0,
        request: |who, n| who.ask(Method::PUT, &format!("/members/to{}", n % 50), ""),
    },
    Flood {
        name: "seen",
        per_second: TIMES * 5.0,
        request: |who, n| who.post("/seen", &json!({"number": n})),
    },
    Flood {
        name: "typing",
        per_second: TIMES,
        request: |who, _| who.post("/typing", &json!({"state": "started"})),
    },
    Flood {
        name: "ticket",
        per_second: TIMES / 2.0,
        request: |who, _| post(who.at, "/v1/tickets", &who.token, &json!({})),
    },
    Flood {
        name: "read",
        per_second: TIMES * 20.0,
        request: |who, _| who.ask(Method::GET, "/messages?limit=100", ""),
    },
    Flood {
        name: "no token",
        per_second: STRANGERS,
        request: |who, n| {
            let stranger = Flooder {
                token: if n.is_multiple_of(2) { String::new() } else { "e30.e30.e30".into() },
                ..who.clone()
            };
            match n % 4 {
                0 | 1 => stranger.ask(Method::GET, "/messages", ""),
                2 => stranger.post("/messages", &json!({"text": "let me in"})),
                _ => request(who.at, Method::GET, "/v1/events", &stranger.token)
                    .body(Full::default())
                    .expect("it is one"),
            }
        },
    },
];

/// Runs each flood beside a steady load, with a calm before it, and prints how late the others' messages are shown.
pub(super) fn measure(at: SocketAddr) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let flooder = runtime.block_on(Flooder::open(at))?;
    drop(runtime);
    // The first load warms everything up.
    load(at, STEADY, SECONDS)?;
    eprintln!(
        "| flood | asked /s | accepted | 429 | other | calm p50 ms | p50 ms | calm p99 ms | p99 ms | ratio | lost, wrong |"
    );
    eprintln!("|---|---|---|---|---|---|---|---|---|---|---|");
    for flood in FLOODS {
        let calm = load(at, STEADY, SECONDS)?;
        let who = flooder.clone();
        let end = Instant::now() + Duration::from_secs(u64::from(SECONDS) + 2);
        let flooding = thread::spawn(move || flood.run(&who, end));
        let beside = load(at, STEADY, SECONDS)?;
        let answers = flooding.join().map_err(|_| anyhow::anyhow!("a flood has panicked"))??;
        flood.tell(&answers, &calm, &beside);
    }
    Ok(())
}

impl Flood {
    /// Sends until `end`, each request at its time, over a few connections.
    fn run(self, who: &Flooder, end: Instant) -> anyhow::Result<Answers> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut connections = JoinSet::new();
            let begin = Moment::now();
            for first in 0..u64::from(CONNECTIONS) {
                let (who, end) = (who.clone(), Moment::from_std(end));
                connections.spawn(async move {
                    let (mut sender, mut answers) = (connect(who.at).await?, Answers::default());
                    for n in (first..).step_by(CONNECTIONS as usize) {
                        let due = begin + Duration::from_secs_f64(n as f64 / self.per_second);
                        if due >= end {
                            break;
                        }
                        sleep_until(due).await;
                        if sender.ready().await.is_err() {
                            sender = connect(who.at).await?;
                        }
                        let Ok(answer) = sender.send_request((self.request)(&who, n)).await else {
                            answers.other += 1;
                            continue;
                        };
                        match answer.status().as_u16() {
                            200..300 => answers.accepted += 1,
                            429 => answers.refused += 1,
                            _ => answers.other += 1,
                        }
                        answer.into_body().collect().await?;
                    }
                    anyhow::Ok(answers)
                });
            }
            let mut all = Answers::default();
            while let Some(one) = connections.join_next().await {
                let one = one??;
                all.accepted += one.accepted;
                all.refused += one.refused;
                all.other += one.other;
            }
            Ok(all)
        })
    }

    fn tell(&self, answers: &Answers, calm: &Outcome, beside: &Outcome) {
        let Answers { accepted, refused, other } = answers;
        eprintln!(
            "| {} | {:.1} | {accepted} | {refused} | {other} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {}, {} |",
            self.name,
            self.per_second,
            calm.p50_ms,
            beside.p50_ms,
            calm.p99_ms,
            beside.p99_ms,
            beside.p99_ms / calm.p99_ms,
            calm.lost + beside.lost,
            calm.wrong + beside.wrong,
        );
    }
}

impl Flooder {
    /// Signs in, and opens a group with a first message.
    async fn open(at: SocketAddr) -> anyhow::Result<Self> {
        let token = sign_in(at, "flooder").await?;
        let mut sender = connect(at).await?;
        let group = json!({"members": ["other"], "title": "flood"});
        let group = whole(sender.send_request(post(at, "/v1/threads", &token, &group)).await?).await?;
        let thread = group["id"].as_str().context("the answer has no thread id")?.to_owned();
        let who = Self { at, token, thread };
        whole(sender.send_request(who.post("/messages", &json!({"text": "first"}))).await?).await?;
        Ok(who)
    }

    fn post(&self, rest: &str, body: &serde_json::Value) -> Request<Full<Bytes>> {
        self.ask(Method::POST, rest, &body.to_string())
    }

    /// A request about the flooder's thread.
    fn ask(&self, method: Method, rest: &str, body: &str) -> Request<Full<Bytes>> {
        let path = format!("/v1/threads/{}{rest}", self.thread);
        let body = Full::new(Bytes::from(body.to_owned()));
        request(self.at, method, &path, &self.token)
            .body(body)
            .expect("a path and headers of our own make a request")
    }
}
