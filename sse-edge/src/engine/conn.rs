//! One stream on its socket; also its own waker.

use std::{
    fmt,
    io::{self, IoSlice},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Wake, Waker},
};

use bytes::{Buf as _, Bytes};
use tokio::time::Instant;

use super::{lane::Lane, link::Link};
use crate::stream::Turn;

/// Frames that go out with one write.
const FRAMES: usize = 16;
/// Bytes from which on a write takes no further frame: about what a socket's buffer holds.
const BYTES: usize = 16 * 1024;
/// Writes of one stream after which the others have their turn.
const WRITES: usize = 4;
/// The end of a chunked body.
const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

/// A stream on its socket.
///
/// Only its lane locks `open`. The lock may be held while a user's is taken, never the other way
/// round: waking takes only the lock of the lane's line.
pub(super) struct Conn<L> {
    lane: Arc<Lane<L>>,
    /// Whether it stands in the line, or is about to.
    queued: AtomicBool,
    /// The tick of its entry in the wheel that counts; 0 for none.
    pub(super) armed: AtomicU64,
    /// None once it has ended.
    open: Mutex<Option<State<L>>>,
}

struct State<L> {
    link: L,
    /// What the socket did not take.
    rest: Vec<Bytes>,
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
    pub(super) fn new(lane: Arc<Lane<L>>, link: L, head: Bytes) -> Self {
        let state = State { link, rest: vec![head], ended: false, blocked_at: None };
        Self { lane, queued: AtomicBool::new(false), armed: AtomicU64::new(0), open: Mutex::new(Some(state)) }
    }

    fn open(&self) -> MutexGuard<'_, Option<State<L>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the stream say what it has, as far as the socket takes it. `batch` is empty before and after.
    pub(super) fn drive(self: &Arc<Self>, batch: &mut Vec<Bytes>) -> Driven {
        // Before anything is looked at, so that no change is missed.
        self.queued.store(false, Ordering::Release);
        let waker = Waker::from(self.clone());
        let mut open = self.open();
        let Some(state) = open.as_mut() else { return Driven::Nothing };
        let cx = &mut Context::from_waker(&waker);
        // A panic must not take the lane's other streams along.
        let end = match catch_unwind(AssertUnwindSafe(|| state.pump(cx, batch))) {
            Ok(Ok(driven)) => return driven,
            Ok(Err(end)) => end,
            Err(_) => {
                tracing::error!("a stream panicked");
                End::Reset
            }
        };
        batch.clear();
        let over = open.take();
        drop(open);
        // With the socket and the stream go the other wakers, but for the one in the wheel.
        if let (End::Reset, Some(mut state)) = (end, over) {
            state.link.reset();
        }
        Driven::Ended
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
    fn pump(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Bytes>) -> Result<Driven, End> {
        if self.link.poll_gone(cx).is_ready() {
            return Err(End::Quiet);
        }
        batch.append(&mut mem::take(&mut self.rest));
        for _ in 0..WRITES {
            // Whose socket takes nothing is not asked for more.
            let until = if self.blocked_at.is_none() { self.gather(cx, batch) } else { None };
            if !batch.is_empty() && !self.write(cx, batch)? {
                self.rest.append(batch);
                return self.blocked(cx);
            }
            match until {
                Some(until) if batch.is_empty() => return Ok(Driven::Until(until)),
                None if batch.is_empty() && self.ended => return Err(End::Quiet),
                _ => {}
            }
        }
        self.rest.append(batch);
        cx.waker().wake_by_ref();
        Ok(Driven::Again)
    }

    /// Puts the stream's next frames behind what waits already, up to what one write carries. When
    /// the stream has said all: when to ask it again.
    fn gather(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Bytes>) -> Option<Instant> {
        let mut bytes: usize = batch.iter().map(Bytes::len).sum();
        while !self.ended && batch.len() < FRAMES && bytes < BYTES {
            let chunk = match self.link.turn(cx) {
                Turn::Frame(frame) => frame.into_chunk(),
                Turn::Wait(until) => return Some(until),
                Turn::End => {
                    self.ended = true;
                    LAST_CHUNK
                }
            };
            bytes += chunk.len();
            batch.push(chunk);
        }
        None
    }

    /// Writes of `batch` what the socket takes, and takes it out; false if it takes nothing.
    fn write(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Bytes>) -> Result<bool, End> {
        loop {
            let mut slices = [IoSlice::new(&[]); FRAMES];
            let many = slices.iter_mut().zip(batch.iter()).map(|(slice, chunk)| *slice = IoSlice::new(chunk));
            let many = many.count();
            let mut written = match self.link.write(&slices[..many]) {
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
            let whole = batch.iter().take_while(|chunk| {
                let whole = chunk.len() <= written;
                written -= if whole { chunk.len() } else { 0 };
                whole
            });
            let whole = whole.count();
            batch.drain(..whole);
            if let Some(first) = batch.first_mut() {
                first.advance(written);
            }
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
