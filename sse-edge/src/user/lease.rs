//! The lease on a queue, as far as this edge knows it.

use std::{
    mem::{replace, take},
    time::Duration,
};

use domain::ids::QueueId;
use tokio::time::Instant;

use super::User;
use crate::{context::jittered, upstream::consumer::Consumer};

/// A lease that this edge holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) queue: QueueId,
    pub(crate) receiving: Receiving,
}

/// Which consumer receives from a lease's queue.
#[derive(Debug)]
pub(crate) enum Receiving {
    /// One of the user's own.
    Own(Consumer),
    /// The one of the edge's queue.
    Edges,
}

/// A lease from the first attempt to take it until it is given back: a machine without I/O.
#[derive(Debug)]
pub(crate) enum LeaseState {
    /// The edge has no lease.
    Absent {
        /// Failed attempts in a row.
        attempts: u32,
        /// The table may have a lease for this edge: the answer of a call was lost.
        maybe_in_table: bool,
        /// When the next attempt is due. Without a failed one it is due at once.
        due: Instant,
    },
    /// The edge has a lease. It stays until it is given back, or until the edge counts as dead.
    Confirmed { held: Held },
    /// The edge has a lease that may be void: its queue is gone, or the attempt to take it again has failed.
    Unconfirmed { held: Held, attempts: u32, maybe_in_table: bool, due: Instant },
}

impl Receiving {
    /// Aborts the receive, soon.
    pub(crate) fn cancel(&self) {
        if let Self::Own(consumer) = self {
            consumer.cancel();
        }
    }

    /// Aborts the receive, and returns when that is done.
    pub(crate) async fn stop(self) {
        if let Self::Own(consumer) = self {
            consumer.stop().await;
        }
    }

    fn is_running(&self) -> bool {
        match self {
            Self::Own(consumer) => consumer.is_running(),
            Self::Edges => true,
        }
    }
}

impl LeaseState {
    pub(super) fn new(now: Instant) -> Self {
        Self::Absent { attempts: 0, maybe_in_table: false, due: now }
    }

    pub(super) fn held(&self) -> Option<&Held> {
        match self {
            Self::Absent { .. } => None,
            Self::Confirmed { held, .. } | Self::Unconfirmed { held, .. } => Some(held),
        }
    }

    pub(super) fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed { .. })
    }

    /// Whether neither the edge nor the table has a lease.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Absent { maybe_in_table: false, .. })
    }

    /// When to take the lease, or to take it again; never while it is confirmed.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match *self {
            // No attempt since the lease was lost: the worker may have panicked.
            Self::Absent { attempts: 0, .. } => Some(now),
            Self::Absent { due, .. } | Self::Unconfirmed { due, .. } => Some(due),
            Self::Confirmed { .. } => None,
        }
    }

    /// The edge has taken a lease; returns the one that it replaces.
    pub(super) fn taken(&mut self, held: Held) -> Option<Held> {
        match replace(self, Self::Confirmed { held }) {
            Self::Absent { .. } => None,
            Self::Confirmed { held, .. } | Self::Unconfirmed { held, .. } => Some(held),
        }
    }

    /// The edge has the same lease as before.
    pub(super) fn renewed(&mut self) {
        self.change(|lease| match lease {
            absent @ Self::Absent { .. } => absent,
            Self::Confirmed { held } | Self::Unconfirmed { held, .. } => Self::Confirmed { held },
        });
    }

    /// An attempt has failed, and the next one waits longer each time. `in_doubt` says whether the failed one may have
    /// taken effect.
    pub(super) fn failed(&mut self, now: Instant, in_doubt: bool) {
        let next = |attempts: u32| now + jittered(Duration::from_secs(1 << attempts.min(4)));
        self.change(|lease| match lease {
            Self::Absent { attempts, maybe_in_table, .. } => Self::Absent {
                attempts: attempts + 1,
                maybe_in_table: maybe_in_table || in_doubt,
                due: next(attempts),
            },
            Self::Confirmed { held, .. } => {
                Self::Unconfirmed { held, attempts: 1, maybe_in_table: in_doubt, due: next(0) }
            }
            Self::Unconfirmed { held, attempts, maybe_in_table, .. } => Self::Unconfirmed {
                held,
                attempts: attempts + 1,
                maybe_in_table: maybe_in_table || in_doubt,
                due: next(attempts),
            },
        });
    }

    /// The lease may be void.
    pub(super) fn unconfirm(&mut self) {
        let now = Instant::now();
        self.change(|lease| match lease {
            Self::Absent { attempts, maybe_in_table, due } => {
                Self::Absent { attempts: attempts.max(1), maybe_in_table, due }
            }
            Self::Confirmed { held } => {
                Self::Unconfirmed { held, attempts: 1, maybe_in_table: false, due: now }
            }
            unconfirmed @ Self::Unconfirmed { .. } => unconfirmed,
        });
    }

    /// The edge forgets its lease, which another edge may have by now.
    pub(super) fn lose(&mut self) -> Option<Held> {
        let mut lost = None;
        self.change(|lease| match lease {
            absent @ Self::Absent { .. } => absent,
            Self::Confirmed { held } => {
                lost = Some(held);
                Self::new(Instant::now())
            }
            Self::Unconfirmed { held, attempts, maybe_in_table, due } => {
                lost = Some(held);
                Self::Absent { attempts, maybe_in_table, due }
            }
        });
        lost
    }

    /// The table may have a lease that this edge does not know of.
    pub(super) fn doubt(&mut self) {
        if self.is_confirmed() {
            self.unconfirm();
        }
        if let Self::Absent { maybe_in_table, .. } | Self::Unconfirmed { maybe_in_table, .. } = self {
            *maybe_in_table = true;
        }
    }

    /// Takes the lease out to give it back, with whether the table may have another one.
    pub(super) fn release(&mut self) -> (Option<Held>, bool) {
        let held = self.lose();
        match self {
            Self::Absent { maybe_in_table, .. } => (held, take(maybe_in_table)),
            Self::Confirmed { .. } | Self::Unconfirmed { .. } => (held, false),
        }
    }

    fn change(&mut self, to: impl FnOnce(Self) -> Self) {
        let absent = Self::new(Instant::now());
        *self = to(replace(self, absent));
    }
}

