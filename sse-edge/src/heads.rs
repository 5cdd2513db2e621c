//! Reads of HEAD, gathered: thousands of streams that come back at once each need their user's, and
//! a call for each would cost several times what its stream costs.

use std::sync::Arc;

use domain::ids::UserId;
use store::{error::Error, inbox::Head};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::shared::Shared;

/// HEADs read at once: the most that `BatchGetItem` takes.
pub(crate) const BATCH: usize = 100;
/// Reads under way at once, so that one that hangs holds up only those in it. Whoever comes while all
/// are under way shares the next one.
const READS: usize = 8;
/// Wishes that wait for a read; whoever comes then waits until there is room.
const WAITING: usize = 1_024;

/// Whose HEAD is wanted, and where to.
type Wanted = (UserId, oneshot::Sender<Option<Head>>);

/// Where wishes for HEADs go.
#[derive(Debug)]
pub(crate) struct Heads(mpsc::Sender<Wanted>);

impl Heads {
    /// And where they are to be taken from, by [`read_heads`].
    pub(crate) fn new() -> (Self, mpsc::Receiver<Wanted>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }
}

/// Where `user`'s inbox ends, read consistently after this was asked.
pub(crate) async fn head(shared: &Shared, user: &UserId) -> Result<Head, Error> {
    let (sender, answer) = oneshot::channel();
    let lost = |why: &'static str| Error::Unavailable(why.into());
    shared.heads.0.send((user.clone(), sender)).await.map_err(|_| lost("the edge stops"))?;
    if let Some(head) = answer.await.map_err(|_| lost("the read of many heads failed"))? {
        return Ok(head);
    }
    // Nobody has needed this inbox yet, or it could not be read together with the others.
    let _permit = shared.calls.acquire().await;
    shared.table.head(user).await
}

/// Reads what is wanted until the edge stops.
pub(crate) async fn read_heads(shared: Arc<Shared>, mut wanted: mpsc::Receiver<Wanted>) {
    let reads = Arc::new(Semaphore::new(READS));
    let gathering = async {
        while let Ok(permit) = reads.clone().acquire_owned().await {
            let mut batch = Vec::new();
            wanted.recv_many(&mut batch, BATCH).await;
            // Who has given up meanwhile needs none.
            batch.retain(|(_, answer): &Wanted| !answer.is_closed());
            shared.tracker.spawn(read(shared.clone(), batch, permit));
        }
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => {}
        () = gathering => {}
    }
}

async fn read(shared: Arc<Shared>, batch: Vec<Wanted>, _permit: OwnedSemaphorePermit) {
    let users: Vec<UserId> = batch.iter().map(|(user, _)| user.clone()).collect();
    let heads = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return,
        heads = shared.table.heads(&users, true) => heads,
    };
    match heads {
        Ok(heads) => {
            for (user, answer) in batch {
                let _ = answer.send(heads.get(&user).copied());
            }
        }
        // Those who wait hear of it by their answers' end.
        Err(error) => shared.failed("read inboxes' heads", &error),
    }
}
