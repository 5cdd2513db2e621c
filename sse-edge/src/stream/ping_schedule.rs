//! When streams are pinged.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use domain::limits;
use tokio::time::Instant;

/// Streams that opened one after another are pinged one after another: the memory that the edge and the kernel keep for
/// them is adjacent, so the caches miss less often.
const NEIGHBOURS: u64 = 64;
/// Time between the pings of two neighbourhoods: as exact as the engine keeps time.
const SLICE: Duration = limits::TIMER_TICK;

/// Spreads the pings of all neighbourhoods over the period, so that no burst of pings delays a message.
#[derive(Debug)]
pub(crate) struct PingSchedule {
    begin: Instant,
    period: Duration,
    dealt: AtomicU64,
}

impl PingSchedule {
    pub(crate) fn new(begin: Instant, period: Duration) -> Self {
        Self { begin, period, dealt: AtomicU64::new(0) }
    }

    /// When a stream that opens now is pinged first.
    pub(crate) fn first(&self, now: Instant) -> Instant {
        let neighbourhood = self.dealt.fetch_add(1, Ordering::Relaxed) / NEIGHBOURS;
        let [period, slice] = [self.period, SLICE].map(|time| time.as_nanos());
        let place = u128::from(neighbourhood) * slice % period;
        let now_at = now.saturating_duration_since(self.begin).as_nanos() % period;
        let wait = period - (now_at + period - place) % period;
        now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// When a stream is pinged next whose ping was due at `at`: once, however many it has missed.
    pub(crate) fn next(&self, at: Instant, now: Instant) -> Instant {
        let missed = now.saturating_duration_since(at).as_nanos() / self.period.as_nanos();
        at + self.period.saturating_mul(u32::try_from(missed + 1).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(15);

    #[test]
    fn neighbours_are_pinged_together_and_all_of_them_over_the_whole_period() {
        let begin = Instant::now();
        let pings = PingSchedule::new(begin, PERIOD);
        let mut due = BTreeMap::new();
        for n in 0..2 * 150 * NEIGHBOURS {
            let now = begin + Duration::from_micros(125 * n);
            let at = pings.first(now);
            assert!(at > now && at <= now + PERIOD, "{:?}", at - now);
            *due.entry((at - begin).as_millis() % PERIOD.as_millis()).or_insert(0) += 1;
        }
        assert_eq!(due.len(), 150);
        assert!(due.values().all(|streams| *streams == 2 * NEIGHBOURS));
    }

    #[test]
    fn a_stream_keeps_its_time_and_makes_up_for_no_ping_that_it_missed() {
        let begin = Instant::now();
        let pings = PingSchedule::new(begin, PERIOD);
        let late = begin + Duration::from_millis(40);
        assert_eq!(pings.next(begin, late), begin + PERIOD);
        let paused = begin + 3 * PERIOD + PERIOD / 2;
        assert_eq!(pings.next(begin, paused), begin + 4 * PERIOD);
    }
}
