//! How long a connection may take over a request head, told to hyper as a timer.
//!
//! hyper has one timeout for two waits: for the next request of an idle connection (which must be
//! long, or load balancers send into closing sockets) and for the rest of a head that has begun
//! (which must be short, or a client that sends a byte a second holds its connection for ever).
//! hyper asks its timer for a sleep whenever it begins to wait for a head, and polls the sleep
//! whenever it has read all there is; the sleep given here is shortened by the first byte.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt;
use tokio::time::{Instant, Sleep, sleep};

/// Whether bytes have come since hyper began to wait for a head; the io sets it, the timer reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    /// Bytes have come.
    pub(super) fn set(&self) {
        // Only the connection's own task touches it, hence the weakest ordering.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The timer of one connection.
#[derive(Debug)]
pub(super) struct Patience {
    heard: Heard,
    head: Duration,
    idle: Duration,
    first: AtomicBool,
}

impl Patience {
    /// `head` from the accept or the first byte of a head to its end, `idle` before that byte.
    pub(super) fn new(heard: Heard, head: Duration, idle: Duration) -> Self {
        Self { heard, head, idle, first: AtomicBool::new(true) }
    }

    fn wait(&self) -> Pin<Box<dyn rt::Sleep>> {
        self.heard.0.store(false, Ordering::Relaxed);
        // Whoever connects has something to ask.
        let first = self.first.swap(false, Ordering::Relaxed);
        Box::pin(Wait {
            sleep: Box::pin(sleep(if first { self.head } else { self.idle })),
            heard: (!first).then(|| self.heard.clone()),
            head: self.head,
        })
    }
}

#[expect(clippy::disallowed_types, reason = "hyper's trait is written in std's `Instant`")]
impl rt::Timer for Patience {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.wait()
    }

    /// The deadline is hyper's notion of the header timeout; ours is known from the start.
    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.wait()
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

/// One wait for a head.
struct Wait {
    sleep: Pin<Box<Sleep>>,
    /// There until the first byte has shortened the wait.
    heard: Option<Heard>,
    head: Duration,
}

impl rt::Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.heard.as_ref().is_some_and(|heard| heard.0.load(Ordering::Relaxed)) {
            this.heard = None;
            this.sleep.as_mut().reset(Instant::now() + this.head);
        }
        this.sleep.as_mut().poll(cx)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("heard", &self.heard).finish_non_exhaustive()
    }
}
