//! Reads of HEAD, gathered: thousands of streams that come back at once each need their user's, and
//! a call for each would cost several times what its stream costs.

use std::{pin::pin, sync::Arc, time::Duration};

use domain::ids::UserId;
use store::{error::Error, inbox::Head};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::sleep,
};

use crate::shared::Shared;

/// HEADs read at once: the most that `BatchGetItem` takes.
pub(crate) const BATCH: usize = 100;
/// Reads under way at once, so that one that hangs holds up only those in it.
const READS: usize = 8;
/// How long whoever comes while a read is under way waits for its end, to share the next one: longer
/// than DynamoDB takes, and nothing to somebody who connects.
const GATHER: Duration = Duration::from_millis(10);
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
        let mut last = None;
        while let Ok(permit) = reads.clone().acquire_owned().await {
            let mut batch = gather(&mut wanted, last).await;
            // Who has given up meanwhile needs none.
            batch.retain(|(_, answer)| !answer.is_closed());
            last = Some(shared.tracker.spawn(read(shared.clone(), batch, permit)));
        }
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => {}
        () = gathering => {}
    }
}

/// Those who are to share a read: whoever comes until `last`, the one before, has ended, or for [`GATHER`].
async fn gather(wanted: &mut mpsc::Receiver<Wanted>, last: Option<impl Future>) -> Vec<Wanted> {
    let mut batch = Vec::new();
    wanted.recv_many(&mut batch, BATCH).await;
    let Some(last) = last else { return batch };
    let (mut last, mut moment) = (pin!(last), pin!(sleep(GATHER)));
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        tokio::select! {
            biased;
            _ = &mut last => break,
            () = &mut moment => break,
            _ = wanted.recv_many(&mut batch, room) => {}
        }
    }
    batch
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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{Instant, timeout};

    use super::*;

    /// Wishes, and what keeps them open.
    fn wishes(count: usize) -> Vec<Wanted> {
        (0..count).map(|n| (UserId::parse(&format!("u{n}")).unwrap(), oneshot::channel().0)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_while_a_read_is_under_way_share_the_next_one() {
        let (sender, mut wanted) = mpsc::channel(WAITING);
        let coming = async {
            for wish in wishes(4) {
                sender.send(wish).await.unwrap();
                sleep(GATHER / 10).await;
            }
        };
        let (batch, ()) = tokio::join!(gather(&mut wanted, Some(sleep(GATHER / 2))), coming);
        assert_eq!(batch.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_read_that_hangs_or_that_they_cannot_share() {
        let (sender, mut wanted) = mpsc::channel(WAITING);
        for (coming, waits) in [(1, GATHER), (BATCH, Duration::ZERO)] {
            for wish in wishes(coming) {
                sender.send(wish).await.unwrap();
            }
            let begin = Instant::now();
            let batch = timeout(2 * GATHER, gather(&mut wanted, Some(pending::<()>()))).await;
            assert_eq!((batch.unwrap().len(), begin.elapsed()), (coming, waits));
        }
        sender.send(wishes(1).remove(0)).await.unwrap();
        let begin = Instant::now();
        assert_eq!(gather(&mut wanted, Some(ready(()))).await.len(), 1);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
