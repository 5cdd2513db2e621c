//! Every route of the write side, on one page.

use axum::{
    Router,
    routing::{get, patch, post, put},
};
use server::{
    cors::Origins,
    json::{no_such_method, no_such_route},
    layers,
};

use crate::{
    routes::{health, members, messages, openapi, presence, reactions, seen, session, threads, typing},
    state::ApiState,
};

/// The routes below `/v1`, without what all processes share (`server::layers`), so that one
/// process can serve them beside the stream.
pub fn routes(state: ApiState) -> Router {
    Router::new()
        .route("/v1/session", post(session::create).delete(session::delete))
        .route("/v1/tickets", post(session::ticket))
        .route("/v1/threads", post(threads::create).get(threads::list))
        .route("/v1/threads/{thread}", get(threads::read).patch(threads::rename))
        .route("/v1/threads/{thread}/members/{user}", put(members::add).delete(members::remove))
        .route("/v1/threads/{thread}/messages", get(messages::list).post(messages::send))
        .route("/v1/threads/{thread}/messages/{tseq}", patch(messages::edit).delete(messages::delete))
        .route(
            "/v1/threads/{thread}/messages/{tseq}/reactions/{emoji}",
            put(reactions::add).delete(reactions::remove),
        )
        .route("/v1/threads/{thread}/typing", post(typing::tell))
        .route("/v1/threads/{thread}/seen", post(seen::mark))
        .route("/v1/threads/{thread}/presence", get(presence::list))
        .route("/v1/openapi.json", get(openapi::read))
        .with_state(state)
}

/// The whole API as a process of its own serves it, to its own pages and those of `origins`.
pub fn router(state: ApiState, origins: &Origins) -> Router {
    let router = routes(state)
        .route("/v1/health", get(health::read))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method);
    layers::wrap(router, origins)
}
