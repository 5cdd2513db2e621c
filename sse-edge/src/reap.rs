//! Takes away what nobody uses any more: queues of edges that died, and of users who have been
//! away for days.
//!
//! Every step is conditional on what was read, or does nothing the second time, so any number of
//! edges may do it at once, and one that dies half way leaves the rest to the next. The row in the
//! registry goes last, since it is how the rest is found.

use std::sync::Arc;

use domain::{
    failure::{Failed, Failure},
    ids::{BootId, UserId},
    limits,
};
use jiff::{SignedDuration, Timestamp};
use store::{
    keys::SHARDS,
    rows::{LeaseRow, QueueRow},
};

use crate::{config::jittered, shared::Shared};

/// What is to become of a user's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict<'a> {
    /// It stays as it is.
    Keep,
    /// Its holder is to be asked after, since only a living one counts.
    Held(&'a BootId),
    /// Nobody has held it since then, which is too long ago.
    Idle(i64),
    /// It has no lease, and whoever would have put one is gone.
    Orphaned,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Table(#[from] store::error::Error),
    #[error(transparent)]
    Queue(#[from] queue::error::Error),
}

impl Failed for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Table(error) => error.failure(),
            Self::Queue(error) => error.failure(),
        }
    }
}

/// Looks now and then, and when a dead edge is taken off the list, until the edge stops.
pub(crate) async fn reap(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = shared.reap.notified() => {}
            () = tokio::time::sleep(jittered(shared.config.reap())) => {}
        }
        // Whose own beat is not confirmed cannot judge others.
        if shared.fresh.now().is_none() {
            continue;
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = all(&shared) => {}
        }
    }
}

async fn all(shared: &Shared) {
    for shard in 0..SHARDS {
        let rows = match shared.table.registered(shard).await {
            Ok(rows) => rows,
            Err(error) => {
                shared.failed("read the registry of queues", &error);
                continue;
            }
        };
        for row in rows {
            if let Err(error) = one(shared, &row).await {
                shared.failed("reap a queue", &error);
            }
        }
    }
}

async fn one(shared: &Shared, row: &QueueRow) -> Result<(), Error> {
    match (&row.user, &row.edge) {
        (Some(user), _) => users(shared, row, user).await,
        // The edge is on the list before its queue is in the registry.
        (None, Some(edge)) if shared.edges.is_living(shared, edge).await? => Ok(()),
        (None, _) => delete(shared, row).await,
    }
}

async fn users(shared: &Shared, row: &QueueRow, user: &UserId) -> Result<(), Error> {
    let (now, queue) = (shared.clock.now(), &row.queue);
    let lease = shared.table.lease(user, queue).await?;
    match judge(row, lease.as_ref(), now) {
        Verdict::Keep => Ok(()),
        Verdict::Held(holder) => {
            if !shared.edges.is_living(shared, holder).await? {
                // Writers would post to it in vain until the user comes back.
                shared.table.give_lease(user, queue, holder, now).await?;
            }
            Ok(())
        }
        Verdict::Idle(freed) => {
            if shared.table.drop_free_lease(user, queue, freed).await? {
                delete(shared, row).await?;
            }
            Ok(())
        }
        Verdict::Orphaned => delete(shared, row).await,
    }
}

fn judge<'a>(row: &QueueRow, lease: Option<&'a LeaseRow>, now: Timestamp) -> Verdict<'a> {
    let over = |since: i64, limit: std::time::Duration| {
        let passed = SignedDuration::from_millis(now.as_millisecond().saturating_sub(since));
        passed > SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX)
    };
    match lease {
        Some(LeaseRow { holder: Some(holder), .. }) => Verdict::Held(holder),
        Some(LeaseRow { freed: Some(freed), .. }) if over(*freed, limits::QUEUE_IDLE) => {
            Verdict::Idle(*freed)
        }
        None if over(row.created, limits::QUEUE_ORPHANED) => Verdict::Orphaned,
        Some(_) | None => Verdict::Keep,
    }
}

async fn delete(shared: &Shared, row: &QueueRow) -> Result<(), Error> {
    shared.queues.delete_named(&row.queue).await?;
    shared.table.unregister_queue(&row.queue).await?;
    shared.meters.reaped.increment(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::ids::QueueId;

    use super::*;

    #[test]
    fn only_what_was_unused_for_days_or_never_used_goes() {
        let hour = 3_600_000;
        let row = QueueRow {
            queue: QueueId::made(1),
            user: Some(UserId::parse("bob").unwrap()),
            edge: None,
            created: 0,
        };
        let free =
            |freed| LeaseRow { queue: row.queue.clone(), url: String::new(), holder: None, freed, exp: None };
        let at = |hours: i64| Timestamp::from_millisecond(hours * hour + 1).unwrap();
        assert_eq!(judge(&row, None, at(0)), Verdict::Keep);
        assert_eq!(judge(&row, None, at(1)), Verdict::Orphaned);
        assert_eq!(judge(&row, Some(&free(Some(2 * hour))), at(73)), Verdict::Keep);
        assert_eq!(judge(&row, Some(&free(Some(2 * hour))), at(74)), Verdict::Idle(2 * hour));
        assert_eq!(judge(&row, Some(&free(None)), at(1_000)), Verdict::Keep);
        let holder = BootId::made(1);
        let held = LeaseRow { holder: Some(holder.clone()), ..free(None) };
        assert_eq!(judge(&row, Some(&held), at(1_000)), Verdict::Held(&holder));
    }
}
