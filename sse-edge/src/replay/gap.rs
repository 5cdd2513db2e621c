//! The rule for a missing next event: an inbox says that it exists, and a read does not find it.

use std::time::Duration;

use domain::limits;
use tokio::time::Instant;

/// The first pause before the inbox is read again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A missing next event. The event may only be late. It is believed lost after reads have missed it for
/// [`limits::GAP_PATIENCE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    since: Instant,
    /// The last pause; zero before the first.
    pause: Duration,
}

impl Gap {
    /// A gap that was found at this time.
    pub(crate) fn since(now: Instant) -> Self {
        Self { since: now, pause: Duration::ZERO }
    }

    /// Restarts the patience, because a failed read proves nothing about the inbox. The pauses keep growing.
    pub(crate) fn restarted(self, now: Instant) -> Self {
        Self { since: now, ..self }
    }

    /// Whether a read that started at this time proves the loss. A response may take seconds, and then shows the inbox
    /// as it was before.
    pub(crate) fn is_believed(self, asked_at: Instant) -> bool {
        asked_at >= self.since + limits::GAP_PATIENCE
    }

    /// The next pause: twice the last one.
    pub(crate) fn grow(&mut self) -> Duration {
        self.pause =
            if self.pause.is_zero() { FIRST_PAUSE } else { (2 * self.pause).min(limits::GAP_PATIENCE) };
        self.pause
    }

    /// When to read again: after the next pause, and once more when the patience ends.
    pub(crate) fn read_again_at(&mut self, now: Instant) -> Instant {
        (now + self.grow()).min(self.since + limits::GAP_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_the_last_read_is_asked_for_when_the_patience_ends() {
        let start = Instant::now();
        let (mut gap, mut now, mut reads) = (Gap::since(start), start, Vec::new());
        while !gap.is_believed(now) {
            now = gap.read_again_at(now);
            reads.push((now - start).as_millis());
        }
        assert_eq!(reads, [100, 300, 700, 1500, limits::GAP_PATIENCE.as_millis()]);
    }

    #[test]
    fn a_failed_read_begins_the_patience_anew() {
        let start = Instant::now();
        let later = start + limits::GAP_PATIENCE;
        assert!(Gap::since(start).is_believed(later));
        assert!(!Gap::since(start).restarted(later).is_believed(later));
    }
}
