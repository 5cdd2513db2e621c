//! Where the failures of the write side become HTTP: one `match`.

use domain::failure::Failed as _;
use server::problem::{Kind, Problem};
use store::table::error::Error;

/// When a client may come back after a failure that passes, in seconds.
const RETRY_S: u32 = 1;
/// The same while DynamoDB throttles: what comes too soon prolongs it.
const THROTTLED_RETRY_S: u32 = 5;

/// The problem that a failed operation on the table is to the client. Logged here, once.
pub fn failed(error: Error) -> Problem {
    let (failure, story) = (error.failure().as_str(), error.story());
    let (after, why) = match error {
        Error::Contended => (RETRY_S, "there are too many concurrent writes"),
        Error::Throttled(_) => (THROTTLED_RETRY_S, "the database is too busy"),
        Error::Unavailable(_) => (RETRY_S, "the service cannot reach its database"),
        Error::Refused(_) | Error::Corrupt { .. } | Error::NoTable(_) | Error::NoDatabase { .. } => {
            tracing::error!(failure, "{story}");
            return Problem::internal();
        }
    };
    tracing::warn!(failure, "{story}");
    Problem::new(Kind::Unavailable(after), format!("{why}: retry with the same `Idempotency-Key`"))
}
