//! Fan-out: a thread log's entry into every member's inbox, then a word to their queues (P11).
//!
//! Up to 50 members in the request that commits; larger threads by a chain of jobs, each link of
//! it up to 50 members. Whatever breaks off, the outbox row keeps, and the sweeper begins anew.

pub mod chain;
pub mod config;
pub mod drive;
pub mod event;
pub mod post;
pub mod sweep;
pub mod work;

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
