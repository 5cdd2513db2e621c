//! One stream on its socket; also its own waker.

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
    batch::{Batch, Rest},
    lane::Lane,
    link::Link,
};
use crate::stream::Turn;

/// Writes of one stream after which the others have their turn.
const WRITES: usize = 4;
/// The end of a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A stream on its socket.
///
/// Only its lane locks `open`. The lock may be held while a user's is taken, never the other way
/// round: waking takes only the lock of the lane's line.
pub(super) struct Conn<L> {
    lane: Arc<Lane<L>>,
    peer: Arc<Peer<L>>,
    /// Whether it stands in the line, or is about to.
    queued: AtomicBool,
    /// The tick of its entry in the wheel that counts; 0 for none.
    pub(super) armed: AtomicU64,
    /// None once it has ended.
    open: Mutex<Option<State<L>>>,
}

/// Wakes a stream for what its peer does, so that a socket is asked about its peer only if there is
/// something to hear: most of what wakes a stream are news.
struct Peer<L> {
    conn: Weak<Conn<L>>,
    stirred: AtomicBool,
}

struct State<L> {
    link: L,
    /// What the socket did not take.
    rest: Option<Box<Rest>>,
    /// Nothing comes behind `rest`.
    ended: bool,
    /// Since when the socket has taken nothing.
    blocked_at: Option<Instant>,
}

/// What driving a stream has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driven {
    /// It is to be driven again when it wakes, or at this time.
    Until(Instant),
    /// It is in the line again.
    Again,
    /// It has ended just now.
    Ended,
    /// It had ended before.
    Nothing,
}

/// Why a stream leaves its socket.
enum End {
    /// It has said all it had to say, or its peer has gone.
    Quiet,
    /// The peer did not read.
    Reset,
}

impl<L: Link> Conn<L> {
    /// A stream that has said nothing, with the head that goes before.
    pub(super) fn new(lane: Arc<Lane<L>>, link: L, head: &[u8]) -> Arc<Self> {
        let state = State { link, rest: Some(Box::new(Rest::of(head))), ended: false, blocked_at: None };
        Arc::new_cyclic(|conn| Self {
            lane,
            // Nobody has asked yet.
            peer: Arc::new(Peer { conn: conn.clone(), stirred: AtomicBool::new(true) }),
            queued: AtomicBool::new(false),
            armed: AtomicU64::new(0),
            open: Mutex::new(Some(state)),
        })
    }

    fn open(&self) -> MutexGuard<'_, Option<State<L>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what the stream has to say, as far as its socket takes it. `batch` is empty before and
    /// afterwards.
    pub(super) fn drive(self: &Arc<Self>, batch: &mut Batch, now: Instant) -> Driven {
        // Before anything is looked at, so that no change is missed.
        self.queued.store(false, Ordering::Release);
        let waker = Waker::from(self.clone());
        let mut open = self.open();
        let Some(state) = open.as_mut() else { return Driven::Nothing };
        let cx = &mut Context::from_waker(&waker);
        // A panic must not take the lane's others along.
        let driven = catch_unwind(AssertUnwindSafe(|| {
            if self.peer_has_gone(&mut state.link) { Err(End::Quiet) } else { state.drive(cx, batch, now) }
        }));
        batch.clear();
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
        // With the socket and the stream go the other wakers, but for the one in the wheel.
        if let (End::Reset, Some(mut state)) = (end, over) {
            state.link.reset();
        }
        Driven::Ended
    }

    fn peer_has_gone(&self, link: &mut L) -> bool {
        // Taken before the look, so that no change is missed.
        self.peer.stirred.swap(false, Ordering::AcqRel)
            && link.poll_gone(&mut Context::from_waker(&Waker::from(self.peer.clone()))).is_ready()
    }
}

impl<L: Link> Wake for Peer<L> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.stirred.store(true, Ordering::Release);
        if let Some(conn) = self.conn.upgrade() {
            conn.wake();
        }
    }
}

impl<L: Link> Wake for Conn<L> {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let lane = self.lane.clone();
            lane.line_up(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.load(Ordering::Acquire) {
            self.clone().wake();
        }
    }
}

impl<L: Link> State<L> {
    fn drive(&mut self, cx: &mut Context<'_>, batch: &mut Batch, now: Instant) -> Result<Driven, End> {
        if let Some(rest) = self.rest.take() {
            batch.resume(*rest);
        }
        let mut until = None;
        for _ in 0..WRITES {
            // Whose socket takes nothing is not asked for more, nor who has said all.
            if self.blocked_at.is_none() && until.is_none() {
                until = self.gather(cx, batch, now);
            }
            if !batch.is_empty() && !self.write(cx, batch)? {
                self.rest = batch.rest();
                return self.blocked(cx);
            }
            match until {
                Some(until) if batch.is_empty() => return Ok(Driven::Until(until)),
                None if batch.is_empty() && self.ended => return Err(End::Quiet),
                _ => {}
            }
        }
        self.rest = batch.rest();
        cx.waker().wake_by_ref();
        Ok(Driven::Again)
    }

    /// Puts the stream's next frames behind what waits already, up to what one write carries. When
    /// the stream has said all: when to ask it again.
    fn gather(&mut self, cx: &mut Context<'_>, batch: &mut Batch, now: Instant) -> Option<Instant> {
        while !self.ended && !batch.is_full() {
            match self.link.turn(cx, now) {
                Turn::Frame(frame) => batch.push(frame),
                Turn::Last(frame, until) => {
                    batch.push(frame);
                    return Some(until);
                }
                Turn::Wait(until) => return Some(until),
                Turn::End => {
                    self.ended = true;
                    batch.push_bytes(LAST_CHUNK);
                }
            }
        }
        None
    }

    /// Writes of `batch` what the socket takes, and takes it out; false if it takes nothing.
    fn write(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Result<bool, End> {
        loop {
            let written = match self.link.write(batch.bytes()) {
                Ok(0) => return Err(End::Quiet),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.link.poll_writable(cx) {
                        std::task::Poll::Pending => return Ok(false),
                        std::task::Poll::Ready(Ok(())) => continue,
                        std::task::Poll::Ready(Err(_)) => return Err(End::Quiet),
                    }
                }
                Err(_) => return Err(End::Quiet),
            };
            self.blocked_at = None;
            batch.written(written);
            return Ok(true);
        }
    }

    fn blocked(&mut self, cx: &mut Context<'_>) -> Result<Driven, End> {
        // A stream that cannot speak may be told something all the same.
        if self.link.poll_cut(cx).is_ready() {
            return Err(End::Reset);
        }
        let now = Instant::now();
        let end = *self.blocked_at.get_or_insert(now) + self.link.patience();
        if now >= end { Err(End::Reset) } else { Ok(Driven::Until(end)) }
    }
}

impl<L> fmt::Debug for Conn<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("queued", &self.queued)
            .field("armed", &self.armed)
            .finish_non_exhaustive()
    }
}
