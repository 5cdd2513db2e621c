//! Waiting on a condition, with an end.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, interval};

/// How long anything may take to show: longer than the page's longest pause between two tries (10 s).
const DEADLINE: Duration = Duration::from_secs(45);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `look` finds what it wants; on the deadline, says what was there instead.
pub(crate) async fn until<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let deadline = Instant::now() + DEADLINE;
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        match look().await? {
            Ok(found) => return Ok(found),
            Err(instead) if Instant::now() > deadline => {
                bail!("waited in vain until {what}; there is: {instead}")
            }
            Err(_) => {}
        }
    }
}
