//! Whether this edge may hold leases just now, and under which name: only while its beat was
//! confirmed less than [`limits::BEAT_LAPSE`] ago by its own clock, so after a pause too.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{ids::BootId, limits};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// The name of this run of the edge, and when it was last known to count.
///
/// Not a `watch` channel: that wakes who waits in an order of chance, which no simulation can replay.
#[derive(Debug)]
pub(crate) struct Fresh {
    named: Mutex<Named>,
    confirmed: Notify,
    begun: AtomicBool,
}

#[derive(Debug)]
struct Named {
    boot: BootId,
    confirmed_at: Option<Instant>,
}

impl Fresh {
    pub(crate) fn new(boot: BootId) -> Self {
        Self {
            named: Mutex::new(Named { boot, confirmed_at: None }),
            confirmed: Notify::new(),
            begun: AtomicBool::new(false),
        }
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name, whether it counts or not.
    pub(crate) fn boot(&self) -> BootId {
        self.named().boot.clone()
    }

    /// The name, if it counts.
    pub(crate) fn now(&self) -> Option<BootId> {
        self.named().fresh()
    }

    /// Waits up to `limit` until the name counts.
    pub(crate) async fn within(&self, limit: Duration) -> Option<BootId> {
        timeout(limit, self.sometime()).await.ok()
    }

    /// Waits until the name counts.
    pub(crate) async fn sometime(&self) -> BootId {
        loop {
            // Made before the look, or a confirmation between the two would be missed.
            let confirmed = self.confirmed.notified();
            if let Some(boot) = self.now() {
                return boot;
            }
            confirmed.await;
        }
    }

    /// A beat of `boot` that was sent at `sent_at` has been confirmed.
    pub(crate) fn confirm(&self, boot: &BootId, sent_at: Instant) {
        let mut named = self.named();
        if named.boot == *boot {
            named.confirmed_at = Some(sent_at);
            self.begun.store(true, Ordering::Relaxed);
            drop(named);
            self.confirmed.notify_waiters();
        }
    }

    /// Whether any beat was ever confirmed, under whatever name.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// The name counts no more; another one does as soon as it is confirmed.
    pub(crate) fn rename(&self, boot: BootId) {
        *self.named() = Named { boot, confirmed_at: None };
    }
}

impl Named {
    fn fresh(&self) -> Option<BootId> {
        let fresh = self.confirmed_at.is_some_and(|at| at.elapsed() < limits::BEAT_LAPSE);
        fresh.then(|| self.boot.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_name_counts_for_fifteen_seconds_after_the_beat_was_sent() {
        let boot = BootId::made(1);
        let fresh = Fresh::new(boot.clone());
        assert_eq!(fresh.now(), None);
        assert_eq!(fresh.within(Duration::from_secs(1)).await, None);
        let sent_at = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        fresh.confirm(&boot, sent_at);
        assert_eq!(fresh.now(), Some(boot.clone()));
        tokio::time::advance(limits::BEAT_LAPSE.saturating_sub(Duration::from_secs(1))).await;
        assert_eq!(fresh.now(), None);
    }

    #[tokio::test]
    async fn a_late_confirmation_of_the_old_name_does_not_count_for_the_new_one() {
        let (old, new) = (BootId::made(1), BootId::made(2));
        let fresh = Fresh::new(old.clone());
        fresh.rename(new.clone());
        fresh.confirm(&old, Instant::now());
        assert_eq!(fresh.now(), None);
        fresh.confirm(&new, Instant::now());
        assert_eq!(fresh.within(Duration::from_secs(1)).await, Some(new));
    }
}
