//! One stream on its socket, which is also its own waker.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Wake, Waker},
};

use tokio::time::Instant;

use super::{
    lane::Lane,
    transport::Transport,
    write_buffer::{Unwritten, WriteBuffer},
};
use crate::stream::Output;

/// Writes of one stream before the others have a turn.
const WRITES: usize = 4;
/// The end of a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A stream on its socket.
///
/// Only the lane of a connection locks `open`. Lock order: `open`, then a user's lock. Waking a connection takes only
/// the lock of the lane's queue.
pub(super) struct Connection<L> {
    lane: Arc<Lane<L>>,
    peer: Arc<Peer<L>>,
    /// Whether it is in the lane's queue, or is about to be.
    queued: AtomicBool,
    /// The tick of its entry in the wheel that counts; 0 without one.
    pub(super) armed: AtomicU64,
    /// None once the stream has ended.
    open: Mutex<Option<State<L>>>,
}

/// Wakes a stream for activity of its peer. A connection polls its socket for the peer only after this waker has fired,
/// because most wake-ups come from events.
struct Peer<L> {
    connection: Weak<Connection<L>>,
    stirred: AtomicBool,
}

struct State<L> {
    transport: L,
    /// What the socket did not take.
    unwritten: Option<Box<Unwritten>>,
    /// Nothing follows `unwritten`.
    ended: bool,
    /// Since when the socket has taken nothing.
    blocked_at: Option<Instant>,
}

/// What driving a stream has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driven {
    /// The stream is driven again when it wakes, or at this time.
    Until(Instant),
    /// The stream is in the queue again.
    Again,
    /// The stream has just ended.
    Ended,
    /// The stream had ended before.
    Nothing,
}

/// Why a stream leaves its socket.
enum End {
    /// The stream has written everything, or its peer has gone.
    Quiet,
    /// The peer did not read.
    Reset,
}

impl<L: Transport> Connection<L> {
    /// A stream that has written nothing, behind the head of its response.
    pub(super) fn new(lane: Arc<Lane<L>>, transport: L, head: &[u8]) -> Arc<Self> {
        let state = State {
            transport,
            unwritten: Some(Box::new(Unwritten::of(head))),
            ended: false,
            blocked_at: None,
        };
        Arc::new_cyclic(|connection| Self {
            lane,
            // The socket was not asked yet.
            peer: Arc::new(Peer { connection: connection.clone(), stirred: AtomicBool::new(true) }),
            queued: AtomicBool::new(false),
            armed: AtomicU64::new(0),
            open: Mutex::new(Some(state)),
        })
    }

    fn open(&self) -> MutexGuard<'_, Option<State<L>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the stream's frames, as far as its socket takes them. `buffer` is empty before and afterwards.
    pub(super) fn drive(self: &Arc<Self>, buffer: &mut WriteBuffer, now: Instant) -> Driven {
        // Before anything is read, so that no change is missed.
        self.queued.store(false, Ordering::Release);
        let waker = Waker::from(self.clone());
        let mut open = self.open();
        let Some(state) = open.as_mut() else { return Driven::Nothing };
        let cx = &mut Context::from_waker(&waker);
        // A panic must not end the lane's other streams.
        let driven = catch_unwind(AssertUnwindSafe(|| {
            if self.peer_has_gone(&mut state.transport) {
                Err(End::Quiet)
            } else {
                state.drive(cx, buffer, now)
            }
        }));
        buffer.clear();
        let end = match driven {
            Ok(Ok(driven)) => return driven,
            Ok(Err(end)) => end,
            Err(_) => {
                tracing::error!("a stream panicked");
                End::Reset
            }
        };
        let over = open.take();
        drop(open);
        // With the socket and the stream the other wakers go, except the one in the wheel.
        if let (End::Reset, Some(mut state)) = (end, over) {
            state.transport.reset();
        }
        Driven::Ended
    }

    fn peer_has_gone(&self, transport: &mut L) -> bool {
        // Cleared before the socket is asked, so that no change is missed.
        self.peer.stirred.swap(false, Ordering::AcqRel)
            && transport.poll_gone(&mut Context::from_waker(&Waker::from(self.peer.clone()))).is_ready()
    }
}

impl<L: Transport> Wake for Peer<L> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.stirred.store(true, Ordering::Release);
        if let Some(connection) = self.connection.upgrade() {
            connection.wake();
        }
    }
}

impl<L: Transport> Wake for Connection<L> {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let lane = self.lane.clone();
            lane.enqueue(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.load(Ordering::Acquire) {
            self.clone().wake();
        }
    }
}

impl<L: Transport> State<L> {
    fn drive(&mut self, cx: &mut Context<'_>, buffer: &mut WriteBuffer, now: Instant) -> Result<Driven, End> {
        if let Some(unwritten) = self.unwritten.take() {
            buffer.resume(*unwritten);
        }
        let mut until = None;
        for _ in 0..WRITES {
            // A stream whose socket is full is not asked for more, nor one that has written everything.
            if self.blocked_at.is_none() && until.is_none() {
                until = self.gather(cx, buffer, now);
            }
            if !buffer.is_empty() && !self.write(cx, buffer)? {
                self.unwritten = buffer.take_unwritten();
                return self.blocked(cx);
            }
            match until {
                Some(until) if buffer.is_empty() => return Ok(Driven::Until(until)),
                None if buffer.is_empty() && self.ended => return Err(End::Quiet),
                _ => {}
            }
        }
        self.unwritten = buffer.take_unwritten();
        cx.waker().wake_by_ref();
        Ok(Driven::Again)
    }

    /// Appends the stream's next frames to the buffer, up to what one write carries. Returns when to ask again, once the
    /// stream has no more.
    fn gather(&mut self, cx: &mut Context<'_>, buffer: &mut WriteBuffer, now: Instant) -> Option<Instant> {
        while !self.ended && !buffer.is_full() {
            match self.transport.next(cx, now) {
                Output::Frame(frame) => buffer.push(frame),
                Output::Last(frame, until) => {
                    buffer.push(frame);
                    return Some(until);
                }
                Output::Wait(until) => return Some(until),
                Output::End => {
                    self.ended = true;
                    buffer.push_bytes(LAST_CHUNK);
                }
            }
        }
        None
    }

    /// Writes as much of the buffer as the socket takes; false if it takes nothing.
    fn write(&mut self, cx: &mut Context<'_>, buffer: &mut WriteBuffer) -> Result<bool, End> {
        loop {
            let written = match self.transport.write(buffer.bytes()) {
                Ok(0) => return Err(End::Quiet),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.transport.poll_writable(cx) {
                        std::task::Poll::Pending => return Ok(false),
                        std::task::Poll::Ready(Ok(())) => continue,
                        std::task::Poll::Ready(Err(_)) => return Err(End::Quiet),
                    }
                }
                Err(_) => return Err(End::Quiet),
            };
            self.blocked_at = None;
            buffer.written(written);
            return Ok(true);
        }
    }

    fn blocked(&mut self, cx: &mut Context<'_>) -> Result<Driven, End> {
        // A stream whose socket is full may still be cut.
        if self.transport.poll_cut(cx).is_ready() {
            return Err(End::Reset);
        }
        let now = Instant::now();
        let end = *self.blocked_at.get_or_insert(now) + self.transport.stall_timeout();
        if now >= end { Err(End::Reset) } else { Ok(Driven::Until(end)) }
    }
}

impl<L> fmt::Debug for Connection<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("queued", &self.queued)
            .field("armed", &self.armed)
            .finish_non_exhaustive()
    }
}
