//! What AWS Lambda is to a function: a runtime API that hands it events and takes its answers.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::Value;
use server::clock::Clock;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    time::timeout,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use client::PATIENCE;

/// A runtime API for one function.
#[derive(Debug)]
pub struct Runtime {
    /// What the function finds in `AWS_LAMBDA_RUNTIME_API`.
    pub address: SocketAddr,
    events: mpsc::Sender<Value>,
    answers: mpsc::Receiver<Result<Value, String>>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Ends {
    events: Arc<Mutex<mpsc::Receiver<Value>>>,
    answers: mpsc::Sender<Result<Value, String>>,
}

impl Runtime {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let (events, waiting) = mpsc::channel(1);
        let (answered, answers) = mpsc::channel(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(error))
            .with_state(Ends { events: Arc::new(Mutex::new(waiting)), answers: answered });
        let serving = TaskTracker::new().spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { address, events, answers, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Hands the function an event, and waits for its answer.
    pub async fn invoke(&mut self, event: Value) -> Value {
        self.events.send(event).await.unwrap();
        let answer = timeout(PATIENCE, self.answers.recv()).await.expect("the function answers in time");
        answer.unwrap().expect("the function does not fail")
    }
}

async fn next(State(ends): State<Ends>) -> Response {
    let Some(event) = ends.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = Clock::system().now().as_millisecond() + 30_000;
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:api".into()),
        ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".into()),
    ];
    let headers: HeaderMap =
        headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    (headers, Json(event)).into_response()
}

async fn response(State(ends): State<Ends>, body: String) -> StatusCode {
    ends.answers.send(Ok(serde_json::from_str(&body).unwrap())).await.unwrap();
    StatusCode::ACCEPTED
}

async fn error(State(ends): State<Ends>, body: String) -> StatusCode {
    ends.answers.send(Err(body)).await.unwrap();
    StatusCode::ACCEPTED
}
