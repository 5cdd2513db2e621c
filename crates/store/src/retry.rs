//! How often, and how long after each other, what was in vain is tried again.

use std::time::Duration;

use domain::limits;

use crate::{commit::Origin, error::Error, table::Table};

/// How one try of a request went.
#[derive(Debug)]
pub(crate) enum Tried<T> {
    /// It is decided.
    Done(T),
    /// As things stand now it is refused.
    Refused(T),
    /// Others were faster, or what there is cannot be seen yet: the items of a transaction become
    /// visible one by one.
    InVain,
    /// It may have happened: what the next try reads decides.
    Unknown(Error),
}

impl Table {
    /// Tries a request until it is decided; `once` is told how many tries were before it, and reads
    /// everything anew.
    ///
    /// It is only refused if no earlier try of it has been accepted since its key was read: what stands
    /// against it now, its sender's leaving for one, may have come behind that. The first try of a request
    /// without a key has none before it.
    pub(crate) async fn decide<T, F>(&self, origin: &Origin, once: impl Fn(u32) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Tried<T>, Error>>,
    {
        let mut failure = Error::Contended;
        for attempt in tries() {
            pause(attempt).await;
            match once(attempt).await {
                Ok(Tried::Done(answer)) => return Ok(answer),
                Ok(Tried::Refused(answer)) => {
                    let first = attempt == 0 && !origin.repeatable;
                    if first || self.known(origin).await?.is_none() {
                        return Ok(answer);
                    }
                }
                Ok(Tried::InVain) | Err(Error::Contended) => {}
                Ok(Tried::Unknown(error)) if error.passes() => failure = error,
                Ok(Tried::Unknown(error)) | Err(error) => return Err(error),
            }
        }
        Err(failure)
    }
}

/// Waits before try number `attempt` (0 is the first and does not wait): full jitter over a
/// doubling span, which keeps many writers of one row from meeting again and again
/// (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
pub async fn pause(attempt: u32) {
    if attempt > 0 {
        let span = Duration::from_millis(10 << attempt.min(6));
        tokio::time::sleep(span.mul_f64(chance::random::<f64>())).await;
    }
}

/// The numbers of the tries of what fails as long as each of them is in vain.
pub fn tries() -> std::ops::Range<u32> {
    0..limits::FUTILE_TRIES
}
