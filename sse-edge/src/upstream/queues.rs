//! Queues and their rows in the registry, created and deleted together.

use domain::{
    failure::{Failed, Failure},
    ids::QueueId,
};
use store::lease::QueueOf;

use crate::context::Context;

/// A queue that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) id: QueueId,
    pub(crate) url: String,
}

/// Why there is no queue, or why it is not deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueError {
    /// Too many queues are being created.
    #[error("no queue may be created just now")]
    Throttled,
    /// DynamoDB.
    #[error(transparent)]
    Table(#[from] store::table::error::Error),
    /// SQS.
    #[error(transparent)]
    Queue(#[from] queue::error::Error),
}

impl Failed for QueueError {
    fn failure(&self) -> Failure {
        match self {
            Self::Throttled => Failure::Throttled,
            Self::Table(error) => error.failure(),
            Self::Queue(error) => error.failure(),
        }
    }
}

/// Creates a queue. Its row comes first, so that the reaper finds the queue whatever happens.
pub(crate) async fn create(cx: &Context, id: QueueId, of: QueueOf<'_>) -> Result<Queue, QueueError> {
    cx.table.register_queue(&id, of, cx.clock.now()).await?;
    let url = cx.queues.create(&id).await?;
    Ok(Queue { id, url })
}

/// Deletes a queue that may be gone already. Its row goes last: if this breaks off, the reaper still finds the queue.
pub(crate) async fn delete(cx: &Context, id: &QueueId) -> Result<(), QueueError> {
    cx.queues.delete_named(id).await?;
    cx.table.unregister_queue(id).await?;
    Ok(())
}
