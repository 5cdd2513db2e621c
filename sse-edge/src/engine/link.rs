//! A stream and its socket, as a lane drives them.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use server::listener::takeover::Place;
use socket2::SockRef;
use tokio::{net::TcpStream, time::Instant};

use crate::stream::{Stream, Turn};

/// What a lane needs of a stream and of its socket.
pub(super) trait Link: Send + 'static {
    /// What the stream says next. Whatever changes that wakes.
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn;

    /// Ready if the stream has to end whatever it still has to say.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ready if the peer has gone, or sends what nobody asked for.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Writes what the socket takes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Ready once the socket takes more.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// How long the socket may take nothing.
    fn patience(&self) -> Duration;

    /// Lets the end of the socket be a reset.
    fn reset(&mut self);
}

/// An open stream whose socket is ours.
#[derive(Debug)]
pub(super) struct Open {
    stream: Stream,
    socket: TcpStream,
    patience: Duration,
    /// Behind the socket, so that it is given up last.
    _place: Place,
}

impl Open {
    pub(super) fn new(stream: Stream, socket: TcpStream, patience: Duration, place: Place) -> Self {
        Self { stream, socket, patience, _place: place }
    }
}

impl Link for Open {
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        self.stream.turn(cx, now)
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
        // Without a look at what tokio knows of the socket, which lies far away in memory. If the socket
        // takes nothing, tokio has to see that itself, or it would not wake.
        match SockRef::from(&self.socket).send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.try_write(bytes),
            sent => sent,
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn reset(&mut self) {
        // The kernel must not keep the unread bytes. If that cannot be had they only stay until TCP gives up.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}
