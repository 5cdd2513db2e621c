//! How often, and how long after each other, a lost race is run again, and a read goes on that DynamoDB
//! does in parts.

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

/// The numbers of the tries of a conditional write, or of a read that DynamoDB does in parts.
pub fn tries() -> std::ops::Range<u32> {
    0..limits::WRITE_TRIES
}
