//! One connection: hyper parses its requests, the router answers them.

use std::{net::SocketAddr, pin::pin};

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
};

/// Largest request head, in bytes: room for an 8 KiB token beside what browsers and proxies add.
/// Also the most that hyper holds of a response that its client does not take.
const HEAD_BYTES: usize = 16 * 1024;

/// What the connections of one listener share.
#[derive(Debug)]
pub(super) struct Connections {
    router: Router,
    options: Options,
    shutdown: CancellationToken,
}

impl Connections {
    pub(super) fn new(router: Router, options: Options, shutdown: CancellationToken) -> Self {
        Self { router, options, shutdown }
    }

    /// Serves one connection until either side ends it.
    pub(super) fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Options { header_timeout, idle_timeout, stall_timeout, .. } = self.options;
        let heard = Heard::default();
        let router = self.router.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(Patience::new(heard.clone(), header_timeout, idle_timeout))
            .header_read_timeout(idle_timeout)
            .max_buf_size(HEAD_BYTES)
            // One copy and one send per frame is cheaper than a send of many small pieces.
            .writev(false)
            .serve_connection(TokioIo::new(Guarded::new(stream, heard, stall_timeout)), service);
        let shutdown = self.shutdown.clone();
        async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                // Shutdown first: a response that is ready in the same moment says `close` already.
                biased;
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
                ended = &mut connection => ended,
            };
            // Peers that vanish, dribble or do not read are everyday life on the open internet.
            if let Err(error) = ended {
                tracing::debug!("a connection broke off: {error}");
            }
        }
    }
}
