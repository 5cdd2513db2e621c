//! The edge's one queue, where queues are per edge.

use std::{sync::Arc, time::Duration};

use domain::ids::{BootId, QueueId};
use store::leases::QueueOf;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    leases::{self, Lease, NoLease},
    pump::Pump,
    shared::Shared,
    tend::{self, Ask},
};

/// The letters in front of an edge's queue id. No user may ever take such a queue: it carries
/// what others are to be told.
const PREFIX: &str = "edge";
/// Pause after a queue that could not be made.
const PAUSE: Duration = Duration::from_secs(1);

/// The queue, once it is needed. A tokio mutex, since it is held while the queue is created.
#[derive(Debug, Default)]
pub(crate) struct OwnQueue(Mutex<Queues>);

#[derive(Debug, Default)]
struct Queues {
    open: Option<Open>,
    former: Option<Former>,
    failed_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    lease: Lease,
    pump: Pump,
    registered_as: BootId,
}

/// The queue before this one, which is gone, and the name that its leases are held by.
pub(crate) type Former = (QueueId, BootId);

/// Whether a queue is an edge's and not a user's.
pub(crate) fn is_edges(queue: &QueueId) -> bool {
    queue.as_str().len() > PREFIX.len() + 22 && queue.as_str().starts_with(PREFIX)
}

fn new_id() -> QueueId {
    let made = QueueId::made(chance::random());
    QueueId::parse(&format!("{PREFIX}{made}")).expect("30 of a-z 0-9")
}

impl OwnQueue {
    /// The queue, entered in the registry as `me`'s; created and received from at first need, and
    /// anew when it is gone. And the one before it, if there was one.
    pub(crate) async fn get(
        &self,
        shared: &Arc<Shared>,
        me: &BootId,
    ) -> Result<(Lease, Option<Former>), NoLease> {
        let queues = &mut *self.0.lock().await;
        if let Some(open) = queues.open.as_mut().filter(|open| open.pump.is_running()) {
            if open.registered_as != *me {
                // Else the reaper would take it for a dead edge's.
                shared.table.register_queue(&open.lease.queue, QueueOf::Edge(me), shared.clock.now()).await?;
                open.registered_as = me.clone();
            }
            return Ok((open.lease.clone(), queues.former.clone()));
        }
        // All users ask for it, each for themselves.
        if queues.failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(NoLease::Throttled);
        }
        let made = queues.make(shared, me).await;
        queues.failed_at = made.is_err().then(Instant::now);
        Ok((made?, queues.former.clone()))
    }

    /// Ends the queue.
    pub(crate) async fn close(&self, shared: &Shared) {
        let Some(Open { lease, pump, .. }) = self.0.lock().await.open.take() else { return };
        pump.stop().await;
        if let Err(error) = leases::delete(shared, &lease.queue).await {
            shared.failed("delete the edge's queue", &error);
        }
    }
}

impl Queues {
    async fn make(&mut self, shared: &Arc<Shared>, me: &BootId) -> Result<Lease, NoLease> {
        if let Some(gone) = &self.open {
            leases::delete(shared, &gone.lease.queue).await?;
            self.former = Some((gone.lease.queue.clone(), gone.registered_as.clone()));
            self.open = None;
        }
        let lease = Lease::create(shared, new_id(), QueueOf::Edge(me)).await?;
        let own = shared.clone();
        let gone = move || {
            for user in own.hub.all() {
                user.unconfirmed();
                tend::ask(&own, &user, Ask::AGAIN);
            }
        };
        let pump = Pump::of_edge(shared, lease.url.clone(), gone);
        self.open = Some(Open { lease: lease.clone(), pump, registered_as: me.clone() });
        Ok(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edges_queue_is_told_from_a_users_even_one_that_begins_alike() {
        assert!(is_edges(&new_id()));
        for random in [0, 7, u128::MAX] {
            assert!(!is_edges(&QueueId::made(random)));
        }
        assert!(!is_edges(&QueueId::parse(&format!("edge{}", "a".repeat(22))).unwrap()));
    }
}
