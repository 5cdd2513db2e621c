//! The calls that take a user's lease and give it back. The user's worker makes them, one at a time.

use domain::{
    ids::{BootId, QueueId, UserId},
    limits,
};
use mistakes::mistake;
use store::lease::QueueOf;
use tokio::time::Instant;

use super::{Reconciler, edge_queue};
use crate::{
    context::config::Topology,
    upstream::queues::{self, Queue, QueueError},
};

impl Reconciler {
    /// Takes or renews `user`'s lease as `me`, on the former queue wherever possible, and never on two queues. `held`
    /// is the queue of the lease that the edge knows of.
    pub(super) async fn take_lease(
        &self,
        user: &UserId,
        me: &BootId,
        held: Option<&QueueId>,
    ) -> Result<Queue, QueueError> {
        match self.cx.config.queues {
            Topology::PerUser => {
                let _permit = self.cx.budget.calls.acquire().await;
                self.take_users_queue(user, me).await
            }
            Topology::PerEdge => {
                // Comes before the permit, so that workers that wait for the queue do not block the calls of other
                // workers.
                let (queue, former) = self.edge_queue.get(me).await?;
                let _permit = self.cx.budget.calls.acquire().await;
                let (table, until) = (&self.cx.table, self.cx.clock.now() + limits::LEASE_LIFE);
                table.put_lease(user, (&queue.id, &queue.url), me, Some(until)).await?;
                if held != Some(&queue.id) {
                    // There may be a lease on the former queue, put by a call whose answer was lost.
                    let former = former.iter().map(|(queue, boot)| (queue, boot));
                    for (old, boot) in held.map(|queue| (queue, me)).into_iter().chain(former) {
                        table.drop_lease(user, old, boot).await?;
                    }
                }
                Ok(queue)
            }
        }
    }

    /// The queue that this edge holds already, else one without a living holder, else a new one.
    async fn take_users_queue(&self, user: &UserId, me: &BootId) -> Result<Queue, QueueError> {
        let table = &self.cx.table;
        let rows = table.leases(user).await?;
        let mut own = rows.iter().filter(|row| row.holder.as_ref() == Some(me));
        if let Some(row) = own.next().filter(|_| !mistake!(SecondQueue)) {
            // A second one can only be left by a call whose answer was lost.
            for double in own {
                table.give_lease(user, &double.queue, me, self.cx.clock.now()).await?;
            }
            return Ok(Queue { id: row.queue.clone(), url: row.url.clone() });
        }
        for row in rows.iter().filter(|row| !edge_queue::is_edges(&row.queue)) {
            let is_free = match &row.holder {
                None => true,
                Some(holder) => !self.peers.is_living(holder).await?,
            };
            if is_free && table.take_lease(user, row, me).await? {
                return Ok(Queue { id: row.queue.clone(), url: row.url.clone() });
            }
        }
        if !self.cx.budget.creates.spend(Instant::now()) {
            return Err(QueueError::Throttled);
        }
        let queue = queues::create(&self.cx, QueueId::made(rng::random()), QueueOf::User(user)).await?;
        table.put_lease(user, (&queue.id, &queue.url), me, None).await?;
        Ok(queue)
    }

    /// Gives the lease on `queue` back, so that another edge may take the queue. Without a `queue`: on each queue where
    /// the table has a lease of this edge.
    pub(super) async fn give_lease(
        &self,
        user: &UserId,
        queue: Option<&QueueId>,
        me: &BootId,
    ) -> Result<(), store::table::error::Error> {
        let table = &self.cx.table;
        let rows = if queue.is_none() { table.leases(user).await? } else { Vec::new() };
        let mine = rows.iter().filter(|row| row.holder.as_ref() == Some(me)).map(|row| &row.queue);
        for queue in queue.into_iter().chain(mine) {
            match self.cx.config.queues {
                Topology::PerUser => table.give_lease(user, queue, me, self.cx.clock.now()).await?,
                Topology::PerEdge => table.drop_lease(user, queue, me).await?,
            };
        }
        Ok(())
    }

    /// Drops the lease on a queue that seems gone, and deletes the queue: it may only be slow to appear.
    pub(super) async fn drop_queue(
        &self,
        user: &UserId,
        queue: &QueueId,
        me: &BootId,
    ) -> Result<(), QueueError> {
        if self.cx.table.drop_lease(user, queue, me).await? {
            queues::delete(&self.cx, queue).await?;
        }
        Ok(())
    }
}
