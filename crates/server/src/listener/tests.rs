use std::{net::Ipv4Addr, sync::Arc};

use axum::{body::Body, extract::ConnectInfo, routing::get};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
    time::{Instant, timeout},
};

use super::*;
use crate::layers;

pub(super) const SOON: Duration = Duration::from_secs(10);
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) shutdown: CancellationToken,
    pub(super) tracker: TaskTracker,
    serving: TaskTracker,
}

impl Server {
    pub(super) fn start(router: Router, options: Options) -> Self {
        let bound = bind(LOCAL, Some(8 * 1024)).unwrap();
        let addr = bound.addr();
        let (shutdown, tracker, serving) = (CancellationToken::new(), TaskTracker::new(), TaskTracker::new());
        serving.spawn({
            let (shutdown, tracker) = (shutdown.clone(), tracker.clone());
            async move { serve(bound, router, options, shutdown, &tracker).await }
        });
        tracker.close();
        serving.close();
        Self { addr, shutdown, tracker, serving }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Waits until the last connection has ended.
    pub(super) async fn empty(&self) {
        timeout(SOON, self.tracker.wait()).await.expect("a connection stays open");
    }
}

pub(super) fn options() -> Options {
    Options {
        header_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_secs(60),
        stall_timeout: Duration::from_millis(200),
        connections_max: 8,
        ..Options::default()
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

pub(super) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        let byte = timeout(SOON, stream.read_u8()).await.unwrap().expect("closed early");
        got.push(byte);
    }
    String::from_utf8(got).unwrap()
}

/// Sends `byte` every 50 ms until the peer closes, and says after how long it did.
async fn dribble(stream: TcpStream, byte: u8) -> Duration {
    let begin = Instant::now();
    let (mut reading, mut writing) = stream.into_split();
    let mut buf = [0; 64];
    let closed = async { while matches!(reading.read(&mut buf).await, Ok(1..)) {} };
    let feeding = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            if writing.write_all(&[byte]).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    timeout(SOON, async {
        tokio::select! { () = closed => {}, () = feeding => {} }
    })
    .await
    .expect("a dribbler stays connected");
    begin.elapsed()
}

#[tokio::test]
async fn a_header_dribbler_is_closed() {
    let server = Server::start(hello(), options());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    assert!(dribble(stream, b'x').await >= Duration::from_millis(150));
    server.empty().await;
}

#[tokio::test]
async fn a_dribbler_on_its_second_request_is_closed_too() {
    let server = Server::start(hello(), options());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut stream, "hello").await;
    dribble(stream, b'x').await;
    server.empty().await;
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let server = Server::start(hello(), options());
    let mut stream = server.connect().await;
    assert!(matches!(timeout(SOON, stream.read_u8()).await, Ok(Err(_))));
    server.empty().await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout() {
    let server = Server::start(hello(), options());
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_until(&mut stream, "hello").await;
        // Twice the header timeout of silence.
        let silence = timeout(Duration::from_millis(400), stream.read_u8()).await;
        assert!(silence.is_err(), "closed while idle");
    }
}

#[tokio::test]
async fn an_idle_connection_ends_at_its_own_timeout() {
    let idle_timeout = Duration::from_millis(300);
    let server = Server::start(hello(), Options { idle_timeout, ..options() });
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut stream, "hello").await;
    assert!(matches!(timeout(SOON, stream.read_u8()).await, Ok(Err(_))));
    server.empty().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed() {
    let endless = || async {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, io::Error>(vec![b'x'; 16 * 1024]));
        Body::from_stream(chunks)
    };
    let server = Server::start(Router::new().route("/", get(endless)), options());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The head, so that the connection surely has begun; then nothing more.
    read_until(&mut stream, "\r\n\r\n").await;
    server.empty().await;
    drop(stream);
}

