//! The edge's one queue, where the queue layout is one per edge.

use std::{sync::Arc, time::Duration};

use domain::ids::{BootId, QueueId};
use store::lease::QueueOf;
use tokio::{sync::Mutex, time::Instant};

use super::dispatch::Dispatch;
use crate::{
    context::Context,
    upstream::{
        consumer::Consumer,
        queues::{self, Queue, QueueError},
    },
    user::{hub::Hub, work::Work},
};

/// The letters in front of an edge's queue id. No user may ever take such a queue: it carries the events of others.
const PREFIX: &str = "edge";
/// Pause after a queue that could not be created.
const PAUSE: Duration = Duration::from_secs(1);

/// The queue, once it is needed.
#[derive(Debug)]
pub(crate) struct EdgeQueue {
    cx: Arc<Context>,
    hub: Arc<Hub>,
    /// A tokio mutex, since it is held while the queue is created.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    former: Option<Former>,
    failed_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    queue: Queue,
    consumer: Consumer,
    registered_as: BootId,
}

/// The queue before this one, which is gone, and the boot id that holds its leases.
pub(crate) type Former = (QueueId, BootId);

/// Whether a queue is an edge's and not a user's.
pub(crate) fn is_edges(queue: &QueueId) -> bool {
    queue.as_str().len() > PREFIX.len() + 22 && queue.as_str().starts_with(PREFIX)
}

fn new_id() -> QueueId {
    let made = QueueId::made(rng::random());
    QueueId::parse(&format!("{PREFIX}{made}")).expect("30 of a-z 0-9")
}

impl EdgeQueue {
    pub(crate) fn new(cx: Arc<Context>, hub: Arc<Hub>) -> Self {
        Self { cx, hub, state: Mutex::default() }
    }

    /// The queue, registered as `me`'s, and the former queue if there was one. The first call creates the queue and
    /// starts its consumer. A later call does the same if the queue is gone.
    pub(crate) async fn get(&self, me: &BootId) -> Result<(Queue, Option<Former>), QueueError> {
        let state = &mut *self.state.lock().await;
        if let Some(open) = state.open.as_mut().filter(|open| open.consumer.is_running()) {
            if open.registered_as != *me {
                // Otherwise the reaper would take it for a dead edge's.
                let registered =
                    self.cx.table.register_queue(&open.queue.id, QueueOf::Edge(me), self.cx.clock.now());
                registered.await?;
                open.registered_as = me.clone();
            }
            return Ok((open.queue.clone(), state.former.clone()));
        }
        // Each user's worker asks for the queue.
        if state.failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(QueueError::Throttled);
        }
        let opened = self.open(state, me).await;
        state.failed_at = opened.is_err().then(Instant::now);
        Ok((opened?, state.former.clone()))
    }

    /// Deletes the queue.
    pub(crate) async fn close(&self) {
        let Some(Open { queue, consumer, .. }) = self.state.lock().await.open.take() else { return };
        consumer.stop().await;
        if let Err(error) = queues::delete(&self.cx, &queue.id).await {
            self.cx.failed("delete the edge's queue", &error);
        }
    }

    async fn open(&self, state: &mut State, me: &BootId) -> Result<Queue, QueueError> {
        if let Some(gone) = &state.open {
            queues::delete(&self.cx, &gone.queue.id).await?;
            state.former = Some((gone.queue.id.clone(), gone.registered_as.clone()));
            state.open = None;
        }
        let queue = queues::create(&self.cx, new_id(), QueueOf::Edge(me)).await?;
        let (cx, hub) = (self.cx.clone(), self.hub.clone());
        let dispatch = Dispatch { cx, hub: hub.clone(), owner: None };
        let on_gone = move || {
            for user in hub.all() {
                user.schedule().unconfirm_lease();
                hub.request(&user, Work::REPAIR);
            }
        };
        let consumer =
            Consumer::spawn(&self.cx, queue.url.clone(), move |batch| dispatch.batch(batch), on_gone);
        state.open = Some(Open { queue: queue.clone(), consumer, registered_as: me.clone() });
        Ok(queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edges_queue_differs_from_a_users_even_one_that_begins_alike() {
        assert!(is_edges(&new_id()));
        for random in [0, 7, u128::MAX] {
            assert!(!is_edges(&QueueId::made(random)));
        }
        assert!(!is_edges(&QueueId::parse(&format!("edge{}", "a".repeat(22))).unwrap()));
    }
}
