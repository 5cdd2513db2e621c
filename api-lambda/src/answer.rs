//! Where the failures of the write side become HTTP: one `match`.

use server::problem::{Kind, Problem};
use store::error::Error;

/// When a client may come back after a failure that passes, in seconds.
const RETRY_S: u32 = 1;

/// The problem that a failed operation on the table is to the client. Logged here, once.
pub fn failed(error: Error) -> Problem {
    let source = std::error::Error::source(&error).map(|source| format!(": {source:?}")).unwrap_or_default();
    match error {
        Error::Contended => Problem::new(
            Kind::Unavailable(RETRY_S),
            "too many concurrent writes: retry with the same `Idempotency-Key`",
        ),
        Error::Unavailable(_) => {
            tracing::warn!("{error}{source}");
            Problem::new(
                Kind::Unavailable(RETRY_S),
                "the service cannot reach its database: retry with the same `Idempotency-Key`",
            )
        }
        Error::Corrupt { .. } | Error::NoTable(_) | Error::NoDatabase { .. } => {
            tracing::error!("{error}{source}");
            Problem::internal()
        }
    }
}

/// The refusal of a key that another request has used.
pub fn key_reused() -> Problem {
    Problem::new(Kind::KeyReused, "this `Idempotency-Key` belongs to a different request: use a new key")
}
