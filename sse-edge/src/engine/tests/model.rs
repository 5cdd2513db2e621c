//! A stream and its socket as a model: what it says, and how much of it the socket takes.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use domain::frame::Id;
use tokio::time::Instant;

use crate::{engine::transport::Transport, stream::Output, wire::frame::Frame};

pub(super) const PING: Duration = Duration::from_secs(15);
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// One stream and its socket, as both ends see them.
#[expect(clippy::struct_excessive_bools, reason = "each may be true at any time")]
pub(super) struct Side {
    pub(super) news: VecDeque<Frame>,
    /// What was handed out, and so has to arrive.
    pub(super) said: Vec<u8>,
    /// What has arrived.
    pub(super) wire: Vec<u8>,
    pub(super) room: usize,
    pub(super) ping_at: Instant,
    /// When the socket last took something.
    pub(super) took_at: Instant,
    pub(super) asked_to_end: bool,
    pub(super) says_end: bool,
    pub(super) cut: bool,
    pub(super) gone: bool,
    pub(super) reset: bool,
    pub(super) panics: bool,
    pub(super) drops: usize,
    /// Who waits for news, for the client to say something, and for room.
    wakers: [Option<Waker>; 3],
}

pub(super) const NEWS: usize = 0;
pub(super) const READ: usize = 1;
pub(super) const WRITE: usize = 2;

impl Side {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            news: VecDeque::new(),
            said: HEAD.to_vec(),
            wire: Vec::new(),
            room: 0,
            ping_at: now + PING,
            took_at: now,
            asked_to_end: false,
            says_end: false,
            cut: false,
            gone: false,
            reset: false,
            panics: false,
            drops: 0,
            wakers: [const { None }; 3],
        }
    }

    pub(super) fn wake(&mut self, which: usize) {
        if let Some(waker) = self.wakers[which].take() {
            waker.wake();
        }
    }

    fn wait<T>(&mut self, which: usize, cx: &Context<'_>) -> Poll<T> {
        self.wakers[which] = Some(cx.waker().clone());
        Poll::Pending
    }

    fn say(&mut self, frame: Frame, is_last: bool) -> Output {
        frame.write_chunk(&mut self.said);
        if is_last { Output::Last(frame, self.ping_at) } else { Output::Frame(frame) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.drops == 0
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.room == 0 && self.wire.len() < self.said.len()
    }
}

#[derive(Clone)]
pub(super) struct Model(pub(super) Arc<Mutex<Side>>);

impl Model {
    pub(super) fn side(&self) -> MutexGuard<'_, Side> {
        self.0.lock().unwrap()
    }
}

/// The engine's end of it.
pub(super) struct End(pub(super) Model, pub(super) fastrand::Rng);

impl Drop for End {
    fn drop(&mut self) {
        let mut side = self.0.side();
        side.drops += 1;
        let wakers = std::mem::take(&mut side.wakers);
        drop((side, wakers));
    }
}

impl Transport for End {
    fn next(&mut self, cx: &mut Context<'_>, now: Instant) -> Output {
        let mut side = self.0.side();
        let _: Poll<()> = side.wait(NEWS, cx);
        let panics = side.panics;
        drop(side);
        assert!(!panics, "on purpose");
        let mut side = self.0.side();
        assert!(!side.says_end, "a stream that has ended is asked no more");
        if side.cut || side.asked_to_end {
            side.says_end = true;
            side.said.extend_from_slice(b"0\r\n\r\n");
            return Output::End;
        }
        if let Some(frame) = side.news.pop_front() {
            let is_last = side.news.is_empty() && now < side.ping_at && self.1.bool();
            return side.say(frame, is_last);
        }
        if now >= side.ping_at {
            side.ping_at = now + PING;
            return side.say(Frame::ping(Id::Unreadable), self.1.bool());
        }
        Output::Wait(side.ping_at)
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut side = self.0.side();
        if side.cut { Poll::Ready(()) } else { side.wait(NEWS, cx) }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut side = self.0.side();
        if side.gone { Poll::Ready(()) } else { side.wait(READ, cx) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut side = self.0.side();
        assert!(!bytes.is_empty());
        if side.gone && self.1.bool() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match self.1.u8(..8) {
            0 => return Err(io::ErrorKind::Interrupted.into()),
            _ if side.room == 0 => return Err(io::ErrorKind::WouldBlock.into()),
            _ => {}
        }
        let most = bytes.len().min(side.room);
        let taken = if self.1.bool() { most } else { self.1.usize(1..=most) };
        side.wire.extend_from_slice(&bytes[..taken]);
        side.room -= taken;
        side.took_at = Instant::now();
        assert!(side.said.starts_with(&side.wire), "every byte once and in order");
        Ok(taken)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut side = self.0.side();
        if side.room > 0 { Poll::Ready(Ok(())) } else { side.wait(WRITE, cx) }
    }

    fn stall_timeout(&self) -> Duration {
        PATIENCE
    }

    fn reset(&mut self) {
        self.0.side().reset = true;
    }
}
