//! Taking and giving back a user's lease. Which of these runs when is decided in [`crate::tend`],
//! one at a time for each user.

use std::sync::Arc;

use domain::{
    failure::{Failed, Failure},
    ids::{BootId, QueueId, UserId},
    limits,
};
use mistakes::mistake;
use store::leases::QueueOf;
use tokio::time::Instant;

use crate::{config::Topology, own_queue, shared::Shared};

/// A queue that this edge receives from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) queue: QueueId,
    pub(crate) url: String,
}

/// Why there is no lease. The stream goes on without one, and compares with HEAD instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLease {
    /// Too many queues are being created.
    #[error("no queue may be created just now")]
    Throttled,
    /// DynamoDB.
    #[error(transparent)]
    Table(#[from] store::error::Error),
    /// SQS.
    #[error(transparent)]
    Queue(#[from] queue::error::Error),
}

impl Failed for NoLease {
    fn failure(&self) -> Failure {
        match self {
            Self::Throttled => Failure::Throttled,
            Self::Table(error) => error.failure(),
            Self::Queue(error) => error.failure(),
        }
    }
}

/// Takes a lease for `user` as `me`; the same one as before wherever possible, and never two.
/// `held` is the queue that is held as far as this edge knows.
pub(crate) async fn take(
    shared: &Arc<Shared>,
    user: &UserId,
    me: &BootId,
    held: Option<&QueueId>,
) -> Result<Lease, NoLease> {
    match shared.config.queues {
        Topology::PerUser => {
            let _permit = shared.calls.acquire().await;
            take_users(shared, user, me).await
        }
        Topology::PerEdge => {
            // Whoever waits for the queue keeps nobody else from a call.
            let (lease, former) = shared.own_queue.get(shared, me).await?;
            let _permit = shared.calls.acquire().await;
            let until = shared.clock.now() + limits::LEASE_LIFE;
            shared.table.put_lease(user, (&lease.queue, &lease.url), me, Some(until)).await?;
            if held != Some(&lease.queue) {
                // Of one on the queue before, the answer may have been lost.
                let former = former.iter().map(|(queue, name)| (queue, name));
                for (old, name) in held.map(|queue| (queue, me)).into_iter().chain(former) {
                    shared.table.drop_lease(user, old, name).await?;
                }
            }
            Ok(lease)
        }
    }
}

/// The row that this edge holds already, else one without a living holder, else a new queue.
async fn take_users(shared: &Arc<Shared>, user: &UserId, me: &BootId) -> Result<Lease, NoLease> {
    let rows = shared.table.leases(user).await?;
    let mut own = rows.iter().filter(|row| row.holder.as_ref() == Some(me));
    if let Some(row) = own.next().filter(|_| !mistake!(SecondQueue)) {
        // A second one can only be left from a take whose answer was lost.
        for double in own {
            shared.table.give_lease(user, &double.queue, me, shared.clock.now()).await?;
        }
        return Ok(Lease { queue: row.queue.clone(), url: row.url.clone() });
    }
    for row in rows.iter().filter(|row| !own_queue::is_edges(&row.queue)) {
        let free = match &row.holder {
            None => true,
            Some(holder) => !shared.edges.is_living(shared, holder).await?,
        };
        if free && shared.table.take_lease(user, row, me).await? {
            return Ok(Lease { queue: row.queue.clone(), url: row.url.clone() });
        }
    }
    if !shared.creates.take(Instant::now()) {
        return Err(NoLease::Throttled);
    }
    let lease = Lease::create(shared, QueueId::made(chance::random()), QueueOf::User(user)).await?;
    shared.table.put_lease(user, (&lease.queue, &lease.url), me, None).await?;
    Ok(lease)
}

impl Lease {
    /// Creates a queue. It is in the registry first, so that the reaper finds it whatever happens.
    pub(crate) async fn create(shared: &Shared, queue: QueueId, of: QueueOf<'_>) -> Result<Self, NoLease> {
        shared.table.register_queue(&queue, of, shared.clock.now()).await?;
        let url = shared.queues.create(&queue).await?;
        Ok(Self { queue, url })
    }
}

/// Gives the lease on `queue` back, so that others may take the queue; on whichever queue the table has
/// one for this edge if that is not known.
pub(crate) async fn give(
    shared: &Shared,
    user: &UserId,
    queue: Option<&QueueId>,
    me: &BootId,
) -> Result<(), store::error::Error> {
    let rows = if queue.is_none() { shared.table.leases(user).await? } else { Vec::new() };
    let mine = rows.iter().filter(|row| row.holder.as_ref() == Some(me)).map(|row| &row.queue);
    for queue in queue.into_iter().chain(mine) {
        match shared.config.queues {
            Topology::PerUser => shared.table.give_lease(user, queue, me, shared.clock.now()).await?,
            Topology::PerEdge => shared.table.drop_lease(user, queue, me).await?,
        };
    }
    Ok(())
}

/// Drops the row of a queue that is believed gone, and then what is left of the queue.
pub(crate) async fn drop_queue(
    shared: &Shared,
    user: &UserId,
    queue: &QueueId,
    me: &BootId,
) -> Result<(), NoLease> {
    if shared.table.drop_lease(user, queue, me).await? {
        delete(shared, queue).await?;
    }
    Ok(())
}

/// Deletes a queue whose row is gone; it may only have been slow to appear. The registry forgets it
/// last: if this breaks off, the reaper still finds it.
pub(crate) async fn delete(shared: &Shared, queue: &QueueId) -> Result<(), NoLease> {
    shared.queues.delete_named(queue).await?;
    shared.table.unregister_queue(queue).await?;
    Ok(())
}
