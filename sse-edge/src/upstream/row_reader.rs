//! Reads many user rows in one call. Thousands of streams may reconnect at once, and each needs its user's row. A call for
//! each stream would cost several times as much as the stream.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use domain::ids::UserId;
use store::{inbox::Image, table::error::Error};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::sleep,
};

use crate::context::Context;

/// Rows read at once: the most that `BatchGetItem` takes.
pub(crate) const BATCH: usize = 100;
/// Reads under way at once, so that a read that hangs delays only the requests in it.
const READS: usize = 8;
/// How long a request waits for the read in progress, in order to share the next read. The limit exceeds a usual read
/// of DynamoDB, and a connecting client does not notice it.
const GATHER: Duration = Duration::from_millis(10);
/// Requests that wait for a read; further ones wait for room.
const WAITING: usize = 1_024;

/// The user whose row is wanted, and where the answer goes.
type Request = (UserId, oneshot::Sender<Option<Arc<Image>>>);

/// Reads user rows. Clones share their reads.
#[derive(Debug, Clone)]
pub(crate) struct RowReader {
    cx: Arc<Context>,
    requests: mpsc::Sender<Request>,
}

impl RowReader {
    /// Starts the task that reads; it ends with the edge.
    pub(crate) fn start(cx: &Arc<Context>) -> Self {
        let (requests, received) = mpsc::channel(WAITING);
        cx.tracker.spawn(read_all(cx.clone(), received));
        Self { cx: cx.clone(), requests }
    }

    /// The row of `user`, read consistently after this call.
    pub(crate) async fn image(&self, user: &UserId) -> Result<Arc<Image>, Error> {
        let (sender, answer) = oneshot::channel();
        let lost = |why: &'static str| Error::Unavailable(why.into());
        self.requests.send((user.clone(), sender)).await.map_err(|_| lost("the edge stops"))?;
        if let Some(image) = answer.await.map_err(|_| lost("the read of many rows failed"))? {
            return Ok(image);
        }
        // This user has no row yet, or the row could not be read together with the others.
        let _permit = self.cx.budget.calls.acquire().await;
        self.cx.table.image(user).await.map(Arc::new)
    }
}

/// Reads until the edge stops.
async fn read_all(cx: Arc<Context>, mut requests: mpsc::Receiver<Request>) {
    let reads = Arc::new(Semaphore::new(READS));
    let reading = async {
        let mut last = None;
        while let Ok(permit) = reads.clone().acquire_owned().await {
            let mut batch = gather(&mut requests, last).await;
            // A client that has gone meanwhile needs no answer.
            batch.retain(|(_, answer)| !answer.is_closed());
            last = Some(cx.tracker.spawn(read(cx.clone(), batch, permit)));
        }
    };
    cx.until_stop(reading).await;
}

/// The requests that share a read: those that arrive until `last`, the read before, has ended, or during [`GATHER`].
async fn gather(requests: &mut mpsc::Receiver<Request>, last: Option<impl Future>) -> Vec<Request> {
    let mut batch = Vec::new();
    requests.recv_many(&mut batch, BATCH).await;
    let Some(last) = last else { return batch };
    let (mut last, mut moment) = (pin!(last), pin!(sleep(GATHER)));
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        tokio::select! {
            biased;
            _ = &mut last => break,
            () = &mut moment => break,
            _ = requests.recv_many(&mut batch, room) => {}
        }
    }
    batch
}

async fn read(cx: Arc<Context>, batch: Vec<Request>, _permit: OwnedSemaphorePermit) {
    let users: Vec<UserId> = batch.iter().map(|(user, _)| user.clone()).collect();
    let Some(images) = cx.until_stop(cx.table.images(&users, true)).await else { return };
    match images {
        Ok(images) => {
            let images: HashMap<UserId, Arc<Image>> =
                images.into_iter().map(|(user, image)| (user, Arc::new(image))).collect();
            for (user, answer) in batch {
                let _ = answer.send(images.get(&user).cloned());
            }
        }
        // The dropped senders tell the callers.
        Err(error) => cx.failed("read user rows", &error),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{Instant, timeout};

    use super::*;

    fn requests(count: usize) -> Vec<Request> {
        (0..count).map(|n| (UserId::parse(&format!("u{n}")).unwrap(), oneshot::channel().0)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_arrive_during_a_read_share_the_next_one() {
        let (sender, mut received) = mpsc::channel(WAITING);
        let coming = async {
            for request in requests(4) {
                sender.send(request).await.unwrap();
                sleep(GATHER / 10).await;
            }
        };
        let (batch, ()) = tokio::join!(gather(&mut received, Some(sleep(GATHER / 2))), coming);
        assert_eq!(batch.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_waits_for_a_read_that_hangs_or_that_it_cannot_share() {
        let (sender, mut received) = mpsc::channel(WAITING);
        for (coming, waits) in [(1, GATHER), (BATCH, Duration::ZERO)] {
            for request in requests(coming) {
                sender.send(request).await.unwrap();
            }
            let begin = Instant::now();
            let batch = timeout(2 * GATHER, gather(&mut received, Some(pending::<()>()))).await;
            assert_eq!((batch.unwrap().len(), begin.elapsed()), (coming, waits));
        }
        sender.send(requests(1).remove(0)).await.unwrap();
        let begin = Instant::now();
        assert_eq!(gather(&mut received, Some(ready(()))).await.len(), 1);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
