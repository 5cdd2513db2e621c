//! How long a connection may take over a request head, told to hyper as a timer.
//!
//! hyper has one timeout for two waits: for the next request of an idle connection (which must be
//! long, or load balancers send into closing sockets) and for the rest of a head that has begun
//! (which must be short, or a client that sends a byte a second holds its connection for ever).
//! hyper asks its timer for a sleep whenever it begins to wait for a head, and polls the sleep
//! whenever it has read all there is; the sleep given here is shortened by the first byte, and while places are scarce.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt;
use tokio::time::{Instant, Sleep, sleep};

use domain::limits;

use super::places::Places;

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
    places: Places,
    first: AtomicBool,
}

impl Patience {
    /// `head` from the accept or the first byte of a head to its end, `idle` before that byte, and less while places are
    /// scarce.
    pub(super) fn new(heard: Heard, head: Duration, idle: Duration, places: Places) -> Self {
        Self { heard, head, idle, places, first: AtomicBool::new(true) }
    }

    fn wait(&self) -> Pin<Box<dyn rt::Sleep>> {
        self.heard.0.store(false, Ordering::Relaxed);
        // Whoever connects has something to ask.
        let first = self.first.swap(false, Ordering::Relaxed);
        let longest = if first { self.head } else { self.idle };
        Box::pin(Wait {
            deadline: Instant::now() + longest,
            sleep: Box::pin(sleep(if first { longest } else { longest.min(limits::SCARCE_IDLE) })),
            heard: (!first).then(|| self.heard.clone()),
            head: self.head,
            places: self.places.clone(),
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
    deadline: Instant,
    /// The next look at the deadline, or at the places.
    sleep: Pin<Box<Sleep>>,
    /// There until the first byte has shortened the wait.
    heard: Option<Heard>,
    head: Duration,
    places: Places,
}

impl rt::Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.heard.as_ref().is_some_and(|heard| heard.0.load(Ordering::Relaxed)) {
            this.heard = None;
            this.deadline = Instant::now() + this.head;
            this.sleep.as_mut().reset(this.deadline);
        }
        loop {
            ready!(this.sleep.as_mut().poll(cx));
            let (now, is_idle) = (Instant::now(), this.heard.is_some());
            if now >= this.deadline || (is_idle && this.places.are_scarce()) {
                return Poll::Ready(());
            }
            this.sleep.as_mut().reset(this.deadline.min(now + limits::SCARCE_IDLE));
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("heard", &self.heard).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::{super::Options, *};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_at_rest_gives_way_soon_where_few_places_are_left() {
        let options = Options { connections_max: 10, address_connections_max: Some(9), ..Options::default() };
        let places = Places::new(&options);
        let patience = Patience::new(Heard::default(), 5 * SECOND, 130 * SECOND, places.clone());
        let waits = async |wait: Pin<Box<dyn rt::Sleep>>| {
            let begun = Instant::now();
            wait.await;
            (Instant::now() - begun).as_secs()
        };
        let take_nine = async || {
            let mut taken = Vec::new();
            for _ in 0..9 {
                taken.push(places.take().await);
            }
            taken
        };
        assert_eq!(waits(patience.wait()).await, 5, "the first head");
        assert_eq!(waits(patience.wait()).await, 130);
        let taken = take_nine().await;
        assert_eq!(waits(patience.wait()).await, 5);
        drop(taken);
        let mut wait = patience.wait();
        assert!(timeout(60 * SECOND, &mut wait).await.is_err(), "there is room");
        let _taken = take_nine().await;
        advance(5 * SECOND).await;
        assert!(timeout(SECOND, wait).await.is_ok());
    }
}
