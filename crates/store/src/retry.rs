//! How often, and how long after each other, what was in vain is tried again.

use std::time::Duration;

use domain::limits;

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
