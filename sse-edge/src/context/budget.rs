//! How much one edge does at a time: a fleet that comes back after an outage of DynamoDB must not cause the next one.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::limits;
use tokio::{sync::Semaphore, time::Instant};

use super::lock::Lock;

/// Calls of all workers together that are under way at once.
const CALLS: usize = 64;
/// Concurrent head checks, each of at most 100 users. They have a limit of their own, apart from the workers' calls.
/// Workers' calls pile up in an outage, and then only head checks find new events.
const CHECKS: usize = 16;

/// What one edge may have under way.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Calls of workers.
    pub(crate) calls: Semaphore,
    /// Head checks.
    pub(crate) checks: Semaphore,
    /// Reads of inboxes for streams.
    pub(crate) reads: Semaphore,
    /// New queues.
    pub(crate) creates: Allowance,
    /// Whether the edge's tasks run late.
    late: AtomicBool,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            calls: Semaphore::new(CALLS),
            checks: Semaphore::new(CHECKS),
            reads: Semaphore::new(limits::INBOX_READS),
            creates: Allowance::new(Instant::now()),
            late: AtomicBool::new(false),
        }
    }

    /// Notes whether the edge's tasks run late.
    pub(crate) fn set_late(&self, late: bool) {
        self.late.store(late, Ordering::Relaxed);
    }

    /// Whether the edge has more work than it can do: its tasks run late, or a budget is used up.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.late.load(Ordering::Relaxed)
            || self.calls.available_permits() == 0
            || self.reads.available_permits() == 0
    }
}

/// How many queues may be created now: [`limits::QUEUE_CREATES_PER_SECOND`], saved up for a second.
#[derive(Debug)]
pub(crate) struct Allowance(Lock<(f64, Instant)>);

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Lock::new((f64::from(limits::QUEUE_CREATES_PER_SECOND), now)))
    }

    /// Spends one, if there is one.
    pub(crate) fn spend(&self, now: Instant) -> bool {
        let most = f64::from(limits::QUEUE_CREATES_PER_SECOND);
        let mut saved = self.0.lock();
        let grown = saved.0 + now.saturating_duration_since(saved.1).as_secs_f64() * most;
        *saved = (grown.min(most), now);
        if saved.0 < 1.0 {
            return false;
        }
        saved.0 -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn twenty_queues_a_second_and_no_more() {
        let start = Instant::now();
        let allowance = Allowance::new(start);
        let spent = |now| (0..100).filter(|_| allowance.spend(now)).count();
        assert_eq!(spent(start), 20);
        assert_eq!(spent(start + Duration::from_millis(500)), 10);
        assert_eq!(spent(start + Duration::from_secs(100)), 20);
    }

    #[test]
    fn an_edge_that_runs_late_or_has_no_permit_left_is_exhausted() {
        let budget = Budget::new();
        assert!(!budget.is_exhausted());
        budget.set_late(true);
        assert!(budget.is_exhausted());
        budget.set_late(false);
        let permits = budget.reads.try_acquire_many(u32::try_from(limits::INBOX_READS).unwrap()).unwrap();
        assert!(budget.is_exhausted());
        drop(permits);
        assert!(!budget.is_exhausted());
    }
}
