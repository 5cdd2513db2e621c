//! The calls that take a user's lease and give it back. The user's worker makes them, one at a time.

use domain::{
    ids::{BootId, QueueId, UserId},
    user_row::{Holder, Lease, UserRow},
};
use mistakes::mistake;
use store::{inbox::Image, lease::QueueOf, table::error::Error};
use tokio::time::Instant;

use super::Reconciler;
use crate::{
    context::config::Topology,
    upstream::queues::{self, Queue, QueueError},
    user::User,
};

impl Reconciler {
    /// Takes `user`'s lease as `me`, on the former queue wherever possible, and never on two queues. The answer is an
    /// image of the row that has the lease.
    pub(super) async fn take_lease(&self, user: &User, me: &BootId) -> Result<(Queue, Image), QueueError> {
        match self.cx.config.queues {
            Topology::PerUser => {
                let _permit = self.cx.budget.calls.acquire().await;
                self.take_users_queue(user, me).await
            }
            Topology::PerEdge => {
                // Comes before the permit, so that workers that wait for the queue do not block the calls of other
                // workers.
                let queue = self.edge_queue.get(me).await?;
                let _permit = self.cx.budget.calls.acquire().await;
                user.lease_asked();
                let image = self.cx.table.take_edge_lease(&user.id, &queue.id, me).await?;
                let image = self.end_dead_leases(&user.id, image, me).await?;
                Ok((queue, image))
            }
        }
    }

    /// Ends the leases of edges that are marked dead, and of this edge under a former name: writers post to them in
    /// vain.
    async fn end_dead_leases(&self, user: &UserId, mut image: Image, me: &BootId) -> Result<Image, Error> {
        let others: Vec<BootId> = image
            .row
            .leases
            .iter()
            .filter_map(|lease| match &lease.holder {
                Holder::Edge(boot) if boot != me => Some(boot.clone()),
                _ => None,
            })
            .collect();
        for boot in others {
            if !self.peers.is_living(&boot).await? {
                image = self.cx.table.end_edge_lease(user, &boot).await?;
            }
        }
        Ok(image)
    }

    /// The queue that this edge holds already, else one without a living holder, else a new one.
    async fn take_users_queue(&self, user: &User, me: &BootId) -> Result<(Queue, Image), QueueError> {
        let table = &self.cx.table;
        user.lease_asked();
        let image = table.image(&user.id).await?;
        let own = |row: &UserRow| -> Vec<Lease> {
            let is_own = |lease: &&Lease| lease.holder == Holder::UserQueue(me.clone());
            row.leases.iter().filter(is_own).cloned().collect()
        };
        if let [first, doubles @ ..] = own(&image.row).as_slice()
            && !mistake!(SecondQueue)
        {
            // A second one can only be left by a call whose answer was lost.
            for double in doubles {
                table.give_queue(&user.id, &double.queue, me, self.cx.clock.now()).await?;
            }
            return Ok((self.queue(&first.queue).await?, image));
        }
        for lease in &image.row.leases {
            let is_free = match &lease.holder {
                Holder::Edge(_) => false,
                Holder::Free(_) => true,
                Holder::UserQueue(holder) => !self.peers.is_living(holder).await?,
            };
            if is_free && let Some(image) = table.take_queue(&user.id, lease, me).await? {
                return Ok((self.queue(&lease.queue).await?, image));
            }
        }
        if !self.cx.budget.creates.spend(Instant::now()) {
            return Err(QueueError::Throttled);
        }
        let queue = queues::create(&self.cx, QueueId::made(rng::random()), QueueOf::User(&user.id)).await?;
        let image = table.add_queue(&user.id, &queue.id, me).await?;
        Ok((queue, image))
    }

    async fn queue(&self, id: &QueueId) -> Result<Queue, QueueError> {
        Ok(Queue { id: id.clone(), url: self.cx.queues.url(id).await? })
    }

    /// Gives the lease on `queue` back, so that another edge may take the queue. Without a `queue`: each lease that the
    /// row has of this edge.
    pub(super) async fn give_lease(
        &self,
        user: &UserId,
        queue: Option<&QueueId>,
        me: &BootId,
    ) -> Result<(), Error> {
        let table = &self.cx.table;
        match (self.cx.config.queues, queue) {
            (Topology::PerEdge, _) => table.end_edge_lease(user, me).await.map(drop),
            (Topology::PerUser, Some(queue)) => table.give_queue(user, queue, me, self.cx.clock.now()).await,
            (Topology::PerUser, None) => {
                let row = table.image(user).await?.row;
                for lease in row.leases.iter().filter(|lease| lease.holder == Holder::UserQueue(me.clone())) {
                    table.give_queue(user, &lease.queue, me, self.cx.clock.now()).await?;
                }
                Ok(())
            }
        }
    }

    /// Drops the lease on a queue that seems gone, and deletes the queue: it may only be slow to appear.
    pub(super) async fn drop_queue(
        &self,
        user: &UserId,
        queue: &QueueId,
        me: &BootId,
    ) -> Result<(), QueueError> {
        let lease = Lease { queue: queue.clone(), holder: Holder::UserQueue(me.clone()) };
        if self.cx.config.queues == Topology::PerUser && self.cx.table.remove_queue(user, &lease).await? {
            queues::delete(&self.cx, queue).await?;
        }
        Ok(())
    }
}
