//! A task that receives from one queue.
//!
//! The consumer receives continuously, but only while the edge's heartbeat is confirmed: otherwise another edge may
//! need the messages. The consumer acknowledges messages on receipt, concurrently with the next receives. Stopping a
//! consumer aborts its receive, and no acknowledgement follows.

use std::{pin::pin, sync::Arc, thread, time::Duration};

use domain::limits;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use queue::{error::Error, queues::Received};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, backoff};

/// Longest pause between two receives that fail.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A receive that takes this long hangs: a connection may die without notice.
const RECEIVE_LIMIT: Duration = limits::QUEUE_WAIT.saturating_add(Duration::from_secs(10));
/// Receives that find no queue before the queue counts as gone, and the pause between two: a new queue may need a second
/// until it can be used.
const GONE_TRIES: u32 = 5;
const GONE_PAUSE: Duration = Duration::from_millis(400);
/// Acknowledgements under way at once. Messages that are received while all of them hang are not acknowledged, and are
/// received once more.
const ACKS: usize = 8;

/// A task that receives from one queue.
#[derive(Debug)]
pub(crate) struct Consumer {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Consumer {
    /// Starts to receive. Calls `on_batch` with what each receive brings, and `on_gone` when the queue is gone or the
    /// consumer has panicked, but not when it is stopped.
    pub(crate) fn spawn(
        cx: &Arc<Context>,
        url: String,
        on_batch: impl Fn(&[Received]) + Send + 'static,
        on_gone: impl FnOnce() + Send + 'static,
    ) -> Self {
        let cancel = cx.stop.child_token();
        let (own, ended) = (cx.clone(), cancel.clone());
        let task = cx.tracker.spawn(async move {
            let mut guard = EndGuard { ended: ended.clone(), on_gone: Some(on_gone) };
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                () = consume(&own, &url, on_batch) => guard.end(),
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
        // An error means that the task has panicked, and then it has ended as well.
        let _ = self.task.await;
    }
}

/// Reports the end of a consumer, also of one that panics: its owner would wait for messages for ever.
struct EndGuard<F: FnOnce()> {
    ended: CancellationToken,
    on_gone: Option<F>,
}

impl<F: FnOnce()> EndGuard<F> {
    fn end(&mut self) {
        // First of all, so that the callback finds a consumer that is not running.
        self.ended.cancel();
        if let Some(on_gone) = self.on_gone.take() {
            on_gone();
        }
    }
}

impl<F: FnOnce()> Drop for EndGuard<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.end();
        }
    }
}

/// Receives until the queue is gone.
async fn consume(cx: &Context, url: &str, on_batch: impl Fn(&[Received])) {
    let mut acks = FuturesUnordered::new();
    let (mut failures, mut gone) = (0, 0);
    loop {
        cx.identity.wait_until_confirmed().await;
        match receive(cx, url, &mut acks).await {
            // Messages that arrive after the heartbeat lapsed may be another edge's. They come back by themselves.
            Ok(_) if cx.identity.if_confirmed().is_none() => {}
            Ok(batch) => {
                (failures, gone) = (0, 0);
                on_batch(&batch);
                if !batch.is_empty() && acks.len() < ACKS {
                    acks.push(ack(cx, url, batch));
                }
            }
            Err(Error::Gone) => {
                gone += 1;
                if gone == GONE_TRIES {
                    tracing::info!("a queue does not exist any more: the edge takes another one");
                    return;
                }
                tokio::time::sleep(GONE_PAUSE).await;
            }
            Err(error) => {
                if failures == 0 {
                    cx.failed("receive from a queue", &error);
                }
                tokio::time::sleep(backoff(failures, PAUSE_MAX)).await;
                failures += 1;
            }
        }
    }
}

/// Receives once, while `acks` go on.
async fn receive(
    cx: &Context,
    url: &str,
    acks: &mut FuturesUnordered<impl Future<Output = ()>>,
) -> Result<Vec<Received>, Error> {
    let began = Instant::now();
    let mut received = pin!(timeout(RECEIVE_LIMIT, cx.queues.receive(url)));
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

async fn ack(cx: &Context, url: &str, received: Vec<Received>) {
    // A message that stays in the queue is received again, and shows nothing new then.
    if let Err(error) = cx.queues.ack(url, &received).await {
        cx.failed("acknowledge envelopes", &error);
    }
}

const _: () = assert!(GONE_PAUSE.saturating_mul(GONE_TRIES).as_millis() <= 2_000, "believed within 2 s");

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio_util::task::TaskTracker;

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_consumer_is_reported_unless_it_was_stopped() {
        for (panics, reports) in [(true, true), (false, false)] {
            let (ended, reported) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
            let (own, report) = (ended.clone(), reported.clone());
            let consumer = TaskTracker::new().spawn(async move {
                let on_gone = Some(move || report.store(true, Ordering::Relaxed));
                let _guard = EndGuard { ended: own, on_gone };
                tokio::task::yield_now().await;
                assert!(!panics, "on purpose");
            });
            assert_eq!(consumer.await.is_err(), panics);
            assert_eq!((ended.is_cancelled(), reported.load(Ordering::Relaxed)), (reports, reports));
        }
    }
}
