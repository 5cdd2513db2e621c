//! Which queues hold messages that nobody reads, and since when.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use axum::{body::to_bytes, response::Response};
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

/// What names an operation.
pub(super) const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// The shortest retention that SQS allows (SQS API reference, `SetQueueAttributes`).
const RETENTION_MIN: Duration = Duration::from_secs(60);
/// Far more than the attributes of a queue.
const ANSWER_BYTES: usize = 64 * 1024;

/// For each queue that was posted to, since when nobody has read it. Sections are short, and
/// hold no await: a plain mutex.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<HashMap<String, Instant>>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    queue_url: String,
}

impl Idle {
    /// Looks at a request: a receive begins the time anew, a post begins it for a queue that has none.
    pub(super) fn note(&self, headers: &HeaderMap, body: &[u8], now: Instant) {
        let operation = headers.get(TARGET).and_then(|target| target.to_str().ok()?.rsplit('.').next());
        let read = match operation {
            Some("ReceiveMessage") => true,
            Some("SendMessage" | "SendMessageBatch") => false,
            _ => return,
        };
        let Ok(Named { queue_url }) = serde_json::from_slice(body) else { return };
        let mut since = self.since_when();
        match since.get_mut(&queue_url) {
            Some(since) if read => *since = now,
            Some(_) => {}
            None => _ = since.insert(queue_url, now),
        }
    }

    /// Queues that nobody has read for as long as any queue has to keep messages.
    pub(super) fn since(&self, now: Instant) -> Vec<String> {
        let since = self.since_when();
        since.iter().filter(|(_, since)| now - **since >= RETENTION_MIN).map(|(url, _)| url.clone()).collect()
    }

    /// Whether nobody has read the queue for that long.
    pub(super) fn is_since(&self, url: &str, now: Instant, long: Duration) -> bool {
        self.since_when().get(url).is_some_and(|since| now - *since >= long)
    }

    /// The queue is empty, or gone.
    pub(super) fn forget(&self, url: &str) {
        self.since_when().remove(url);
    }

    fn since_when(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// The retention in an answer to `GetQueueAttributes`; none if the queue is gone.
pub(super) async fn retention(answer: Response) -> Option<Duration> {
    let attributes = json(answer).await?;
    let seconds = attributes["Attributes"]["MessageRetentionPeriod"].as_str()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The body of an answer.
pub(super) async fn json(answer: Response) -> Option<Value> {
    serde_json::from_slice(&to_bytes(answer.into_body(), ANSWER_BYTES).await.ok()?).ok()
}
