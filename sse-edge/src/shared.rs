//! What all parts of one edge share. Built once, in [`crate::edge`]; there are no statics.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{failure::Failed, limits};
use queue::queues::Queues;
use server::{auth::Verifier, clock::Clock};
use store::table::Table;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    caps::Addresses, config::EdgeArgs, edges::Edges, engine::Engine, fresh::Fresh, heads::Heads, hub::Hub,
    metrics::Meters, own_queue::OwnQueue, pings::Pings,
};

/// Calls that the tending of all users together may have under way: a fleet that comes back after
/// an outage of DynamoDB must not be the next one.
pub(crate) const TENDING_CALLS: usize = 64;
/// Comparisons with HEAD under way, of a hundred users each at most. They have no place among the calls that
/// tend users: those are the more, the worse it goes, and then these are all that tells of news.
pub(crate) const CHECKS: usize = 16;

/// One edge.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: Table,
    pub(crate) queues: Queues,
    pub(crate) verifier: Verifier,
    pub(crate) clock: Clock,
    pub(crate) config: EdgeArgs,
    pub(crate) hub: Hub,
    pub(crate) heads: Heads,
    pub(crate) engine: Engine,
    pub(crate) pings: Pings,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) fresh: Fresh,
    pub(crate) edges: Edges,
    pub(crate) own_queue: OwnQueue,
    pub(crate) meters: Meters,
    pub(crate) tracker: TaskTracker,
    /// Ends every task of the edge, whatever it is about to do.
    pub(crate) stop: CancellationToken,
    pub(crate) calls: Semaphore,
    pub(crate) checks: Semaphore,
    pub(crate) reads: Semaphore,
    pub(crate) creates: Allowance,
    pub(crate) draining: AtomicBool,
    /// Rings when a dead edge has left something behind.
    pub(crate) reap: Notify,
    /// The edge's tasks run late: it has more to do than it can.
    pub(crate) late: AtomicBool,
}

impl Shared {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether the edge has more to do than it can just now: it runs late, or all the calls that
    /// it allows itself are under way.
    pub(crate) fn is_behind(&self) -> bool {
        self.late.load(Ordering::Relaxed)
            || self.calls.available_permits() == 0
            || self.reads.available_permits() == 0
    }

    /// Logs and counts a call that failed for good. The caller goes on without it.
    pub(crate) fn failed(&self, what: &str, error: &impl Failed) {
        self.meters.fail(error.failure());
        tracing::warn!(failure = error.failure().as_str(), "could not {what}: {}", error.story());
    }

    /// Sleeps; false if the edge stops meanwhile.
    pub(crate) async fn sleep(&self, length: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(length) => true,
        }
    }
}

/// The pause after `failures` failures in a row: doubling up to `most`, and half of it random.
pub(crate) fn backoff(failures: u32, most: Duration) -> Duration {
    let full = Duration::from_millis(200 << failures.min(10)).min(most);
    full.mul_f64(chance::between(0.5..=1.0))
}

/// How many queues may be created now: [`limits::QUEUE_CREATES_PER_SECOND`], saved up for a second.
#[derive(Debug)]
pub(crate) struct Allowance(Mutex<(f64, Instant)>);

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new((f64::from(limits::QUEUE_CREATES_PER_SECOND), now)))
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let most = f64::from(limits::QUEUE_CREATES_PER_SECOND);
        let mut saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    use super::*;

    #[test]
    fn twenty_queues_a_second_and_no_more() {
        let start = Instant::now();
        let allowance = Allowance::new(start);
        let taken = |now| (0..100).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(start), 20);
        assert_eq!(taken(start + Duration::from_millis(500)), 10);
        assert_eq!(taken(start + Duration::from_secs(100)), 20);
    }

    #[test]
    fn a_backoff_grows_and_ends() {
        let most = Duration::from_secs(10);
        assert!(backoff(0, most) <= Duration::from_millis(200));
        assert!((0..100).all(|n| backoff(n, most) >= Duration::from_millis(100) && backoff(n, most) <= most));
    }
}
