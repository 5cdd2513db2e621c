//! Optimistic attempts, and how often and how long after each other they are repeated.

use std::time::Duration;

use domain::limits;

use super::error::Error;

/// Why an attempt has ended without a result.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Another writer was faster, or a row is not visible yet: the items of a transaction become visible one by one.
    Conflict,
    /// The attempt may have taken effect: the rows that the next one reads decide.
    Indeterminate(Error),
    /// Another attempt would not help.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Contended => Self::Conflict,
            error => Self::Failed(error),
        }
    }
}

impl Stop {
    /// A call that may have taken effect has failed.
    pub(crate) fn in_doubt(error: Error) -> Self {
        if error.passes() { Self::Indeterminate(error) } else { Self::Failed(error) }
    }
}

/// One attempt of several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// The attempts before it.
    pub(crate) number: u32,
    /// Whether an earlier one may have taken effect.
    pub(crate) in_doubt: bool,
}

/// Repeats an attempt while it conflicts or its effect is unknown. Each one reads everything anew.
///
/// # Errors
/// After [`limits::FUTILE_TRIES`] attempts, the last error that was not a conflict, else [`Error::Contended`].
pub(crate) async fn retry<T, F>(mut once: impl FnMut(Attempt) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Stop>>,
{
    let (mut failure, mut in_doubt) = (Error::Contended, false);
    for number in 0..limits::FUTILE_TRIES {
        pause(number).await;
        match once(Attempt { number, in_doubt }).await {
            Ok(done) => return Ok(done),
            Err(Stop::Conflict) => {}
            Err(Stop::Indeterminate(error)) => (failure, in_doubt) = (error, true),
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    Err(failure)
}

/// Waits before attempt `number`; the first one, 0, does not wait. Full jitter over a doubling span keeps many writers of
/// one row from meeting again and again (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
pub(crate) async fn pause(number: u32) {
    if number > 0 {
        let span = Duration::from_millis(10 << number.min(6));
        tokio::time::sleep(span.mul_f64(rng::random::<f64>())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> Error {
        Error::Unavailable("on purpose".into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_tried_again_and_the_next_attempt_knows_whether_one_was_in_doubt() {
        let mut seen = Vec::new();
        let done = retry(|attempt| {
            seen.push((attempt.number, attempt.in_doubt));
            async move {
                match attempt.number {
                    0 => Err(Stop::from(Error::Contended)),
                    1 => Err(Stop::in_doubt(unavailable())),
                    number => Ok(number),
                }
            }
        });
        assert_eq!(done.await.unwrap(), 2);
        assert_eq!(seen, [(0, false), (1, false), (2, true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_with_the_last_error_that_was_not_a_conflict() {
        let conflict = retry(|_| async { Err::<(), _>(Stop::Conflict) }).await;
        assert!(matches!(conflict, Err(Error::Contended)));
        let once = |attempt: Attempt| async move {
            Err::<(), _>(if attempt.number == 0 { Stop::in_doubt(unavailable()) } else { Stop::Conflict })
        };
        assert!(matches!(retry(once).await, Err(Error::Unavailable(_))));
        let mut attempts = 0;
        let failed = retry(|_| {
            attempts += 1;
            async { Err::<(), _>(Stop::from(unavailable())) }
        });
        assert!(matches!(failed.await, Err(Error::Unavailable(_))));
        assert_eq!(attempts, 1);
    }
}
