//! Queues of users, and which edge receives from each (rule 8). A lease is an attribute of the user row, so the answer of
//! each change is an image of the row: whoever takes a lease has read the inbox.

use domain::{
    ids::{BootId, QueueId, UserId},
    user_row::Lease,
};
use jiff::Timestamp;
use mistakes::mistake;

use crate::{
    inbox::{Change, Image, Updated},
    table::{
        EdgeTable,
        error::Error,
        keys,
        rows::QueueRow,
        tx::{n, s},
        user_row::{edge_lease, holder, queue_lease},
    },
};

pub mod edges;

/// Whose a queue is.
#[derive(Debug, Clone, Copy)]
pub enum QueueOf<'a> {
    /// A user's: whichever edge holds its lease receives from it.
    User(&'a UserId),
    /// An edge's own.
    Edge(&'a BootId),
}

/// A change of leases.
fn change() -> Change {
    Change::new()
        .set("lease_version = if_not_exists(lease_version, :none) + :one", [(":none", n(0)), (":one", n(1))])
}

/// A change of the lease on a queue of the user's.
fn change_queue(queue: &QueueId) -> Change {
    change().name("#lease", queue_lease(queue))
}

impl EdgeTable {
    /// Has `user`'s events posted to the queue of the edge `me` from now on.
    pub async fn take_edge_lease(&self, user: &UserId, queue: &QueueId, me: &BootId) -> Result<Image, Error> {
        let take =
            change().name("#lease", edge_lease(me)).set("#lease = :queue", [(":queue", s(queue.as_str()))]);
        self.changed(user, &take).await
    }

    /// Ends an edge's lease on its own queue. Any edge may do this for an edge that is marked dead, because that mark is
    /// final.
    pub async fn end_edge_lease(&self, user: &UserId, boot: &BootId) -> Result<Image, Error> {
        self.changed(user, &change().name("#lease", edge_lease(boot)).remove("#lease")).await
    }

    /// Has `me` receive from a queue of `user`'s, if its lease is as it was read. None if it is not. A lease of `me` is
    /// accepted too: an earlier attempt may have taken effect and lost its answer.
    pub async fn take_queue(
        &self,
        user: &UserId,
        lease: &Lease,
        me: &BootId,
    ) -> Result<Option<Image>, Error> {
        let take = change_queue(&lease.queue).set("#lease = :me", [(":me", s(me.as_str()))]);
        let take = if mistake!(TakenUnconditionally) {
            take
        } else {
            take.only_if("(#lease = :was OR #lease = :me)").values([(":was", holder(&lease.holder))])
        };
        Ok(match self.update(user, &take).await? {
            Updated::Changed(image) => Some(image),
            Updated::Refused(_) => None,
        })
    }

    /// Gives `user` a new queue, from which `me` receives.
    pub async fn add_queue(&self, user: &UserId, queue: &QueueId, me: &BootId) -> Result<Image, Error> {
        self.changed(user, &change_queue(queue).set("#lease = :me", [(":me", s(me.as_str()))])).await
    }

    /// Gives a queue of `user`'s back, so that any edge may take it; does nothing if `boot` does not hold it.
    pub async fn give_queue(
        &self,
        user: &UserId,
        queue: &QueueId,
        boot: &BootId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let give = change_queue(queue).set("#lease = :free", [(":free", n(now.as_millisecond()))]);
        let give = if mistake!(GivenUnconditionally) {
            give
        } else {
            give.only_if("#lease = :me").values([(":me", s(boot.as_str()))])
        };
        self.update(user, &give).await.map(drop)
    }

    /// Takes a queue out of `user`'s row, if its lease is as it was read. False if it is not.
    pub async fn remove_queue(&self, user: &UserId, lease: &Lease) -> Result<bool, Error> {
        let remove = change_queue(&lease.queue)
            .remove("#lease")
            .only_if("#lease = :was")
            .values([(":was", holder(&lease.holder))]);
        Ok(matches!(self.update(user, &remove).await?, Updated::Changed(_)))
    }

    async fn changed(&self, user: &UserId, change: &Change) -> Result<Image, Error> {
        self.update(user, change).await?.image()
    }

    /// Registers a queue of a user or of an edge. Registration comes before creation, so that no queue is forgotten.
    pub async fn register_queue(
        &self,
        queue: &QueueId,
        of: QueueOf<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (user, edge) = match of {
            QueueOf::User(user) => (Some(user.clone()), None),
            QueueOf::Edge(edge) => (None, Some(edge.clone())),
        };
        let row = QueueRow { queue: queue.clone(), user, edge, created: now.as_millisecond() };
        self.put(&keys::queue(queue), &row).await
    }

    /// The queues of one of the registry's [`keys::SHARDS`].
    pub async fn registered(&self, shard: u8) -> Result<Vec<QueueRow>, Error> {
        self.partition(keys::queues_pk(shard), "", usize::MAX).await
    }

    /// Strikes a queue from the registry.
    pub async fn unregister_queue(&self, queue: &QueueId) -> Result<(), Error> {
        self.delete(&keys::queue(queue)).await
    }

    /// Forgets every queue and edge. Only for one process whose queues died with the one before it. Leases of former
    /// edges on their own queues stay: such an edge has no row, so it counts as dead, and the next lease ends it.
    pub async fn forget_queues(&self) -> Result<(), Error> {
        for shard in 0..keys::SHARDS {
            for row in self.registered(shard).await? {
                if let Some(user) = &row.user {
                    let remove = change_queue(&row.queue).remove("#lease");
                    self.update(user, &remove.only_if("attribute_exists(#lease)")).await?;
                }
                self.unregister_queue(&row.queue).await?;
            }
        }
        for edge in self.edges().await? {
            self.remove_edge(&edge.boot).await?;
        }
        Ok(())
    }
}
