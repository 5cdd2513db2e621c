//! Every route of an edge, but for the page's files ([`crate::pages`]).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::header;
use server::problem::{Kind, Problem};

use crate::{open, poll, shared::Shared};

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/events", get(open::events))
        .route("/v1/events/poll", get(poll::poll))
        .route("/v1/health", get(health))
        .route("/v1/ready", get(ready))
        .with_state(shared)
}

/// What only those see who run the edge.
pub(crate) fn metrics_router(shared: Arc<Shared>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(shared)
}

/// Alive, whatever else.
async fn health() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "ok"}))
}

/// Whether new streams should come here. It says nothing of DynamoDB and SQS once the edge has begun: an orchestrator
/// replaces an edge that is not ready, and all edges would be replaced while one of the two is away.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let not = if shared.is_draining() {
        Some("this edge is shutting down: open streams on another edge")
    } else if !shared.fresh.has_begun() {
        Some("the first heartbeat of this edge is not confirmed: see its log")
    } else {
        None
    };
    match not {
        Some(why) => Problem::new(Kind::Unavailable(5), why).into_response(),
        None => Json(serde_json::json!({"status": "ready"})).into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.meters.render())
        .into_response()
}
