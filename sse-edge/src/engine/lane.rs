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
    connection::{Connection, Driven},
    timer_wheel::TimerWheel,
    transport::Transport,
    write_buffer::WriteBuffer,
};

/// Streams served before the lane yields to other tasks of this thread. A write costs some microseconds, and the pings
/// of many streams must not delay a message. Streams that are still in the queue write events that arrive meanwhile in
/// the same write.
const TURNS: usize = 16;

/// The streams that one task serves.
pub(super) struct Lane<L> {
    queue: Mutex<Queue<L>>,
    rings: Notify,
}

struct Queue<L> {
    /// Streams with something to write, or with news from their socket.
    waiting: Vec<Arc<Connection<L>>>,
    /// Streams that have not ended.
    open: usize,
    /// The task has ended.
    over: bool,
}

impl<L: Transport> Lane<L> {
    fn queue(&self) -> MutexGuard<'_, Queue<L>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a stream over. It begins with `head`, the head of its response.
    pub(super) fn adopt(self: &Arc<Self>, transport: L, head: &[u8]) {
        let connection = Connection::new(self.clone(), transport, head);
        let mut queue = self.queue();
        // Otherwise the stream is cut, as the task's others were.
        if !queue.over {
            queue.open += 1;
            drop(queue);
            std::task::Wake::wake(connection);
        }
    }

    /// Has a stream driven.
    pub(super) fn enqueue(&self, connection: Arc<Connection<L>>) {
        let mut queue = self.queue();
        queue.waiting.push(connection);
        // The first one rings, for all that follow.
        let is_first = queue.waiting.len() == 1;
        drop(queue);
        if is_first {
            self.rings.notify_one();
        }
    }

    /// Serves until there is no stream, once `stop` is cancelled.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        // It yields by itself, and tokio's budget would make it ask sockets in vain.
        unconstrained(self.serve(&stop)).await;
    }

    async fn serve(&self, stop: &CancellationToken) {
        let mut wheel = TimerWheel::new(Instant::now());
        let (mut due, mut buffer, mut turns) = (Vec::new(), WriteBuffer::default(), 0);
        while self.next(&mut due, &mut wheel, stop).await {
            let mut now = Instant::now();
            for connection in due.drain(..) {
                match connection.drive(&mut buffer, now) {
                    Driven::Until(at) => wheel.arm(connection, at),
                    Driven::Ended => self.queue().open -= 1,
                    Driven::Again | Driven::Nothing => {}
                }
                // Counted on from one queue to the next: a queue of one need not yield.
                turns += 1;
                if turns == TURNS {
                    turns = 0;
                    yield_now().await;
                    now = Instant::now();
                }
            }
        }
    }

    /// Waits for streams to serve. False once `stop` is cancelled and the last stream has ended.
    async fn next(
        &self,
        due: &mut Vec<Arc<Connection<L>>>,
        wheel: &mut TimerWheel<L>,
        stop: &CancellationToken,
    ) -> bool {
        loop {
            let stopped = stop.is_cancelled();
            wheel.turn(Instant::now());
            {
                let mut queue = self.queue();
                mem::swap(&mut queue.waiting, due);
                queue.over = stopped && queue.open == 0;
                if queue.over {
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
        let queue = Queue { waiting: Vec::new(), open: 0, over: false };
        Self { queue: Mutex::new(queue), rings: Notify::new() }
    }
}

impl<L> fmt::Debug for Lane<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lane")
    }
}
