//! The head of a request, as a listener reads it from a socket, up to the socket's takeover.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::LazyLock,
    time::Duration,
};

use axum::{Router, extract::Request, response::IntoResponse as _, response::Response, routing::get};
use http::{Method, StatusCode, Version};
use server::listener::{
    Options, bind, serve,
    takeover::{Offer, Takeover},
};
use tokio::{io::AsyncWriteExt as _, runtime::Runtime};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What stands behind the head where the socket was taken.
const TAKEN: &str = "taken";
/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A listener that hands over each socket that it may.
static LISTENER: LazyLock<(Runtime, SocketAddr)> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let address = runtime.block_on(async {
        let bound = bind((Ipv4Addr::LOCALHOST, 0).into(), None).expect("a port");
        let (address, router) = (bound.addr(), Router::new().route("/stream", get(stream).post(stream)));
        TaskTracker::new().spawn(async move {
            serve(bound, router, Options::default(), CancellationToken::new(), &TaskTracker::new()).await;
        });
        address
    });
    (runtime, address)
});

async fn stream(request: Request) -> Response {
    if request.extensions().get::<Offer>().is_none() {
        return "not offered".into_response();
    }
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        // No answer may have this status.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let takeover = Takeover::new(|mut taken| {
        TaskTracker::new().spawn(async move {
            // The peer may be gone.
            let _ = taken.socket.write_all(&taken.head).await;
            let _ = taken.socket.write_all(TAKEN.as_bytes()).await;
        });
    });
    let mut response = ().into_response();
    response.extensions_mut().insert(takeover);
    response
}

/// Each answer is one of HTTP/1.1 and no 5xx. Only a GET of HTTP/1.1 takes a socket over, and nothing is answered behind it.
pub(crate) fn head(bytes: &[u8]) {
    let mut socket = TcpStream::connect(LISTENER.1).expect("a listener");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    // A peer that refuses may end first.
    let _ = socket.write_all(bytes).and_then(|()| socket.shutdown(Shutdown::Write));
    let mut got = Vec::new();
    if let Err(error) = socket.read_to_end(&mut got) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no answer to {}", bytes.escape_ascii());
    }
    if got.is_empty() {
        return;
    }
    let answers = String::from_utf8_lossy(&got);
    let status = answers.strip_prefix("HTTP/1.1 ").or_else(|| answers.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    assert!(status.is_some_and(|status| (200..500).contains(&status)), "{answers}");
    if let Some((_, behind)) = answers.split_once(&format!("\r\n\r\n{TAKEN}")) {
        assert!(behind.is_empty(), "{answers}");
    }
}
