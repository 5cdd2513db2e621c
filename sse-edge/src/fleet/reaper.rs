//! Removes queues that no edge uses any more: those of dead edges, and those of users who have been away for days.
//!
//! Every step is conditional on what was read, or does nothing the second time. So any number of edges may reap at once,
//! and an edge that dies half way leaves the rest to the next. The row in the registry goes last, since it is how the
//! rest is found.

use std::sync::Arc;

use domain::{
    ids::{BootId, UserId},
    limits,
    user_row::{Holder, Lease},
};
use jiff::{SignedDuration, Timestamp};
use store::table::{keys::SHARDS, rows::QueueRow};

use super::peers::Peers;
use crate::{
    context::{Context, jittered},
    upstream::queues::{self, QueueError},
};

/// What is to become of a user's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict<'a> {
    /// The queue stays.
    Keep,
    /// The queue stays if its holder lives.
    Held(&'a BootId),
    /// The queue has had no holder for too long.
    Idle(&'a Lease),
    /// The queue has no lease, and the edge that would have put one is gone.
    Orphaned,
}

/// Reaps now and then, and when a dead edge's row was removed, until the edge stops.
pub(crate) async fn reap(cx: Arc<Context>, peers: Arc<Peers>) {
    let reaping = async {
        loop {
            tokio::select! {
                biased;
                () = peers.one_removed() => {}
                () = tokio::time::sleep(jittered(cx.config.reap)) => {}
            }
            // An edge whose own heartbeat is not confirmed cannot judge others.
            if cx.identity.if_confirmed().is_some() {
                Reaper { cx: &cx, peers: &peers }.all().await;
            }
        }
    };
    cx.until_stop(reaping).await;
}

struct Reaper<'a> {
    cx: &'a Context,
    peers: &'a Peers,
}

impl Reaper<'_> {
    async fn all(&self) {
        for shard in 0..SHARDS {
            let rows = match self.cx.table.registered(shard).await {
                Ok(rows) => rows,
                Err(error) => {
                    self.cx.failed("read the registry of queues", &error);
                    continue;
                }
            };
            for row in rows {
                if let Err(error) = self.one(&row).await {
                    self.cx.failed("reap a queue", &error);
                }
            }
        }
    }

    async fn one(&self, row: &QueueRow) -> Result<(), QueueError> {
        match (&row.user, &row.edge) {
            (Some(user), _) => self.users(row, user).await,
            // An edge has its row before its queue is in the registry.
            (None, Some(edge)) if self.peers.is_living(edge).await? => Ok(()),
            (None, _) => self.delete(row).await,
        }
    }

    async fn users(&self, row: &QueueRow, user: &UserId) -> Result<(), QueueError> {
        let (now, queue, table) = (self.cx.clock.now(), &row.queue, &self.cx.table);
        let leases = table.image(user).await?.row.leases;
        let lease = leases.iter().find(|lease| &lease.queue == queue);
        match judge(row, lease, now) {
            Verdict::Keep => Ok(()),
            Verdict::Held(holder) => {
                if !self.peers.is_living(holder).await? {
                    // Writers would post to it in vain until the user comes back.
                    table.give_queue(user, queue, holder, now).await?;
                }
                Ok(())
            }
            Verdict::Idle(lease) => {
                if table.remove_queue(user, lease).await? {
                    self.delete(row).await?;
                }
                Ok(())
            }
            Verdict::Orphaned => self.delete(row).await,
        }
    }

    async fn delete(&self, row: &QueueRow) -> Result<(), QueueError> {
        queues::delete(self.cx, &row.queue).await?;
        self.cx.metrics.reaped.increment(1);
        Ok(())
    }
}

fn judge<'a>(row: &QueueRow, lease: Option<&'a Lease>, now: Timestamp) -> Verdict<'a> {
    let over = |since: i64, limit: std::time::Duration| {
        let passed = SignedDuration::from_millis(now.as_millisecond().saturating_sub(since));
        passed > SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX)
    };
    let Some(lease) = lease else {
        return if over(row.created, limits::QUEUE_ORPHANED) { Verdict::Orphaned } else { Verdict::Keep };
    };
    match &lease.holder {
        Holder::Edge(holder) | Holder::UserQueue(holder) => Verdict::Held(holder),
        Holder::Free(since) if over(*since, limits::QUEUE_IDLE) => Verdict::Idle(lease),
        Holder::Free(_) => Verdict::Keep,
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::QueueId;

    use super::*;

    #[test]
    fn only_a_queue_that_was_unused_for_days_or_never_used_goes() {
        let hour = 3_600_000;
        let row = QueueRow {
            queue: QueueId::made(1),
            user: Some(UserId::parse("bob").unwrap()),
            edge: None,
            created: 0,
        };
        let lease = |holder| Lease { queue: row.queue.clone(), holder };
        let free = |hour_of: i64| lease(Holder::Free(hour_of * hour));
        let at = |hours: i64| Timestamp::from_millisecond(hours * hour + 1).unwrap();
        assert_eq!(judge(&row, None, at(0)), Verdict::Keep);
        assert_eq!(judge(&row, None, at(1)), Verdict::Orphaned);
        assert_eq!(judge(&row, Some(&free(2)), at(73)), Verdict::Keep);
        assert_eq!(judge(&row, Some(&free(2)), at(74)), Verdict::Idle(&free(2)));
        let holder = BootId::made(1);
        let held = lease(Holder::UserQueue(holder.clone()));
        assert_eq!(judge(&row, Some(&held), at(1_000)), Verdict::Held(&holder));
    }
}
