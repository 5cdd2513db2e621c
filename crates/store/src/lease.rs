//! Queues of users, and which edge holds each.

use std::collections::HashSet;

use domain::{
    ids::{BootId, QueueId, UserId},
    limits,
};
use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::table::{
    EdgeTable,
    error::{Error, held},
    keys,
    rows::{LeaseRow, QueueRow},
    tx::{n, s},
};

pub mod edges;

/// A queue of a user, and its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The queue.
    pub queue: QueueId,
    /// Where it is posted to.
    pub url: String,
    /// The edge that receives from it, if one does.
    pub holder: Option<BootId>,
}

/// Whose a queue is.
#[derive(Debug, Clone, Copy)]
pub enum QueueOf<'a> {
    /// A user's: whichever edge holds its lease receives from it.
    User(&'a UserId),
    /// An edge's own.
    Edge(&'a BootId),
}

impl EdgeTable {
    /// The queues of `user`, read consistently.
    pub async fn leases(&self, user: &UserId) -> Result<Vec<Lease>, Error> {
        let rows: Vec<LeaseRow> = self.partition(keys::user_pk(user), keys::LEASES, 1_000).await?;
        Ok(rows.into_iter().map(|r| Lease { queue: r.queue, url: r.url, holder: r.holder }).collect())
    }

    /// Makes `me` the holder of a lease that is unchanged since it was read. A lease of `me` is accepted too: an
    /// earlier attempt may have committed and lost its response.
    pub async fn take_lease(&self, user: &UserId, lease: &Lease, me: &BootId) -> Result<bool, Error> {
        let key = keys::lease(user, &lease.queue);
        let taken = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.item()))
            .update_expression("SET holder = :me REMOVE freed")
            .expression_attribute_values(":me", s(me.as_str()));
        let taken = match &lease.holder {
            Some(holder) => taken
                .condition_expression("holder = :holder OR holder = :me")
                .expression_attribute_values(":holder", s(holder.as_str())),
            None => taken.condition_expression(
                "attribute_exists(pk) AND (attribute_not_exists(holder) OR holder = :me)",
            ),
        };
        held(taken.send().await)
    }

    /// Puts a lease held by `me` on a queue. With `until` it goes by itself unless it is put again.
    pub async fn put_lease(
        &self,
        user: &UserId,
        (queue, url): (&QueueId, &str),
        me: &BootId,
        until: Option<Timestamp>,
    ) -> Result<(), Error> {
        let row = LeaseRow {
            queue: queue.clone(),
            url: url.into(),
            holder: Some(me.clone()),
            freed: None,
            exp: until.map(Timestamp::as_second),
        };
        self.put(&keys::lease(user, queue), &row).await
    }

    /// Gives a lease of `holder` back; false if that is not who holds it.
    pub async fn give_lease(
        &self,
        user: &UserId,
        queue: &QueueId,
        holder: &BootId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let given = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(keys::lease(user, queue).item()))
            .update_expression("SET freed = :now REMOVE holder")
            .condition_expression("holder = :holder")
            .expression_attribute_values(":holder", s(holder.as_str()))
            .expression_attribute_values(":now", n(now.as_millisecond()))
            .send()
            .await;
        held(given)
    }

    /// Deletes a lease that nobody has held since `freed`; false if somebody has.
    pub async fn drop_free_lease(&self, user: &UserId, queue: &QueueId, freed: i64) -> Result<bool, Error> {
        let dropped = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(keys::lease(user, queue).item()))
            .condition_expression("attribute_not_exists(holder) AND freed = :freed")
            .expression_attribute_values(":freed", n(freed))
            .send()
            .await;
        held(dropped)
    }

    /// A lease as it lies in the table, read consistently.
    pub async fn lease(&self, user: &UserId, queue: &QueueId) -> Result<Option<LeaseRow>, Error> {
        self.get(&keys::lease(user, queue)).await
    }

    /// Deletes a lease; false if it was not `me` who held it.
    pub async fn drop_lease(&self, user: &UserId, queue: &QueueId, me: &BootId) -> Result<bool, Error> {
        let dropped = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(keys::lease(user, queue).item()))
            .condition_expression("holder = :me")
            .expression_attribute_values(":me", s(me.as_str()))
            .send()
            .await;
        held(dropped)
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

    /// Forgets every queue, lease and edge. Only for one process whose queues died with the one
    /// before it.
    pub async fn forget_queues(&self) -> Result<(), Error> {
        for shard in 0..keys::SHARDS {
            for row in self.registered(shard).await? {
                if let Some(user) = &row.user {
                    self.delete(&keys::lease(user, &row.queue)).await?;
                }
                self.delete(&keys::queue(&row.queue)).await?;
            }
        }
        for edge in self.edges().await? {
            self.remove_edge(&edge.boot).await?;
        }
        Ok(())
    }

    /// Those of `users` with an open stream on any edge: the lease holder has a recent heartbeat by the wall clock. The
    /// result is good enough to show, and never for safety.
    pub async fn online(&self, users: &[UserId], now: Timestamp) -> Result<HashSet<UserId>, Error> {
        let fresh = |at: Timestamp| now.duration_since(at).unsigned_abs() < limits::BEAT_DEAD;
        let edges = self.edges_lately().await?;
        let alive: HashSet<&BootId> =
            edges.iter().filter(|e| !e.dead && fresh(e.at)).map(|e| &e.boot).collect();
        let leases = try_join_all(users.iter().map(|user| self.leases(user))).await?;
        let held =
            |leases: &Vec<Lease>| leases.iter().any(|l| l.holder.as_ref().is_some_and(|h| alive.contains(h)));
        Ok(users.iter().zip(&leases).filter(|(_, l)| held(l)).map(|(user, _)| user.clone()).collect())
    }
}
