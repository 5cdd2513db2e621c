//! SQS: queues in memory behind SQS's own protocol.

use std::sync::Arc;

use anyhow::Context as _;
use axum::{Router, body::Body, extract::State, response::Response};
use bytes::Bytes;
use http::HeaderMap;
use rustack_sqs_core::{config::SqsConfig, handler::RustackSqsHandler, provider::RustackSqs};
use rustack_sqs_http::{
    dispatch::dispatch_operation, response::error_to_response, router::resolve_operation,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// The running emulator; it ends when it is dropped.
#[derive(Debug)]
pub struct Sqs {
    url: String,
    _serving: AbortOnDropHandle<()>,
}

impl Sqs {
    /// Serves on a loopback port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no free port on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let router = router(address.port());
        let serving = TaskTracker::new().spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
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

/// New queues, whose urls name `port` on loopback.
pub(super) fn router(port: u16) -> Router {
    let config = SqsConfig { host: "127.0.0.1".into(), port, ..SqsConfig::default() };
    let handler = Arc::new(RustackSqsHandler::new(Arc::new(RustackSqs::new(config))));
    Router::new().fallback(answer).with_state(handler)
}

async fn answer(State(handler): State<Arc<RustackSqsHandler>>, headers: HeaderMap, body: Bytes) -> Response {
    let response = match resolve_operation(&headers) {
        Err(error) => error_to_response(&error, "-"),
        Ok(operation) => match dispatch_operation(&*handler, operation, body).await {
            Ok(response) => response,
            Err(error) => error_to_response(&error, "-"),
        },
    };
    response.map(Body::new)
}
