//! Fan-out (rule 11): appends an entry of a thread log to every member's inbox, then posts to the members' queues.
//!
//! A thread of up to 50 members is delivered in the request that commits. A larger thread gets a chain of jobs, and
//! each link delivers to up to 50 members. An outbox row records every incomplete fan-out, and the sweeper retries such
//! a fan-out from the start.

pub mod chain;
pub mod chat;
pub mod config;
pub mod deliver;
pub mod lambda;
mod observed;
pub mod post;
pub mod sweep;
pub mod worker;

use domain::{
    failure::{Failed, Failure},
    ids::ThreadId,
};

/// Why a fan-out was not completed. The outbox row stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The table did not do its part.
    #[error(transparent)]
    Table(#[from] store::table::error::Error),
    /// What is left to do could not be handed on.
    #[error("what is left to do cannot be handed on")]
    Queue(#[from] queue::error::Error),
}

impl Failed for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Table(error) => error.failure(),
            Self::Queue(error) => error.failure(),
        }
    }
}

/// Logs what could not be done, of which thread, and why.
fn log(what: &str, thread: Option<&ThreadId>, error: &impl Failed) {
    let thread = thread.map(tracing::field::display);
    tracing::warn!(failure = error.failure().as_str(), thread.id = thread, "{what}: {}", error.story());
}
