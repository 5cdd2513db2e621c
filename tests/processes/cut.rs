//! A road to DynamoDB that kills a process between its commit and all that follows.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tests::process::signal;
use tokio::net::TcpListener;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// The road. Dropping it closes it.
pub(crate) struct Cut {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    doomed: Arc<OnceLock<u32>>,
    _serving: AbortOnDropHandle<()>,
}

impl Cut {
    /// Opens a road to `dynamodb`.
    pub(crate) async fn start(dynamodb: SocketAddr) -> Self {
        let doomed = Arc::new(OnceLock::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(forward).with_state((dynamodb, Arc::clone(&doomed)));
        let serving = TaskTracker::new().spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { address, doomed, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Kills the process once DynamoDB has answered a transaction with an outbox row.
    pub(crate) fn kill_after_the_commit(&self, pid: u32) {
        self.doomed.set(pid).unwrap();
    }
}

async fn forward(
    State((dynamodb, doomed)): State<(SocketAddr, Arc<OnceLock<u32>>)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let target = parts.headers.get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
    let commit = target.is_some_and(|target| target.ends_with(".TransactWriteItems"))
        && String::from_utf8_lossy(&body).contains("\"O#");
    let (mut sender, _connection) = client::http::connect::<Body>(dynamodb).await.unwrap();
    let response = sender.send_request(Request::from_parts(parts, body.into())).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
    match doomed.get() {
        Some(pid) if commit => {
            signal(*pid, "KILL");
            StatusCode::BAD_GATEWAY.into_response()
        }
        _ => Response::from_parts(parts, body.into()),
    }
}
