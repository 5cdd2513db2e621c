//! The lease on a queue that tells of news, as far as this edge knows it.

use std::{mem::take, time::Duration};

use domain::{ids::QueueId, limits};
use tokio::time::Instant;

use super::{State, UserStreams};
use crate::{config::jittered, pump::Pump};

/// A lease that this edge holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) queue: QueueId,
    pub(crate) receiving: Receiving,
}

/// Who receives from a lease's queue.
#[derive(Debug)]
pub(crate) enum Receiving {
    /// Its own pump.
    Own(Pump),
    /// The pump of the edge's one queue.
    Edges,
}

impl Receiving {
    /// Aborts the receive, soon.
    pub(crate) fn cancel(&self) {
        if let Self::Own(pump) = self {
            pump.cancel();
        }
    }

    /// Aborts the receive, and returns when that is done.
    pub(crate) async fn stop(self) {
        if let Self::Own(pump) = self {
            pump.stop().await;
        }
    }
}

impl UserStreams {
    /// Which queue is held, if its envelopes are received.
    pub(crate) fn held(&self) -> Option<QueueId> {
        let state = self.state();
        let held = state.lease.as_ref()?;
        let receiving = match &held.receiving {
            Receiving::Own(pump) => pump.is_running(),
            Receiving::Edges => true,
        };
        receiving.then(|| held.queue.clone())
    }

    /// Takes note of a lease; answers with the one it replaces. `certain` is asked under the lock
    /// whether the lease still counts.
    pub(crate) fn hold(&self, held: Held, now: Instant, certain: impl FnOnce() -> bool) -> Option<Held> {
        let mut state = self.state();
        if !certain() {
            return Some(held);
        }
        state.leased(now);
        state.lease.replace(held)
    }

    /// The lease is held as before.
    pub(crate) fn still_held(&self, now: Instant) {
        self.state().leased(now);
    }

    /// No lease could be had, as far as this edge knows; the next try comes later each time.
    pub(crate) fn no_lease(&self, now: Instant) {
        let mut state = self.state();
        let wait = Duration::from_secs(1 << state.lease_tries.min(4));
        state.lease_tries += 1;
        state.lease_due = now + jittered(wait);
    }

    /// The table may have a lease for this edge that the edge does not know of: a call has failed.
    pub(crate) fn doubt(&self) {
        self.state().in_doubt = true;
    }

    /// Forgets the lease, which others may have by now.
    pub(crate) fn lose_lease(&self) -> Option<Held> {
        self.state().lease.take()
    }

    /// The queue is gone, or whatever else says that the lease may tell of nothing any more.
    pub(crate) fn unconfirmed(&self) {
        let mut state = self.state();
        state.lease_tries = state.lease_tries.max(1);
    }

    /// Takes the lease out for giving it back, and the ring with it: a stream that arrives from
    /// now on waits until a lease is taken anew. Says too whether the table may have another one. If a
    /// stream has arrived already, all stays as it is.
    pub(crate) fn release(&self) -> Option<(Option<Held>, bool)> {
        let mut state = self.state();
        if !state.streams.is_empty() {
            return None;
        }
        state.ring = None;
        Some((state.lease.take(), take(&mut state.in_doubt)))
    }
}

impl State {
    /// Whether a lease is held that was confirmed since there was last reason to.
    pub(super) fn is_leased(&self) -> bool {
        self.lease.is_some() && self.lease_tries == 0
    }

    fn leased(&mut self, now: Instant) {
        self.in_doubt = false;
        self.lease_tries = 0;
        self.lease_due = now + jittered(limits::LEASE_RENEW);
        self.check_at = self.check_at.min(now + limits::FIRST_CHECK);
    }
}
