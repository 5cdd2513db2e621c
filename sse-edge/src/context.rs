//! The context of one edge: the table, the queues, the clock, settings, counters, budgets, and the edge's own state.
//! The context contains no part that uses it. `edge.rs` builds it once, and there are no statics.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use domain::{failure::Failed, ids::BootId};
use queue::queues::Queues;
use server::clock::Clock;
use store::table::EdgeTable;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) mod budget;
pub mod config;
pub(crate) mod identity;
pub(crate) mod lock;
pub(crate) mod metrics;
#[cfg(test)]
pub(crate) mod testing;

use budget::Budget;
use config::EdgeArgs;
use identity::BootIdentity;
use metrics::Metrics;

/// The ground that the parts of one edge stand on.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) table: EdgeTable,
    pub(crate) queues: Queues,
    pub(crate) clock: Clock,
    pub(crate) config: EdgeArgs,
    pub(crate) metrics: Metrics,
    pub(crate) identity: BootIdentity,
    pub(crate) budget: Budget,
    pub(crate) tracker: TaskTracker,
    /// Ends every task of the edge, whatever the task is doing.
    pub(crate) stop: CancellationToken,
    draining: AtomicBool,
}

impl Context {
    pub(crate) fn new(
        (table, queues): (EdgeTable, Queues),
        clock: Clock,
        config: EdgeArgs,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            table,
            queues,
            clock,
            config,
            metrics: Metrics::new(),
            identity: BootIdentity::new(BootId::made(rng::random())),
            budget: Budget::new(),
            tracker,
            stop,
            draining: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Begins to drain; false if the edge drains already.
    pub(crate) fn begin_to_drain(&self) -> bool {
        !self.draining.swap(true, Ordering::SeqCst)
    }

    /// Logs and counts a call that failed for good. The caller goes on without it.
    pub(crate) fn failed(&self, what: &str, error: &impl Failed) {
        self.metrics.fail(error.failure());
        tracing::warn!(failure = error.failure().as_str(), "could not {what}: {}", error.story());
    }

    /// Sleeps; false if the edge stops meanwhile.
    pub(crate) async fn sleep(&self, length: Duration) -> bool {
        self.until_stop(tokio::time::sleep(length)).await.is_some()
    }

    /// Runs `work` to its end; none if the edge stops first. A stop that has come already wins.
    pub(crate) async fn until_stop<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            done = work => Some(done),
        }
    }
}

/// The pause after `failures` failures in a row: doubling up to `most`, and half of it random.
pub(crate) fn backoff(failures: u32, most: Duration) -> Duration {
    let full = Duration::from_millis(200 << failures.min(10)).min(most);
    full.mul_f64(rng::range(0.5..=1.0))
}

/// `around`, up to 20 % shorter or longer at random, so that a fleet spreads.
pub(crate) fn jittered(around: Duration) -> Duration {
    around.mul_f64(rng::range(0.8..=1.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_grows_and_ends() {
        let most = Duration::from_secs(10);
        assert!(backoff(0, most) <= Duration::from_millis(200));
        assert!((0..100).all(|n| backoff(n, most) >= Duration::from_millis(100) && backoff(n, most) <= most));
    }
}
