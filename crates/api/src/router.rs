//! Every route of the API, and the document that they make.

use axum::{Json, Router, middleware};
use server::{
    cors::Origins,
    json::{no_such_method, no_such_route},
    layers,
};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    openapi, rate,
    routes::{
        about, blocks, health, members, messages, presence, profiles, reactions, seen, session, threads,
        typing, users,
    },
    state::ApiState,
};

fn documented() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(about::read))
        .routes(routes!(session::create, session::delete))
        .routes(routes!(session::ticket))
        .routes(routes!(threads::create, threads::list))
        .routes(routes!(threads::read, threads::rename))
        .routes(routes!(members::add, members::remove))
        .routes(routes!(members::add_all))
        .routes(routes!(members::accept))
        .routes(routes!(messages::list, messages::send))
        .routes(routes!(messages::read, messages::edit, messages::delete))
        .routes(routes!(reactions::add, reactions::remove))
        .routes(routes!(typing::tell))
        .routes(routes!(seen::mark))
        .routes(routes!(presence::list))
        .routes(routes!(blocks::list))
        .routes(routes!(blocks::add, blocks::remove))
        .routes(routes!(profiles::set))
        .routes(routes!(profiles::list))
        .routes(routes!(users::end_sessions))
        .routes(routes!(users::end_session))
        .routes(routes!(users::ban, users::unban))
        .routes(routes!(read_document))
}

/// The routes below `/v1`, without the layers of a whole process (`server::layers`): one process can serve them beside the
/// stream.
pub fn routes(state: ApiState) -> Router {
    Router::from(documented().with_state(state)).layer(middleware::from_fn(rate::tell))
}

/// The whole API as a process of its own serves it, to its own pages and those of `origins`.
pub fn router(state: ApiState, origins: &Origins) -> Router {
    let router = routes(state)
        .merge(Router::from(OpenApiRouter::<()>::new().routes(routes!(health::read))))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method);
    layers::wrap(router, origins)
}

/// The OpenAPI document of both sides.
pub fn document() -> OpenApi {
    let mut document = documented().routes(routes!(health::read)).into_openapi();
    openapi::complete(&mut document);
    document
}

/// Read this document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "service", operation_id = "readOpenApi", security(()),
    responses((status = 200, description = "OpenAPI 3.1.")))]
async fn read_document() -> Json<OpenApi> {
    Json(document())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        // A route that is added without `routes!` would be served, and missing in the document.
        assert!(!include_str!("router.rs").contains(concat!(".rou", "te(")));
    }

    #[test]
    fn the_file_in_the_docs_is_the_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let now = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("WRITE_OPENAPI").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(file == now, "stale; run `WRITE_OPENAPI=1 cargo test -p api document`");
    }
}
