//! The one place that reads the wall clock.

use jiff::Timestamp;

/// Where the time of day comes from. Durations are measured with tokio's `Instant`, never with this.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Fixed(Timestamp),
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

    /// The time of day, in whole milliseconds: what is stored and shown has no more.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::System => {
                let now = Timestamp::now();
                Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
            }
            Source::Fixed(at) => at,
        }
    }
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
    }

    #[test]
    fn the_system_clock_moves_forward() {
        let clock = Clock::system();
        let earlier = clock.now();
        assert!(clock.now() >= earlier);
    }
}
