//! Users who talk: every message has a key, and is posted until it is answered.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::StatusCode;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    cast::{Cast, Thread, Truth},
    fleet::Fleet,
};

/// Writers of each thread, so that they get in each other's way.
const WRITERS: usize = 2;
/// Members up to which a thread is a small one, and milliseconds between two messages of a writer
/// there and in a large one: about 12 messages a second in all.
const SMALL: usize = 12;
const PAUSE_MS: u64 = 2_000;
const LARGE_PAUSE_MS: u64 = 8_000;
/// How long an answer is waited for, and the pause before the next try.
const ANSWERS_IN: Duration = Duration::from_secs(5);
const AGAIN_MS: std::ops::Range<u64> = 200..1_000;

/// A message that was answered with success.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    pub(crate) thread: String,
    pub(crate) tseq: u64,
    pub(crate) text: String,
}

/// The talk. Dropping it silences it.
pub(crate) struct Talk {
    acks: Arc<Mutex<Vec<Ack>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    quiet: CancellationToken,
    writers: Vec<AbortOnDropHandle<()>>,
}

impl Talk {
    /// Begins it.
    pub(crate) fn start(fleet: &Arc<Fleet>, cast: &Cast) -> Self {
        let (acks, wrong, quiet) = (Arc::default(), Arc::default(), CancellationToken::new());
        let mut talk = Self { acks, wrong, quiet, writers: Vec::new() };
        for thread in &cast.threads {
            for n in 0..WRITERS {
                let writer = Writer {
                    fleet: Arc::clone(fleet),
                    thread: thread.clone(),
                    name: n,
                    acks: Arc::clone(&talk.acks),
                    wrong: Arc::clone(&talk.wrong),
                };
                let writing = writer.write(talk.quiet.clone());
                talk.writers.push(AbortOnDropHandle::new(TaskTracker::new().spawn(writing)));
            }
        }
        talk
    }

    /// Begins no further message, and waits until every one has been answered.
    pub(crate) async fn end(&mut self) {
        self.quiet.cancel();
        for writer in &mut self.writers {
            writer.await.unwrap();
        }
    }

    /// What was answered with success so far.
    pub(crate) fn acks(&self) -> Vec<Ack> {
        self.acks.lock().unwrap().clone()
    }

    /// What was answered with success and is not in the logs exactly once, and answers that should
    /// not have been given.
    pub(crate) fn wrong(&self, truth: &Truth) -> Vec<String> {
        let mut wrong = self.wrong.lock().unwrap().clone();
        for ack in &*self.acks.lock().unwrap() {
            let log = &truth.texts[&ack.thread];
            let places: Vec<u64> =
                log.iter().filter_map(|(tseq, text)| (*text == ack.text).then_some(*tseq)).collect();
            if places != [ack.tseq] {
                wrong.push(format!("{ack:?} is in the log at {places:?}"));
            }
        }
        wrong
    }
}

struct Writer {
    fleet: Arc<Fleet>,
    thread: Thread,
    name: usize,
    acks: Arc<Mutex<Vec<Ack>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Writer {
    async fn write(self, quiet: CancellationToken) {
        let pause = if self.thread.members.len() > SMALL { LARGE_PAUSE_MS } else { PAUSE_MS };
        for n in 0.. {
            let pause = Duration::from_millis(rand::random_range(0..2 * pause));
            if quiet.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
            let author = self.thread.members.choose(&mut rand::rng()).unwrap().clone();
            let text = format!("{}-{}-{n}", self.thread.id, self.name);
            let path = format!("/v1/threads/{}/messages", self.thread.id);
            let Some(message) = self.until_answered("POST", &author, &path, json!({"text": text})).await
            else {
                continue;
            };
            let tseq = message["tseq"].as_u64().unwrap();
            let ack = Ack { thread: self.thread.id.clone(), tseq, text };
            self.acks.lock().unwrap().push(ack);
            self.react(n, tseq, &message["number"]).await;
        }
    }

    /// What others do with a message now and then: they see it, or put a reaction under it.
    async fn react(&self, n: usize, tseq: u64, number: &Value) {
        let user = self.thread.members.choose(&mut rand::rng()).unwrap();
        let thread = format!("/v1/threads/{}", self.thread.id);
        match n % 4 {
            0 if self.thread.members.len() <= SMALL => {
                self.until_answered("POST", user, &format!("{thread}/seen"), json!({"number": number})).await;
            }
            1 => {
                let path = format!("{thread}/messages/{tseq}/reactions/%F0%9F%91%8D");
                self.until_answered("PUT", user, &path, Value::Null).await;
            }
            _ => {}
        }
    }

    /// Asks until there is an answer that counts; none if it is that this cannot be.
    async fn until_answered(&self, method: &str, user: &str, path: &str, body: Value) -> Option<Value> {
        let api = self.fleet.as_user(user);
        let key = format!("{:032x}", rand::random::<u128>());
        loop {
            let body = (!body.is_null()).then(|| body.clone());
            let headers = [("idempotency-key", key.as_str())];
            let answer = timeout(ANSWERS_IN, api.try_call(method, path, body, &headers)).await;
            if let Ok(Ok(answer)) = answer {
                if answer.status.is_success() {
                    return Some(answer.body);
                }
                if answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS {
                    self.wrong.lock().unwrap().push(format!("{method} {path} by {user}: {answer:?}"));
                    return None;
                }
            }
            sleep(Duration::from_millis(rand::random_range(AGAIN_MS))).await;
        }
    }
}
