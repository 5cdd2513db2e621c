//! The routes of an edge, except the page's files ([`assets`]).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::header;
use server::{
    address_limit::AddressLimits,
    auth::Verifier,
    problem::{Kind, Problem},
};

use crate::{context::Context, engine::Engine, stream::StreamDeps};

pub mod assets;
pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod events;
pub(crate) mod poll;
pub(crate) mod request;

/// What the routes need.
#[derive(Debug)]
pub(crate) struct HttpState {
    pub(crate) cx: Arc<Context>,
    pub(crate) verifier: Verifier,
    pub(crate) streams: Arc<StreamDeps>,
    pub(crate) addresses: Arc<AddressLimits>,
    pub(crate) engine: Arc<Engine>,
}

/// The routes for clients.
pub(crate) fn router(state: Arc<HttpState>) -> Router {
    Router::new()
        .route("/v1/events", get(events::events))
        .route("/v1/events/poll", get(poll::poll))
        .route("/v1/health", get(health))
        .route("/v1/ready", get(ready))
        .with_state(state)
}

/// The routes for the operators of the edge.
pub(crate) fn metrics_router(cx: Arc<Context>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(cx)
}

/// The process is alive.
async fn health() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "ok"}))
}

/// Whether the edge accepts new streams. Once the edge has started, readiness does not depend on DynamoDB or SQS. An
/// orchestrator replaces an edge that is not ready, and an outage would make it replace all edges.
async fn ready(State(state): State<Arc<HttpState>>) -> Response {
    let not = if state.cx.is_draining() {
        Some("this edge is shutting down: open streams on another edge")
    } else if !state.cx.identity.has_begun() {
        Some("the first heartbeat of this edge is not confirmed: see its log")
    } else {
        None
    };
    match not {
        Some(why) => Problem::passing(Kind::Unavailable, 5, why).into_response(),
        None => Json(serde_json::json!({"status": "ready"})).into_response(),
    }
}

async fn metrics(State(cx): State<Arc<Context>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], cx.metrics.render())
        .into_response()
}
