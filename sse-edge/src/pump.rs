//! Receives from a queue into the hub.
//!
//! Always be receiving, but only while the beat is confirmed: a queue is a hint that somebody else
//! may need. Envelopes are acknowledged on receipt, whatever becomes of them afterwards, and nothing
//! waits for that: acks are under way together with the next receives. A pump that was stopped has
//! aborted its receive, and acknowledges nothing any more.

use std::{pin::pin, sync::Arc, thread, time::Duration};

use domain::limits;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use queue::{error::Error, queues::Received};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    deliver::deliver,
    shared::{Shared, backoff},
    tend::{self, Ask},
    user_streams::UserStreams,
};

/// Longest pause between two receives that fail.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A receive that takes this long hangs: connections die without a word.
const RECEIVE_LIMIT: Duration = limits::QUEUE_WAIT.saturating_add(Duration::from_secs(10));
/// Receives that find no queue before it is believed, and the pause between two: a new queue may
/// need a second until it can be used.
const GONE_TRIES: u32 = 5;
const GONE_PAUSE: Duration = Duration::from_millis(400);
/// Acks under way at once. What is received while all of them hang is not acknowledged: it comes once more.
const ACKS: usize = 8;

/// A task that receives from one queue.
#[derive(Debug)]
pub(crate) struct Pump {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Pump {
    /// Starts receiving from a user's queue. When the queue is gone, the user is tended.
    pub(crate) fn of_user(shared: &Arc<Shared>, user: &Arc<UserStreams>, url: String) -> Self {
        let (own, of) = (shared.clone(), user.clone());
        Self::start(shared, url, Some(user.clone()), move || tend::ask(&own, &of, Ask::DROP_QUEUE))
    }

    /// Starts receiving from the edge's queue; `gone` is called when it is not there any more.
    pub(crate) fn of_edge(shared: &Arc<Shared>, url: String, gone: impl FnOnce() + Send + 'static) -> Self {
        Self::start(shared, url, None, gone)
    }

    fn start(
        shared: &Arc<Shared>,
        url: String,
        of: Option<Arc<UserStreams>>,
        gone: impl FnOnce() + Send + 'static,
    ) -> Self {
        let cancel = shared.stop.child_token();
        let (own, ended) = (shared.clone(), cancel.clone());
        let task = shared.tracker.spawn(async move {
            let mut over = Over { ended: ended.clone(), gone: Some(gone) };
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                () = pump(&own, &url, of.as_ref()) => over.tell(),
            }
        });
        Self { cancel, task }
    }

    /// Whether it receives, or will again.
    pub(crate) fn is_running(&self) -> bool {
        !self.cancel.is_cancelled()
    }

    /// Aborts the receive, soon.
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Aborts the receive, and returns when that is done.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        // It only fails by a panic, and then it is done as well.
        let _ = self.task.await;
    }
}

/// Tells of the end of a pump, also of one that panics: whoever took it for a good one would hear of
/// nothing any more.
struct Over<F: FnOnce()> {
    ended: CancellationToken,
    gone: Option<F>,
}

impl<F: FnOnce()> Over<F> {
    fn tell(&mut self) {
        // Before anybody hears of it, so that nobody takes this pump for a good one.
        self.ended.cancel();
        if let Some(gone) = self.gone.take() {
            gone();
        }
    }
}

impl<F: FnOnce()> Drop for Over<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.tell();
        }
    }
}

/// Receives until the queue is gone.
async fn pump(shared: &Arc<Shared>, url: &str, of: Option<&Arc<UserStreams>>) {
    let mut acks = FuturesUnordered::new();
    let (mut failures, mut gone) = (0, 0);
    loop {
        shared.fresh.sometime().await;
        match receive(shared, url, &mut acks).await {
            // What came after the beat had lapsed is somebody else's, and comes back by itself.
            Ok(_) if shared.fresh.now().is_none() => {}
            Ok(batch) => {
                (failures, gone) = (0, 0);
                deliver(shared, &batch, of);
                if !batch.is_empty() && acks.len() < ACKS {
                    acks.push(ack(shared, url, batch));
                }
            }
            Err(Error::Gone) => {
                gone += 1;
                if gone == GONE_TRIES {
                    tracing::info!("a queue is gone; taking another one");
                    return;
                }
                tokio::time::sleep(GONE_PAUSE).await;
            }
            Err(error) => {
                if failures == 0 {
                    shared.failed("receive from a queue", &error);
                }
                tokio::time::sleep(backoff(failures, PAUSE_MAX)).await;
                failures += 1;
            }
        }
    }
}

/// Receives once, while `acks` go on.
async fn receive(
    shared: &Shared,
    url: &str,
    acks: &mut FuturesUnordered<impl Future<Output = ()>>,
) -> Result<Vec<Received>, Error> {
    let began = Instant::now();
    let mut received = pin!(timeout(RECEIVE_LIMIT, shared.queues.receive(url)));
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut received => break answer,
            Some(()) = acks.next() => {}
        }
    };
    answer.unwrap_or_else(|_| {
        Err(Error::Unavailable(format!("no answer for {} s", began.elapsed().as_secs()).into()))
    })
}

async fn ack(shared: &Shared, url: &str, received: Vec<Received>) {
    // One that stays in the queue is received again and then known.
    if let Err(error) = shared.queues.ack(url, &received).await {
        shared.failed("acknowledge envelopes", &error);
    }
}

const _: () = assert!(GONE_PAUSE.saturating_mul(GONE_TRIES).as_millis() <= 2_000, "believed within 2 s");

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio_util::task::TaskTracker;

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_pump_is_told_of_unless_it_was_stopped() {
        for (panics, tells) in [(true, true), (false, false)] {
            let (ended, told) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
            let (own, tell) = (ended.clone(), told.clone());
            let pump = TaskTracker::new().spawn(async move {
                let _over = Over { ended: own, gone: Some(move || tell.store(true, Ordering::Relaxed)) };
                tokio::task::yield_now().await;
                assert!(!panics, "on purpose");
            });
            assert_eq!(pump.await.is_err(), panics);
            assert_eq!((ended.is_cancelled(), told.load(Ordering::Relaxed)), (tells, tells));
        }
    }
}
