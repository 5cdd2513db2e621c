//! SQS: queues in memory behind SQS's own protocol.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{Router, body::Body, extract::State, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use rustack_sqs_core::{config::SqsConfig, handler::RustackSqsHandler, provider::RustackSqs};
use rustack_sqs_http::{
    dispatch::dispatch_operation, response::error_to_response, router::resolve_operation,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

mod idle;

use super::door::{guarded, hidden_listener};
use idle::Idle;

/// The running emulator; it ends when it is dropped.
#[derive(Debug)]
pub struct Sqs {
    url: String,
    _serving: AbortOnDropHandle<()>,
}

impl Sqs {
    /// Serves on a loopback port, on the runtime that this is called from.
    pub fn start() -> anyhow::Result<Self> {
        let listener = hidden_listener().context("no free port on loopback")?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let queues = Queues::new(address);
        let serving = TaskTracker::new().spawn(async move {
            let served = tokio::select! {
                served = axum::serve(listener, guarded(queues.router())) => served,
                () = queues.sweep_forever() => Ok(()),
            };
            if let Err(error) = served {
                tracing::error!("the embedded queues have ended: {error}");
            }
        });
        Ok(Self { url: format!("http://{address}"), _serving: AbortOnDropHandle::new(serving) })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.url.clone()
    }
}

/// The queues behind one address.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    handler: Arc<RustackSqsHandler>,
    idle: Arc<Idle>,
}

impl Queues {
    /// None yet; their urls will name `address`.
    pub(super) fn new(address: SocketAddr) -> Self {
        let (host, port) = (address.ip().to_string(), address.port());
        let config = SqsConfig { host, port, ..SqsConfig::default() };
        let handler = Arc::new(RustackSqsHandler::new(Arc::new(RustackSqs::new(config))));
        Self { handler, idle: Arc::default() }
    }

    /// Answers every operation of SQS.
    pub(super) fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// Empties queues that nobody reads, until the future is dropped.
    pub(super) async fn sweep_forever(&self) {
        let mut ticks = tokio::time::interval(super::SWEEP);
        loop {
            ticks.tick().await;
            self.sweep(Instant::now()).await;
        }
    }

    /// Empties each queue that nobody has read for as long as it keeps messages: the emulator
    /// itself keeps them for ever.
    async fn sweep(&self, now: Instant) {
        for url in self.idle.since(now) {
            let asked = json!({"QueueUrl": url, "AttributeNames": ["MessageRetentionPeriod"]});
            let Some(retention) = idle::retention(self.call("GetQueueAttributes", &asked).await).await else {
                // It is gone, and its messages with it.
                self.idle.forget(&url);
                continue;
            };
            if self.idle.is_since(&url, now, retention) {
                self.call("PurgeQueue", &json!({"QueueUrl": url})).await;
                self.idle.forget(&url);
            }
        }
    }

    async fn call(&self, operation: &str, body: &Value) -> Response {
        let target = format!("AmazonSQS.{operation}");
        let target = HeaderValue::try_from(target).expect("an operation is plain text");
        self.dispatch(&HeaderMap::from_iter([(idle::TARGET, target)]), body.to_string().into()).await
    }

    async fn dispatch(&self, headers: &HeaderMap, body: Bytes) -> Response {
        let response = match resolve_operation(headers) {
            Err(error) => error_to_response(&error, "-"),
            Ok(operation) => match dispatch_operation(&*self.handler, operation, body).await {
                Ok(response) => response,
                Err(error) => error_to_response(&error, "-"),
            },
        };
        response.map(Body::new)
    }
}

async fn answer(State(queues): State<Queues>, headers: HeaderMap, body: Bytes) -> Response {
    queues.idle.note(&headers, &body, Instant::now());
    queues.dispatch(&headers, body).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queues() -> Queues {
        Queues::new("127.0.0.1:1".parse().unwrap())
    }

    async fn asked(queues: &Queues, operation: &str, body: Value) -> Value {
        let target = HeaderValue::try_from(format!("AmazonSQS.{operation}")).unwrap();
        let headers = HeaderMap::from_iter([(idle::TARGET, target)]);
        let response = answer(State(queues.clone()), headers, Bytes::from(body.to_string())).await;
        assert!(response.status().is_success(), "{operation}: {response:?}");
        idle::json(response).await.unwrap_or_default()
    }

    async fn queue(queues: &Queues, name: &str, retention: u64) -> String {
        let body =
            json!({"QueueName": name, "Attributes": {"MessageRetentionPeriod": retention.to_string()}});
        let url = asked(queues, "CreateQueue", body).await["QueueUrl"].as_str().unwrap().to_owned();
        asked(queues, "SendMessage", json!({"QueueUrl": url, "MessageBody": "an envelope"})).await;
        url
    }

    async fn left(queues: &Queues, url: &str) -> String {
        let body = json!({"QueueUrl": url, "AttributeNames": ["All"]});
        let got = asked(queues, "GetQueueAttributes", body).await;
        got["Attributes"]["ApproximateNumberOfMessages"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_queue_that_nobody_reads_is_emptied_after_its_retention() {
        let queues = queues();
        let (short, long) = (queue(&queues, "short", 120).await, queue(&queues, "long", 3_600).await);
        let now = Instant::now();
        queues.sweep(now + Duration::from_secs(115)).await;
        assert_eq!([left(&queues, &short).await, left(&queues, &long).await], ["1", "1"]);
        queues.sweep(now + Duration::from_secs(121)).await;
        assert_eq!([left(&queues, &short).await, left(&queues, &long).await], ["0", "1"]);
        queues.sweep(now + Duration::from_secs(3_601)).await;
        assert_eq!(left(&queues, &long).await, "0");
        assert!(queues.idle.since(now + Duration::from_hours(2)).is_empty(), "nothing is remembered of them");
    }

    #[tokio::test]
    async fn a_queue_that_is_read_is_left_alone() {
        let queues = queues();
        let url = queue(&queues, "read", 60).await;
        let later = Instant::now() + Duration::from_secs(100);
        let headers =
            HeaderMap::from_iter([(idle::TARGET, HeaderValue::from_static("AmazonSQS.ReceiveMessage"))]);
        queues.idle.note(&headers, json!({"QueueUrl": url}).to_string().as_bytes(), later);
        queues.sweep(later + Duration::from_secs(59)).await;
        assert_eq!(left(&queues, &url).await, "1");
        queues.sweep(later + Duration::from_secs(60)).await;
        assert_eq!(left(&queues, &url).await, "0");
    }

    #[tokio::test]
    async fn a_deleted_queue_is_forgotten() {
        let queues = queues();
        let url = queue(&queues, "deleted", 60).await;
        asked(&queues, "DeleteQueue", json!({"QueueUrl": url})).await;
        let later = Instant::now() + Duration::from_secs(61);
        queues.sweep(later).await;
        assert!(queues.idle.since(later).is_empty());
    }
}
