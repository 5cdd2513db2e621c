//! A stream and its socket, as a lane drives them.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use server::listener::takeover::Place;
use socket2::SockRef;
use tokio::{net::TcpStream, time::Instant};

use crate::stream::{Output, Stream};

/// What a lane needs of a stream and of its socket.
pub(super) trait Transport: Send + 'static {
    /// What the stream writes next. Any change of that wakes.
    fn next(&mut self, cx: &mut Context<'_>, now: Instant) -> Output;

    /// Ready if the stream has to end at once.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ready if the peer has gone, or sends anything.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Writes what the socket takes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Ready once the socket takes more.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// How long the socket may take nothing.
    fn stall_timeout(&self) -> Duration;

    /// Makes the end of the socket a reset.
    fn reset(&mut self);
}

/// An open stream whose socket the edge owns.
#[derive(Debug)]
pub(super) struct StreamSocket {
    stream: Stream,
    socket: TcpStream,
    stall_timeout: Duration,
    /// Declared after the socket, so that it is dropped last.
    _place: Place,
}

impl StreamSocket {
    pub(super) fn new(stream: Stream, socket: TcpStream, stall_timeout: Duration, place: Place) -> Self {
        Self { stream, socket, stall_timeout, _place: place }
    }
}

impl Transport for StreamSocket {
    fn next(&mut self, cx: &mut Context<'_>, now: Instant) -> Output {
        self.stream.next(cx, now)
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_cut(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if ready!(self.socket.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match self.socket.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Bypasses tokio, whose record of the socket is elsewhere in memory. If the socket is full, tokio must observe
        // that itself, or tokio would not wake the stream.
        match SockRef::from(&self.socket).send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.try_write(bytes),
            sent => sent,
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }

    fn reset(&mut self) {
        // The kernel must not keep the unread bytes. If this fails, they stay until TCP gives up.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}
