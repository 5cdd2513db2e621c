//! One task that serves many streams, one after the other.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Notify,
    task::{unconstrained, yield_now},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    batch::Batch,
    conn::{Conn, Driven},
    link::Link,
    wheel::Wheel,
};

/// Streams served before everything else on this thread has a turn: a write costs some microseconds,
/// and the pings of many streams must not keep a message waiting. What a receive brings meanwhile goes
/// out with the same write to those who still stand in the line.
const TURNS: usize = 16;

/// The streams that one task serves.
pub(super) struct Lane<L> {
    line: Mutex<Line<L>>,
    rings: Notify,
}

struct Line<L> {
    /// Who has something to say, or has heard from its socket.
    waiting: Vec<Arc<Conn<L>>>,
    /// Streams that have not ended.
    open: usize,
    /// The task has ended.
    over: bool,
}

impl<L: Link> Lane<L> {
    fn line(&self) -> MutexGuard<'_, Line<L>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a stream on, which begins with `head`.
    pub(super) fn adopt(self: &Arc<Self>, link: L, head: &[u8]) {
        let conn = Conn::new(self.clone(), link, head);
        let mut line = self.line();
        // Otherwise it is cut, as everything was that the task had.
        if !line.over {
            line.open += 1;
            drop(line);
            std::task::Wake::wake(conn);
        }
    }

    /// Has a stream driven.
    pub(super) fn line_up(&self, conn: Arc<Conn<L>>) {
        let mut line = self.line();
        line.waiting.push(conn);
        // Whoever came first has rung, or is about to.
        let is_first = line.waiting.len() == 1;
        drop(line);
        if is_first {
            self.rings.notify_one();
        }
    }

    /// Serves until there is no stream, once `stop` is cancelled.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        // It yields by itself, and a budget would make it ask sockets in vain.
        unconstrained(self.serve(&stop)).await;
    }

    async fn serve(&self, stop: &CancellationToken) {
        let mut wheel = Wheel::new(Instant::now());
        let (mut due, mut batch, mut turns) = (Vec::new(), Batch::default(), 0);
        while self.next(&mut due, &mut wheel, stop).await {
            let mut now = Instant::now();
            for conn in due.drain(..) {
                match conn.drive(&mut batch, now) {
                    Driven::Until(at) => wheel.arm(conn, at),
                    Driven::Ended => self.line().open -= 1,
                    Driven::Again | Driven::Nothing => {}
                }
                // Counted on from line to line: a line of one need not yield.
                turns += 1;
                if turns == TURNS {
                    turns = 0;
                    yield_now().await;
                    now = Instant::now();
                }
            }
        }
    }

    /// Waits for somebody to serve; false when there will never be anybody.
    async fn next(
        &self,
        due: &mut Vec<Arc<Conn<L>>>,
        wheel: &mut Wheel<L>,
        stop: &CancellationToken,
    ) -> bool {
        loop {
            let stopped = stop.is_cancelled();
            wheel.turn(Instant::now());
            {
                let mut line = self.line();
                mem::swap(&mut line.waiting, due);
                line.over = stopped && line.open == 0;
                if line.over {
                    return false;
                }
            }
            if !due.is_empty() {
                return true;
            }
            let at = wheel.next();
            let time = async {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.rings.notified() => {}
                () = stop.cancelled(), if !stopped => {}
                () = time => {}
            }
        }
    }
}

impl<L> Default for Lane<L> {
    fn default() -> Self {
        let line = Line { waiting: Vec::new(), open: 0, over: false };
        Self { line: Mutex::new(line), rings: Notify::new() }
    }
}

impl<L> fmt::Debug for Lane<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lane")
    }
}
