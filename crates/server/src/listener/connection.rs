//! One connection: hyper parses its requests, the router answers them.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    task::Poll,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    Options,
    io_guard::Guarded,
    patience::{Heard, Patience},
    places::Places,
    takeover::{self, Exit, Place, Taken},
};

/// Largest request head, in bytes: room for an 8 KiB token beside what browsers and proxies add.
/// Also the most that hyper holds of a response that its client does not take.
const HEAD_BYTES: usize = 16 * 1024;

/// What the connections of one listener share.
#[derive(Debug)]
pub(super) struct Connections {
    router: Router,
    options: Options,
    places: Places,
    shutdown: CancellationToken,
}

impl Connections {
    pub(super) fn new(router: Router, options: Options, places: Places, shutdown: CancellationToken) -> Self {
        Self { router, options, places, shutdown }
    }

    /// Serves one connection until either side ends it, or until a response takes its socket.
    pub(super) fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Options { header_timeout, idle_timeout, stall_timeout, .. } = self.options;
        let (heard, exit) = (Heard::default(), Exit::default());
        let (router, leaving, taken) = (self.router.clone(), exit.clone(), place.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let offer = takeover::offer(&request);
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(taken.clone());
            if let Some(offer) = offer {
                request.extensions_mut().insert(offer);
            }
            let (answering, exit) = (router.clone().oneshot(request), leaving.clone());
            async move {
                let response = answering.await?;
                Ok::<_, Infallible>(if offer.is_some() {
                    exit.unless_leaving(response).await
                } else {
                    response
                })
            }
        });
        let io = Guarded::new(stream, (heard.clone(), exit.clone()), stall_timeout);
        let mut connection = http1::Builder::new()
            .timer(Patience::new(heard, header_timeout, idle_timeout, self.places.clone()))
            .header_read_timeout(idle_timeout)
            .max_buf_size(HEAD_BYTES)
            // One copy and one send per frame is cheaper than a send of many small pieces.
            .writev(false)
            .serve_connection(TokioIo::new(io), service);
        let shutdown = self.shutdown.clone();
        async move {
            let mut stopping = pin!(shutdown.cancelled());
            let mut told = false;
            let ended = poll_fn(|cx| {
                // Shutdown first: a response that is ready in the same moment says `close` already.
                if !told && stopping.as_mut().poll(cx).is_ready() {
                    told = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                let ended = Pin::new(&mut connection).poll(cx);
                match exit.open() {
                    Some(leaving) if ended.is_pending() => Poll::Ready(Ok(Some(leaving))),
                    _ => ended.map_ok(|()| None),
                }
            });
            match ended.await {
                Ok(None) => {}
                Ok(Some(leaving)) => {
                    let parts = connection.into_parts();
                    // Who sends more behind the request waits for an answer that never comes.
                    if parts.read_buf.is_empty() {
                        let (socket, head) = (parts.io.into_inner().into_socket(), leaving.head);
                        (leaving.then)(Taken { socket, head, stall_timeout, place });
                    }
                }
                // Peers that vanish, dribble or do not read are everyday life on the open internet.
                Err(error) => tracing::debug!("a connection broke off: {error}"),
            }
        }
    }
}
