//! The one place that reads the wall clock.

use std::{sync::OnceLock, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

/// Where the time comes from. The time of day measures no duration: [`Self::monotonic`] does.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Fixed(Timestamp),
    Tokio { start: Timestamp, at: Instant, ppm: i64 },
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still, for tests.
    pub fn fixed(at: Timestamp) -> Self {
        Self(Source::Fixed(at))
    }

    /// A clock that shows `start` now and moves with tokio's, which a simulation drives.
    pub fn tokio(start: Timestamp) -> Self {
        Self::tokio_drifting(start, 0)
    }

    /// The same, but of a million microseconds it counts `ppm` too many: no two clocks run alike.
    pub fn tokio_drifting(start: Timestamp, ppm: i64) -> Self {
        Self(Source::Tokio { start, at: Instant::now(), ppm })
    }

    /// What durations are measured with: it never goes back. Of a fixed clock it stands still too.
    pub fn monotonic(&self) -> Instant {
        static BEGIN: OnceLock<(Instant, Timestamp)> = OnceLock::new();
        let at = match self.0 {
            Source::Fixed(at) => at,
            Source::Tokio { at, ppm, .. } => return at + drifting(at.elapsed(), ppm),
            Source::System => return Instant::now(),
        };
        let (instant, begin) = *BEGIN.get_or_init(|| (Instant::now(), Timestamp::now()));
        let since = Duration::try_from(at.duration_since(begin)).unwrap_or_default();
        instant + since
    }

    /// The time of day, in whole milliseconds: what is stored and shown has no more.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::System => {
                let now = Timestamp::now();
                Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
            }
            Source::Fixed(at) => at,
            Source::Tokio { start, at, ppm } => {
                let ms = drifting(at.elapsed(), ppm).as_millis();
                start + Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
            }
        }
    }
}

/// What a clock counts while so much passes.
fn drifting(passed: Duration, ppm: i64) -> Duration {
    let drift = passed / 1_000_000 * u32::try_from(ppm.unsigned_abs()).unwrap_or(0);
    if ppm < 0 { passed.saturating_sub(drift) } else { passed + drift }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_stands_still() {
        let at = Timestamp::from_second(1_000).unwrap();
        let clock = Clock::fixed(at);
        assert_eq!(clock.now(), at);
        assert_eq!(clock.clone().now(), at);
        assert_eq!(clock.monotonic(), clock.monotonic());
        let (now, hour) = (Timestamp::now(), Duration::from_hours(1));
        let passed = Clock::fixed(now + hour * 2).monotonic() - Clock::fixed(now + hour).monotonic();
        assert_eq!(passed, hour);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tokio_clock_moves_with_tokios() {
        let start = Timestamp::from_second(1_000).unwrap();
        let clock = Clock::tokio(start);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Timestamp::from_second(1_005).unwrap());
        let fast = Clock::tokio_drifting(start, 10_000);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(fast.now(), Timestamp::from_second(1_101).unwrap());
    }

    #[test]
    fn the_system_clock_moves_forward() {
        let clock = Clock::system();
        let earlier = clock.now();
        assert!(clock.now() >= earlier);
    }
}