#[tokio::test]
async fn a_body_that_is_silent_for_long_is_no_stall() {
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let handler = move || {
        let wait = wait.clone();
        async move {
            Body::from_stream(futures_util::stream::once(async move {
                wait.notified().await;
                Ok::<_, io::Error>("late")
            }))
        }
    };
    let server = Server::start(Router::new().route("/", get(handler)), options());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut stream, "\r\n\r\n").await;
    let silence = timeout(Duration::from_millis(600), stream.read_u8()).await;
    assert!(silence.is_err(), "closed while nothing was to be sent");
    go.notify_one();
    read_until(&mut stream, "late\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn shutdown_ends_idle_connections_at_once_and_takes_no_new_ones() {
    let server = Server::start(hello(), options());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut stream, "hello").await;
    server.shutdown.cancel();
    assert!(matches!(timeout(SOON, stream.read_u8()).await, Ok(Err(_))));
    server.empty().await;
    timeout(SOON, server.serving.wait()).await.unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn shutdown_lets_a_running_request_finish() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (entered.clone(), go.clone());
    let handler = move || {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            wait.notified().await;
            "done"
        }
    };
    let server = Server::start(Router::new().route("/", get(handler)), options());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    timeout(SOON, entered.notified()).await.unwrap();
    server.shutdown.cancel();
    go.notify_one();
    let answer = read_until(&mut stream, "done").await;
    assert!(answer.contains("connection: close"), "{answer}");
    server.empty().await;
}

#[tokio::test]
async fn a_connection_over_the_cap_waits_for_a_place() {
    let server = Server::start(hello(), Options { connections_max: 1, ..options() });
    let mut first = server.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut first, "hello").await;
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(timeout(Duration::from_millis(200), second.read_u8()).await.is_err());
    drop(first);
    read_until(&mut second, "hello").await;
}

#[tokio::test]
async fn a_write_outlives_its_connection_and_keeps_its_place() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (tell, wait) = (entered.clone(), go.clone());
        async move || {
            tell.notify_one();
            wait.notified().await;
            "done"
        }
    };
    let router = Router::new().route("/", get(async || "hello").post(handler));
    let router = layers::wrap(router, &"https://app.example.com".parse().unwrap());
    let server = Server::start(router, Options { connections_max: 2, ..options() });
    let mut writer = server.connect().await;
    writer.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    timeout(SOON, entered.notified()).await.unwrap();
    writer.shutdown().await.unwrap();
    // Its connection ends, unanswered.
    assert_eq!(timeout(SOON, writer.read_to_end(&mut Vec::new())).await.unwrap().unwrap(), 0);
    let mut first = server.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut first, "hello").await;
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(timeout(Duration::from_millis(200), second.read_u8()).await.is_err(), "its place is free");
    server.shutdown.cancel();
    assert_eq!(first.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert!(timeout(Duration::from_millis(200), server.tracker.wait()).await.is_err(), "not waited for");
    go.notify_one();
    server.empty().await;
}

#[tokio::test]
async fn handlers_know_the_peer() {
    let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| format!("<{peer}>");
    let server = Server::start(Router::new().route("/", get(peer)), options());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = read_until(&mut stream, ">").await;
    assert!(answer.contains(&format!("<{}>", stream.local_addr().unwrap())), "{answer}");
}

#[tokio::test]
async fn a_taken_port_is_one_sentence_that_says_what_to_do() {
    let bound = bind(LOCAL, None).unwrap();
    let error = bind(bound.addr(), None).unwrap_err();
    let port = bound.addr().port();
    let sentence = format!(
        "port {port} is taken on 127.0.0.1: stop what listens there, or choose another with `--listen`"
    );
    assert_eq!(error.to_string(), sentence);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn accepted_sockets_inherit_what_the_listener_has() {
    let bound = bind(LOCAL, Some(8 * 1024)).unwrap();
    let _client = TcpStream::connect(bound.addr()).await.unwrap();
    let (accepted, _) = bound.listener.accept().await.unwrap();
    let socket = socket2::SockRef::from(&accepted);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(limits::WRITE_STALL));
    assert_eq!(socket.send_buffer_size().unwrap(), 16 * 1024);
}

#[tokio::test]
async fn a_connection_is_small() {
    let bound = bind(LOCAL, None).unwrap();
    let (client, _) = tokio::join!(TcpStream::connect(bound.addr()), accept(&bound.listener));
    let places = Places::new(&options());
    let permits = (places.take().await, places.admit(LOCAL.ip()).unwrap());
    let connections = connection::Connections::new(hello(), options(), places, CancellationToken::new());
    let place = takeover::Place::new(permits, TaskTracker::new().token());
    let size = std::mem::size_of_val(&connections.serve(client.unwrap(), LOCAL, place));
    assert!(size <= 2_048, "{size} bytes");
}
