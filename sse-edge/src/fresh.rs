//! Whether this edge may hold leases just now, and under which name: only while its beat was
//! confirmed less than [`limits::BEAT_LAPSE`] ago by its own clock, so after a pause too.

use std::time::Duration;

use domain::{ids::BootId, limits};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// The name of this run of the edge, and when it was last known to count.
#[derive(Debug)]
pub(crate) struct Fresh(watch::Sender<Named>);

#[derive(Debug, Clone)]
struct Named {
    boot: BootId,
    confirmed_at: Option<Instant>,
}

impl Fresh {
    pub(crate) fn new(boot: BootId) -> Self {
        Self(watch::Sender::new(Named { boot, confirmed_at: None }))
    }

    /// The name, whether it counts or not.
    pub(crate) fn boot(&self) -> BootId {
        self.0.borrow().boot.clone()
    }

    /// The name, if it counts.
    pub(crate) fn now(&self) -> Option<BootId> {
        self.0.borrow().fresh()
    }

    /// Waits up to `limit` until the name counts.
    pub(crate) async fn within(&self, limit: Duration) -> Option<BootId> {
        let mut changes = self.0.subscribe();
        let named = timeout(limit, changes.wait_for(|named| named.fresh().is_some())).await.ok()?.ok()?;
        named.fresh()
    }

    /// Waits until the name counts.
    pub(crate) async fn sometime(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|named| named.fresh().is_some()).await;
    }

    /// A beat of `boot` that was sent at `sent_at` has been confirmed.
    pub(crate) fn confirm(&self, boot: &BootId, sent_at: Instant) {
        self.0.send_modify(|named| {
            if named.boot == *boot {
                named.confirmed_at = Some(sent_at);
            }
        });
    }

    /// The name counts no more; another one does as soon as it is confirmed.
    pub(crate) fn rename(&self, boot: BootId) {
        self.0.send_replace(Named { boot, confirmed_at: None });
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
