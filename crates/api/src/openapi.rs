//! The OpenAPI document of both sides, made from the types that the handlers use.
//!
//! Every route has a function here that is never called and only carries its description, so that
//! the handlers stay readable; `tests/it/openapi.rs` compares both. `docs/openapi.json` is what
//! [`document`] says: a test fails while it is not, and names the command that writes it.

mod common;
mod live;
mod members;
mod messages;
mod service;
mod session;
mod stream;
mod threads;

use common::{ProblemAnswer, Shared};
use domain::ids::Emoji;
use server::problem::Problem;
use utoipa::OpenApi as _;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Runnel",
        description = "Chat over `EventSource` and ordinary HTTPS requests. Events and guarantees: docs/WIRE.md.",
    ),
    paths(
        threads::create, threads::list, threads::read, threads::rename,
        members::add, members::remove,
        messages::send, messages::list, messages::edit, messages::delete,
        messages::react, messages::unreact,
        live::typing, live::seen, live::presence,
        session::create, session::delete, session::ticket,
        stream::events, stream::poll,
        service::health, service::openapi,
    ),
    components(responses(ProblemAnswer), schemas(Problem, Emoji)),
    modifiers(&Shared),
)]
struct Document;

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_docs_is_the_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let now = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("WRITE_OPENAPI").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(file == now, "stale; run `WRITE_OPENAPI=1 cargo test -p api openapi`");
    }
}