impl User {
    /// The queue of the lease, if it is being received from.
    pub(crate) fn held(&self) -> Option<QueueId> {
        let state = self.state();
        let held = state.schedule.lease.held()?;
        held.receiving.is_running().then(|| held.queue.clone())
    }

    /// Records a lease, and returns the lease to stop: the replaced one, or `held` itself if `counts` is false.
    /// `counts` says, under the lock, whether `held` is still valid.
    pub(crate) fn lease_taken(
        &self,
        held: Held,
        now: Instant,
        counts: impl FnOnce() -> bool,
    ) -> Option<Held> {
        let mut state = self.state();
        if counts() { state.schedule.lease_taken(held, now) } else { Some(held) }
    }

    /// Removes the lease and the ring, so that the worker can release the lease. A stream that opens afterwards waits
    /// for a new lease. Also returns whether the table may have another lease. None if a stream has opened already.
    pub(crate) fn release_lease(&self) -> Option<(Option<Held>, bool)> {
        let mut state = self.state();
        if !state.streams.is_empty() {
            return None;
        }
        state.ring = None;
        Some(state.schedule.lease.release())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(name: u128) -> Held {
        Held { queue: QueueId::made(name), receiving: Receiving::Edges }
    }

    #[test]
    fn a_lease_is_due_at_once_then_not_again_and_each_failure_doubles_the_pause() {
        let now = Instant::now();
        let mut lease = LeaseState::new(now);
        assert_eq!(lease.due(now), Some(now));
        for seconds in [1, 2, 4, 8, 16, 16] {
            lease.failed(now, false);
            let pause = lease.due(now).unwrap() - now;
            assert!(pause >= Duration::from_secs(seconds).mul_f64(0.8), "{pause:?} for {seconds}");
            assert!(pause <= Duration::from_secs(seconds).mul_f64(1.2), "{pause:?} for {seconds}");
        }
        assert!(lease.taken(held(1)).is_none());
        assert!(lease.is_confirmed() && lease.due(now).is_none());
    }

    #[test]
    fn a_lease_that_may_be_void_is_held_until_it_is_renewed_or_replaced() {
        let now = Instant::now();
        let mut lease = LeaseState::new(now);
        lease.taken(held(1));
        lease.unconfirm();
        assert!(!lease.is_confirmed() && lease.held().is_some());
        lease.renewed();
        assert!(lease.is_confirmed());
        lease.failed(now, false);
        assert!(!lease.is_confirmed());
        assert_eq!(lease.taken(held(2)).map(|old| old.queue), Some(QueueId::made(1)));
        assert!(lease.is_confirmed());
    }

    #[test]
    fn a_lost_lease_is_taken_again_at_once_unless_an_attempt_has_failed() {
        let now = Instant::now();
        let mut lease = LeaseState::new(now);
        lease.taken(held(1));
        assert!(lease.lose().is_some());
        assert_eq!(lease.due(now), Some(now));
        lease.taken(held(1));
        lease.failed(now, false);
        assert!(lease.lose().is_some());
        assert!(lease.due(now).unwrap() > now);
    }

    #[test]
    fn a_lease_that_may_be_in_the_table_is_not_over() {
        let mut lease = LeaseState::new(Instant::now());
        assert!(lease.is_over());
        lease.doubt();
        assert!(!lease.is_over());
        assert!(matches!(lease.release(), (None, true)));
        assert!(lease.is_over());
    }
}
