//! The edge's boot id, and whether the edge may hold leases under it: only while its heartbeat was confirmed less than
//! [`limits::BEAT_LAPSE`] ago by its own clock. A pause of the process counts.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use domain::{ids::BootId, limits};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::lock::Lock;

/// The boot id of this run of the edge, and when its heartbeat was last confirmed.
///
/// This is not a `watch` channel: that wakes its waiters in a random order, which no simulation can replay.
#[derive(Debug)]
pub(crate) struct BootIdentity {
    current: Lock<Current>,
    confirmed: Notify,
    begun: AtomicBool,
}

#[derive(Debug)]
struct Current {
    boot: BootId,
    confirmed_at: Option<Instant>,
}

impl BootIdentity {
    pub(crate) fn new(boot: BootId) -> Self {
        Self {
            current: Lock::new(Current { boot, confirmed_at: None }),
            confirmed: Notify::new(),
            begun: AtomicBool::new(false),
        }
    }

    /// The boot id, confirmed or not.
    pub(crate) fn boot(&self) -> BootId {
        self.current.lock().boot.clone()
    }

    /// The boot id, if it is confirmed.
    pub(crate) fn if_confirmed(&self) -> Option<BootId> {
        self.current.lock().confirmed()
    }

    /// Waits up to `limit` for a confirmed boot id.
    pub(crate) async fn confirmed_within(&self, limit: Duration) -> Option<BootId> {
        timeout(limit, self.wait_until_confirmed()).await.ok()
    }

    /// Waits for a confirmed boot id.
    pub(crate) async fn wait_until_confirmed(&self) -> BootId {
        loop {
            // Registered before the check, so that no confirmation between the two is missed.
            let confirmed = self.confirmed.notified();
            if let Some(boot) = self.if_confirmed() {
                return boot;
            }
            confirmed.await;
        }
    }

    /// Notes that a heartbeat of `boot`, sent at `sent_at`, is confirmed.
    pub(crate) fn confirm(&self, boot: &BootId, sent_at: Instant) {
        let mut current = self.current.lock();
        if current.boot == *boot {
            current.confirmed_at = Some(sent_at);
            self.begun.store(true, Ordering::Relaxed);
            drop(current);
            self.confirmed.notify_waiters();
        }
    }

    /// Whether any heartbeat was ever confirmed, under this boot id or an earlier one.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Replaces the boot id by one that is not confirmed yet.
    pub(crate) fn replace(&self, boot: BootId) {
        *self.current.lock() = Current { boot, confirmed_at: None };
    }
}

impl Current {
    fn confirmed(&self) -> Option<BootId> {
        let is_confirmed = self.confirmed_at.is_some_and(|at| at.elapsed() < limits::BEAT_LAPSE);
        is_confirmed.then(|| self.boot.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_name_counts_for_fifteen_seconds_after_the_beat_was_sent() {
        let boot = BootId::made(1);
        let identity = BootIdentity::new(boot.clone());
        assert_eq!(identity.if_confirmed(), None);
        assert_eq!(identity.confirmed_within(Duration::from_secs(1)).await, None);
        let sent_at = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        identity.confirm(&boot, sent_at);
        assert_eq!(identity.if_confirmed(), Some(boot.clone()));
        tokio::time::advance(limits::BEAT_LAPSE.saturating_sub(Duration::from_secs(1))).await;
        assert_eq!(identity.if_confirmed(), None);
    }

    #[tokio::test]
    async fn a_late_confirmation_of_the_old_name_does_not_count_for_the_new_one() {
        let (old, new) = (BootId::made(1), BootId::made(2));
        let identity = BootIdentity::new(old.clone());
        identity.replace(new.clone());
        identity.confirm(&old, Instant::now());
        assert_eq!(identity.if_confirmed(), None);
        identity.confirm(&new, Instant::now());
        assert_eq!(identity.confirmed_within(Duration::from_secs(1)).await, Some(new));
    }
}
