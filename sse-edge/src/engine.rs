//! Puts what streams say on their sockets, with no task, no buffer and no queue for any of them.
//!
//! hyper parses and routes the request of a stream; then its socket is taken over
//! ([`server::listener::takeover`]) and lives here, together with the [`Stream`] that says what goes
//! out. At rest that is one allocation, which is also the waker that the user's news, the socket and
//! the time hold: whichever calls puts the stream into the line of its lane, and the lane's one task
//! lets it say all it has, up to what the socket takes. What the socket does not take stays with the
//! stream, less than 4 KiB and a frame that it shares with others, and the stream is asked no further: a
//! slow reader holds its place in the inbox instead of a queue.
//!
//! [`crate::body`] does the same inside hyper, for requests whose socket cannot be had.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use axum::{body::Body, response::Response};
use server::listener::takeover::{Taken, Takeover};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{body, shared::Shared, stream::Stream};

mod batch;
mod conn;
mod lane;
mod link;
#[cfg(test)]
mod tests;
mod wheel;

use lane::Lane;
use link::Open;
pub(crate) use wheel::TICK;

/// Most lanes: one core writes more than 100,000 frames a second.
const LANES: usize = 4;

/// The open streams whose sockets are ours.
#[derive(Debug)]
pub(crate) struct Engine {
    lanes: Vec<Arc<Lane<Open>>>,
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

    /// The response that carries a stream out of hyper.
    pub(crate) fn response(shared: Arc<Shared>, stream: Stream) -> Response {
        let mut response = body::response(Body::empty());
        let takeover = Takeover::new(move |taken| shared.engine.adopt(stream, taken));
        response.extensions_mut().insert(takeover);
        response
    }

    fn adopt(&self, stream: Stream, taken: Taken) {
        let Taken { socket, head, stall_timeout, place } = taken;
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.lanes[turn % self.lanes.len()].adopt(Open::new(stream, socket, stall_timeout, place), &head);
    }
}
