//! Writes streams to their sockets, with no task, no buffer and no queue for any of them.
//!
//! hyper parses and routes the request of a stream. Then the engine takes over the socket
//! ([`server::listener::takeover`]) together with its [`Stream`]. An idle stream is one allocation, which is also the
//! waker for the user's events, the socket and the timer. Waking a stream puts it into the queue of its lane. The
//! lane's one task writes the stream's frames, up to what the socket accepts. The connection keeps the rest: less than
//! 4 KiB, and a frame that it shares with other streams. Until the rest is written, the stream is asked for no more
//! frames. So a slow reader holds a position in the inbox instead of a buffer.
//!
//! `http/body.rs` does the same inside hyper, for requests whose socket cannot be taken over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use server::listener::takeover::Taken;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::stream::Stream;

mod connection;
mod lane;
#[cfg(test)]
mod tests;
mod timer_wheel;
mod transport;
mod write_buffer;

use lane::Lane;
use transport::StreamSocket;

/// Most lanes: one core writes more than 100,000 frames a second.
const LANES: usize = 4;

/// The open streams whose sockets the edge owns.
#[derive(Debug)]
pub(crate) struct Engine {
    lanes: Vec<Arc<Lane<StreamSocket>>>,
    next: AtomicUsize,
}

impl Engine {
    /// An engine without streams.
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let lanes = (0..cores.min(LANES)).map(|_| Arc::default()).collect();
        Self { lanes, next: AtomicUsize::new(0) }
    }

    /// Starts its tasks. They end once `stop` is cancelled and the last stream has ended.
    pub(crate) fn start(&self, tracker: &TaskTracker, stop: &CancellationToken) {
        for lane in &self.lanes {
            tracker.spawn(lane.clone().run(stop.clone()));
        }
    }

    /// Takes over a stream with its socket.
    pub(crate) fn adopt(&self, stream: Stream, taken: Taken) {
        let Taken { socket, head, stall_timeout, place } = taken;
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.lanes[next % self.lanes.len()]
            .adopt(StreamSocket::new(stream, socket, stall_timeout, place), &head);
    }
}
