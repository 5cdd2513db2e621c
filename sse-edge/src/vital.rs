//! Whether what must never stand still does: the receives and the head check. An edge on which
//! one of them stalls looks alive and delivers late, so it asks for no new streams.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::limits;
use tokio::time::Instant;

use crate::config::EdgeArgs;

/// Time without any receive that ends well, while there are pumps, after which they are stalled:
/// two full waits and some.
const RECEIVE_STALL: Duration = limits::QUEUE_WAIT.saturating_mul(2).saturating_add(Duration::from_secs(20));
/// How much later than every second time a head check may be: rounds, jitter and the call itself.
const CHECK_SLACK: Duration = Duration::from_secs(5);

/// The signs of life of one edge.
#[derive(Debug)]
pub(crate) struct Vital {
    signs: Mutex<Signs>,
    /// How long a user may go unchecked.
    unchecked_most: Duration,
}

#[derive(Debug)]
struct Signs {
    pumps: usize,
    received_at: Instant,
    /// Since when the user who has waited longest was not compared with HEAD, as of the last round.
    unchecked_since: Instant,
}

/// A pump that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Vital);

impl Vital {
    pub(crate) fn new(config: &EdgeArgs, now: Instant) -> Self {
        let signs = Signs { pumps: 0, received_at: now, unchecked_since: now };
        Self { signs: Mutex::new(signs), unchecked_most: 2 * config.head_check() + CHECK_SLACK }
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pump begins.
    pub(crate) fn pump(&self, now: Instant) -> Running<'_> {
        let mut signs = self.signs();
        if signs.pumps == 0 {
            signs.received_at = now;
        }
        signs.pumps += 1;
        Running(self)
    }

    /// A receive has ended well, with envelopes or without.
    pub(crate) fn received(&self, now: Instant) {
        self.signs().received_at = now;
    }

    /// Since when the user who has waited longest was not compared with HEAD. To be told again and
    /// again: rounds that are no more made are a stall as well.
    pub(crate) fn unchecked_since(&self, since: Instant) {
        self.signs().unchecked_since = since;
    }

    /// What stalls, if anything does.
    pub(crate) fn stalled(&self, now: Instant) -> Option<&'static str> {
        let signs = self.signs();
        if now.saturating_duration_since(signs.unchecked_since) > self.unchecked_most {
            Some("the head check of this edge has stalled: see its log")
        } else if signs.pumps > 0 && now.saturating_duration_since(signs.received_at) > RECEIVE_STALL {
            Some("the queue consumer of this edge has stalled: see its log")
        } else {
            None
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.signs().pumps -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receives_stall_only_while_somebody_receives() {
        let start = Instant::now();
        let vital = Vital::new(&EdgeArgs::default(), start);
        let long = RECEIVE_STALL + Duration::from_secs(1);
        // As if rounds were made.
        vital.unchecked_since(start + 4 * long);
        assert_eq!(vital.stalled(start + long), None);
        let begin = start + long;
        let one = vital.pump(begin);
        let two = vital.pump(begin + long / 2);
        assert_eq!(vital.stalled(begin + RECEIVE_STALL), None);
        assert!(vital.stalled(begin + long).is_some());
        vital.received(begin + long);
        assert_eq!(vital.stalled(begin + long), None);
        drop(two);
        assert!(vital.stalled(begin + 2 * long).is_some());
        drop(one);
        assert_eq!(vital.stalled(begin + 2 * long), None);
    }

    #[test]
    fn a_user_whom_two_head_checks_have_missed_is_a_stall_and_so_is_the_end_of_the_rounds() {
        let start = Instant::now();
        let vital = Vital::new(&EdgeArgs::default(), start);
        let most = 2 * limits::HEAD_CHECK + CHECK_SLACK;
        assert_eq!(vital.stalled(start + most), None);
        let now = start + most + Duration::from_secs(1);
        assert!(vital.stalled(now).is_some());
        vital.unchecked_since(now);
        assert_eq!(vital.stalled(now + most), None);
        vital.unchecked_since(now);
        assert!(vital.stalled(now + 2 * most).is_some());
    }
}
