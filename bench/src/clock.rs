//! One monotonic clock for everything, in nanoseconds since the tool started.

use std::{sync::LazyLock, time::Instant};

/// A second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// A millisecond.
pub(crate) const MILLI: u64 = 1_000_000;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the first call.
pub(crate) fn now() -> u64 {
    BEGIN.elapsed().as_nanos() as u64
}
