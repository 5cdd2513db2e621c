//! How a response leaves hyper, and takes the socket along.
//!
//! hyper keeps buffers of 16 KiB and a task for a response that never ends. So a handler may answer
//! a plain HTTP/1.1 GET with a [`Takeover`] instead of a body: hyper never sees that response, which
//! for hyper is still being made. Once all that was written before has been flushed, the connection
//! is taken apart, and whoever takes over owns the socket, its head to be written first.
//!
//! That hyper can be taken apart in the middle of a request, with nothing of its own left unwritten,
//! is how it behaves, not what it promises: its minor version is pinned, and the tests of this module
//! (a pipelined request behind a response that does not fit the socket) guard it. That its last flush
//! came behind the answer is looked at here besides.

use std::{
    fmt,
    future::pending,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::response::Response;
use bytes::Bytes;
use http::{Method, Request, StatusCode, Version, header};
use http_body::Body;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{address_limit::AddressPermit, clock::Clock};

/// In the extensions of a request whose response may be a [`Takeover`]. Whatever other request a
/// handler answers needs a body.
#[derive(Clone, Copy, Debug)]
pub struct Offer(());

/// In the extensions of a response with status 200: its body is written by others, who get the
/// socket. If the connection ends before, or a layer answers something else, it is dropped.
#[derive(Clone)]
pub struct Takeover(Arc<Mutex<Option<Then>>>);

type Then = Box<dyn FnOnce(Taken) + Send>;

impl Takeover {
    /// `then` gets the socket, and must not block.
    pub fn new(then: impl FnOnce(Taken) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(then)))))
    }

    fn take(&self) -> Option<Then> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

/// A socket that has left hyper. Dropping it ends the connection.
#[derive(Debug)]
pub struct Taken {
    /// The socket. Nothing that is read from it means anything.
    pub socket: TcpStream,
    /// The head of the response: to be written first. Behind it goes a chunked body, and then the end
    /// of the connection.
    pub head: Bytes,
    /// No byte taken by the peer's side for this long, while there are bytes to send, should close.
    pub stall_timeout: Duration,
    /// To be dropped behind the socket.
    pub place: Place,
}

/// A place among the connections of a listener, taken until its last clone is dropped. It is also in the
/// extensions of every request, for work that outlives the connection.
#[derive(Clone, Debug)]
pub struct Place {
    _permits: Arc<(OwnedSemaphorePermit, AddressPermit)>,
    _tracked: TaskTrackerToken,
}

impl Place {
    pub(super) fn new(permits: (OwnedSemaphorePermit, AddressPermit), tracked: TaskTrackerToken) -> Self {
        Self { _permits: Arc::new(permits), _tracked: tracked }
    }
}

/// What is offered to a request. Nothing where the peer may not know chunks or may have more to send.
pub(super) fn offer<B: Body>(request: &Request<B>) -> Option<Offer> {
    // Not to HEAD, which axum answers by the route of GET.
    let plain = request.method() == Method::GET && request.version() == Version::HTTP_11;
    (plain && request.body().is_end_stream()).then_some(Offer(()))
}

/// Where a connection's response waits for the socket. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Exit(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    leaving: Mutex<Option<Leaving>>,
    flushed: AtomicBool,
}

/// A response that leaves.
pub(super) struct Leaving {
    pub(super) head: Bytes,
    pub(super) then: Then,
}

impl Exit {
    fn leaving(&self) -> MutexGuard<'_, Option<Leaving>> {
        self.0.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response, for hyper to send; never, if it is to leave.
    pub(super) async fn unless_leaving(&self, mut response: Response) -> Response {
        let takeover = response.extensions_mut().remove::<Takeover>();
        if let Some(then) = takeover.filter(|_| response.status() == StatusCode::OK).and_then(|t| t.take()) {
            let head = head(&response, &Clock::system());
            self.unflushed();
            *self.leaving() = Some(Leaving { head, then });
            mem::drop(response);
            return pending().await;
        }
        response
    }

    /// Who leaves, once hyper has flushed what it wrote: it flushes the socket only when its own buffer
    /// is empty, and whenever it is about to wait for a response.
    pub(super) fn open(&self) -> Option<Leaving> {
        self.0.flushed.load(Ordering::Relaxed).then(|| self.leaving().take())?
    }

    /// hyper has written something. Only the connection's own task touches it, hence the weakest ordering.
    pub(super) fn unflushed(&self) {
        self.0.flushed.store(false, Ordering::Relaxed);
    }

    /// hyper has written all it had.
    pub(super) fn flushed(&self) {
        self.0.flushed.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("flushed", &self.flushed).finish_non_exhaustive()
    }
}

/// The head as hyper would have written it, but that the connection ends with the body.
fn head(response: &Response, clock: &Clock) -> Bytes {
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    let own = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::DATE];
    for (name, value) in response.headers().iter().filter(|(name, _)| !own.contains(name)) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&clock.now());
    let date = date.expect("the machine's clock shows a year of four digits");
    head.extend_from_slice(
        format!("transfer-encoding: chunked\r\nconnection: close\r\ndate: {date}\r\n\r\n").as_bytes(),
    );
    head.into()
}

#[cfg(test)]
mod tests;
