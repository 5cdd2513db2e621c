//! SQS at its worst: standard queues that lose, double, delay and reorder, forget an ack, and let
//! a receive that was given up take messages all the same.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use domain::limits;
use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use super::{answer::Answer, weather::Weather};
use crate::deployment::JOBS;

/// The name of a deleted queue may not be used again for so long (API reference, `DeleteQueue`).
const NAME_REST: Duration = Duration::from_secs(60);
const GONE: &str = "com.amazonaws.sqs#QueueDoesNotExist";

/// All queues.
#[derive(Debug)]
pub(crate) struct Queues {
    by_url: BTreeMap<String, Queue>,
    deleted: BTreeMap<String, Instant>,
    receipts: u64,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Vec<Message>,
    changed: Arc<Notify>,
    visibility: Duration,
    retention: Duration,
}

#[derive(Debug, Clone)]
struct Message {
    body: Arc<str>,
    sent: Instant,
    sent_ms: i64,
    visible: Instant,
    receipt: u64,
}

/// A request of any operation; what an operation has not is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request<'a> {
    queue_url: &'a str,
    queue_name: &'a str,
    #[serde(borrow)]
    message_body: Cow<'a, str>,
    #[serde(borrow)]
    entries: Vec<Entry<'a>>,
    attributes: BTreeMap<&'a str, &'a str>,
}

/// What is acknowledged.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    receipt_handle: &'a str,
}

/// What a receive asks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Receive {
    queue_url: String,
    #[serde(default = "one")]
    max_number_of_messages: usize,
}

fn one() -> usize {
    1
}

impl Queues {
    /// No queue but that of jobs, which a deployment begins with.
    pub(crate) fn new() -> Self {
        let (visibility, retention) = (limits::JOB_VISIBILITY, limits::JOB_RETENTION);
        let jobs = (JOBS.to_owned(), Queue { visibility, retention, ..Queue::default() });
        Self { by_url: BTreeMap::from([jobs]), deleted: BTreeMap::new(), receipts: 0 }
    }

