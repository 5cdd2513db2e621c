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
    failed_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    queue: Queue,
    consumer: Consumer,
    registered_as: BootId,
}

impl EdgeQueue {
    pub(crate) fn new(cx: Arc<Context>, hub: Arc<Hub>) -> Self {
        Self { cx, hub, state: Mutex::default() }
    }

    /// The queue, registered as `me`'s. The first call creates the queue and starts its consumer. A later call does the
    /// same if the queue is gone.
    pub(crate) async fn get(&self, me: &BootId) -> Result<Queue, QueueError> {
        let state = &mut *self.state.lock().await;
        if let Some(open) = state.open.as_mut().filter(|open| open.consumer.is_running()) {
            if open.registered_as != *me {
                // Otherwise the reaper would take it for a dead edge's.
                let registered =
                    self.cx.table.register_queue(&open.queue.id, QueueOf::Edge(me), self.cx.clock.now());
                registered.await?;
                open.registered_as = me.clone();
            }
            return Ok(open.queue.clone());
        }
        // Each user's worker asks for the queue.
        if state.failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(QueueError::Throttled);
        }
        let opened = self.open(state, me).await;
        state.failed_at = opened.is_err().then(Instant::now);
        opened
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
            state.open = None;
        }
        let queue = queues::create(&self.cx, QueueId::made(rng::random()), QueueOf::Edge(me)).await?;
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