    /// Answers a request that does not wait.
    pub(crate) fn answer(
        &mut self,
        operation: &str,
        body: &[u8],
        weather: &Weather,
        rng: &mut StdRng,
        now_ms: i64,
    ) -> Answer {
        let now = Instant::now();
        let request: Request<'_> = serde_json::from_slice(body).expect("a request that the model knows");
        let url = request.queue_url;
        match operation {
            "CreateQueue" => self.create(&request, weather, rng, now),
            "DeleteQueue" => match self.by_url.remove(url) {
                Some(queue) => {
                    queue.changed.notify_waiters();
                    self.deleted.insert(url.to_owned(), now);
                    Answer::ok(json!({}))
                }
                None => Answer::refused(GONE),
            },
            "GetQueueUrl" => {
                let url = format!("http://sqs/{}", request.queue_name);
                if self.by_url.contains_key(&url) {
                    Answer::ok(json!({ "QueueUrl": url }))
                } else {
                    Answer::refused(GONE)
                }
            }
            "SendMessage" => {
                let Some(queue) = self.by_url.get_mut(url) else { return Answer::refused(GONE) };
                queue.send(&request.message_body, weather, rng, now, now_ms);
                Answer::told(r#"{"MessageId":"one","MD5OfMessageBody":""}"#.into())
            }
            "DeleteMessageBatch" => {
                let Some(queue) = self.by_url.get_mut(url) else { return Answer::refused(GONE) };
                let entries = request.entries;
                assert!(entries.len() <= 10, "a batch of {} acks", entries.len());
                for entry in entries {
                    let receipt = entry.receipt_handle.parse().ok();
                    if !rng.random_bool(weather.lose) {
                        queue.messages.retain(|message| Some(message.receipt) != receipt);
                    }
                }
                Answer::told(r#"{"Successful":[],"Failed":[]}"#.into())
            }
            other => panic!("the model knows no `{other}`"),
        }
    }

    /// Messages for a receive; nothing yet, if it has to wait: for what, and at most until when.
    pub(crate) fn receive(
        &mut self,
        request: &Receive,
        rng: &mut StdRng,
    ) -> Result<Answer, (Arc<Notify>, Option<Instant>)> {
        let now = Instant::now();
        let Some(queue) = self.by_url.get_mut(&request.queue_url) else { return Ok(Answer::refused(GONE)) };
        queue.messages.retain(|message| now < message.sent + queue.retention);
        queue.messages.shuffle(rng);
        let most = rng.random_range(1..=request.max_number_of_messages);
        let mut taken = Vec::new();
        for message in queue.messages.iter_mut().filter(|message| message.visible <= now) {
            if taken.len() == most {
                break;
            }
            self.receipts += 1;
            message.receipt = self.receipts;
            message.visible = now + queue.visibility;
            taken.push(json!({
                "Body": &*message.body,
                "ReceiptHandle": message.receipt.to_string(),
                "Attributes": {"SentTimestamp": message.sent_ms.to_string()},
            }));
        }
        if taken.is_empty() {
            let next = queue.messages.iter().map(|message| message.visible).min();
            return Err((queue.changed.clone(), next));
        }
        Ok(Answer::ok(json!({ "Messages": taken })))
    }

    /// Deletes a queue that somebody uses, as an operator might; the urls there are.
    pub(crate) fn delete_any(&mut self, rng: &mut StdRng) {
        // All but that of jobs, which nothing but an operator's mistake takes away.
        let urls: Vec<&String> = self.by_url.keys().filter(|url| *url != JOBS).collect();
        if urls.is_empty() {
            return;
        }
        let url = urls[rng.random_range(0..urls.len())].clone();
        if let Some(queue) = self.by_url.remove(&url) {
            queue.changed.notify_waiters();
            self.deleted.insert(url, Instant::now());
        }
    }

    /// Puts something into a queue that no Runnel wrote.
    pub(crate) fn litter(&mut self, body: &str, rng: &mut StdRng, now_ms: i64) {
        let now = Instant::now();
        for queue in self.by_url.values_mut() {
            if rng.random_bool(0.5) {
                queue.send(body, &Weather::CALM, rng, now, now_ms);
            }
        }
    }

    fn create(&mut self, request: &Request<'_>, weather: &Weather, rng: &mut StdRng, now: Instant) -> Answer {
        if rng.random_bool(weather.throttle) {
            return Answer::refused("com.amazonaws.sqs#RequestThrottled");
        }
        let url = format!("http://sqs/{}", request.queue_name);
        if self.deleted.get(&url).is_some_and(|at| now < *at + NAME_REST) {
            return Answer::refused("com.amazonaws.sqs#QueueDeletedRecently");
        }
        let seconds = |name: &str| {
            let text = request.attributes.get(name).expect("every queue says how it is to be");
            Duration::from_secs(text.parse().expect("seconds"))
        };
        let (visibility, retention) = (seconds("VisibilityTimeout"), seconds("MessageRetentionPeriod"));
        self.by_url.entry(url.clone()).or_insert_with(|| Queue { visibility, retention, ..Queue::default() });
        Answer::ok(json!({ "QueueUrl": url }))
    }
}

impl Queue {
    fn send(&mut self, body: &str, weather: &Weather, rng: &mut StdRng, now: Instant, now_ms: i64) {
        if rng.random_bool(weather.lose) {
            return;
        }
        let body: Arc<str> = body.into();
        let copies = if rng.random_bool(weather.double) { 2 } else { 1 };
        for _ in 0..copies {
            let late = if rng.random_bool(weather.delay) {
                rng.random_range(0..30_000)
            } else {
                rng.random_range(0..20)
            };
            let visible = now + Duration::from_millis(late);
            self.messages.push(Message {
                body: body.clone(),
                sent: now,
                sent_ms: now_ms,
                visible,
                receipt: 0,
            });
        }
        self.changed.notify_waiters();
    }
}
