use std::{future::Future, io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_util::FutureExt as _;
use http::{HeaderMap, StatusCode, header};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::{Notify, mpsc},
    time::timeout,
};

use super::{Exit, Offer, Taken, Takeover, head};
use crate::{
    clock::Clock,
    listener::{
        Options,
        tests::{SOON, Server, options, read_until},
    },
};

/// More than the buffers of both ends take.
const BIG: usize = 6 * 1024 * 1024;
const STREAM: &str = "GET /stream HTTP/1.1\r\nhost: x\r\n\r\n";

/// A server of one stream, whose sockets come out of the channel.
fn server(options: Options) -> (Server, mpsc::Receiver<Taken>) {
    let (sender, sockets) = mpsc::channel(8);
    let stream = move |request: Request| {
        let sender = sender.clone();
        async move {
            if request.extensions().get::<Offer>().is_none() {
                return "no offer".into_response();
            }
            let takeover = Takeover::new(move |taken| sender.try_send(taken).unwrap());
            let mut response = ([("x-mine", "yes")], ()).into_response();
            if request.uri().query() == Some("busy") {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response.extensions_mut().insert(takeover);
            response
        }
    };
    let big = || async { "x".repeat(BIG) };
    let router = Router::new().route("/stream", get(stream.clone()).post(stream)).route("/big", get(big));
    (Server::start(router, options), sockets)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("in time")
}

/// Everything up to the end; a reset is one too.
async fn rest(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    let _: io::Result<usize> = soon(stream.read_to_end(&mut got)).await;
    String::from_utf8(got).unwrap()
}

#[tokio::test]
async fn the_socket_of_a_plain_get_is_handed_over_with_the_head_to_be_written() {
    let (server, mut sockets) = server(options());
    let mut client = server.connect().await;
    client.write_all(STREAM.as_bytes()).await.unwrap();
    let mut taken = soon(sockets.recv()).await.unwrap();
    assert_eq!(taken.stall_timeout, options().stall_timeout);
    let head = String::from_utf8(taken.head.to_vec()).unwrap();
    let (fields, date) = head.split_once("date: ").unwrap();
    assert_eq!(
        fields,
        "HTTP/1.1 200 OK\r\nx-mine: yes\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
    );
    assert!(date.ends_with(" GMT\r\n\r\n"), "{date}");
    taken.socket.write_all(b"whatever").await.unwrap();
    drop(taken);
    assert_eq!(rest(&mut client).await, "whatever");
    server.empty().await;
}

#[tokio::test]
async fn a_pipelined_request_is_taken_over_when_all_before_it_was_written() {
    let (server, mut sockets) = server(Options { stall_timeout: SOON, ..options() });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut client = socket.connect(server.addr).await.unwrap();
    let both = format!("GET /big HTTP/1.1\r\nhost: x\r\n\r\n{STREAM}");
    client.write_all(both.as_bytes()).await.unwrap();
    timeout(Duration::from_millis(200), sockets.recv()).await.expect_err("hyper has more to write");
    read_until(&mut client, "\r\n\r\n").await;
    let mut big = vec![0; BIG];
    soon(client.read_exact(&mut big)).await.unwrap();
    assert!(big.iter().all(|byte| *byte == b'x'));
    let mut taken = soon(sockets.recv()).await.unwrap();
    taken.socket.write_all(b"the stream").await.unwrap();
    drop(taken);
    assert_eq!(rest(&mut client).await, "the stream");
}

#[tokio::test]
async fn a_request_on_a_connection_that_had_others_is_taken_over_too() {
    let (server, mut sockets) = server(options());
    let mut client = server.connect().await;
    client.write_all(b"POST /stream HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
    assert!(read_until(&mut client, "no offer").await.contains("content-length: 8"));
    client.write_all(STREAM.as_bytes()).await.unwrap();
    soon(sockets.recv()).await.unwrap();
}

#[tokio::test]
async fn whatever_is_no_plain_get_is_offered_nothing() {
    for request in [
        "GET /stream HTTP/1.0\r\nhost: x\r\n\r\n",
        "HEAD /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "POST /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        "GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx",
        "GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (server, mut sockets) = server(options());
        let mut client = server.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut client).await;
        assert!(answer.contains("content-length: 8"), "{request:?}: {answer}");
        server.empty().await;
        assert!(sockets.try_recv().is_err(), "{request:?}");
    }
}

#[tokio::test]
async fn a_takeover_whose_status_is_another_is_an_ordinary_answer() {
    let (server, mut sockets) = server(options());
    let mut client = server.connect().await;
    client.write_all(b"GET /stream?busy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 503 "));
    assert!(sockets.try_recv().is_err());
}

#[tokio::test]
async fn bytes_behind_the_request_end_the_connection() {
    for behind in ["x", "\r\n", STREAM, "GET /big HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let (server, mut sockets) = server(options());
        let mut client = server.connect().await;
        client.write_all(format!("{STREAM}{behind}").as_bytes()).await.unwrap();
        assert_eq!(rest(&mut client).await, "", "{behind:?}");
        server.empty().await;
        assert!(sockets.try_recv().is_err(), "{behind:?}");
    }
}

#[tokio::test]
async fn a_socket_keeps_its_place_until_it_is_dropped() {
    let (server, mut sockets) = server(Options { connections_max: 1, ..options() });
    let mut first = server.connect().await;
    first.write_all(STREAM.as_bytes()).await.unwrap();
    let taken = soon(sockets.recv()).await.unwrap();
    let mut second = server.connect().await;
    second.write_all(STREAM.as_bytes()).await.unwrap();
    timeout(Duration::from_millis(200), sockets.recv()).await.expect_err("there is no place");
    drop(taken);
    let taken = soon(sockets.recv()).await.unwrap();
    server.shutdown.cancel();
    timeout(Duration::from_millis(200), server.tracker.wait()).await.expect_err("one is there");
    drop(taken);
    server.empty().await;
}

/// Tells when it is dropped.
struct Tells(Arc<Notify>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_client_that_goes_before_the_answer_leaves_nothing_behind() {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, tell) = (entered.clone(), dropped.clone());
    let handler = move || {
        let (enter, tells) = (enter.clone(), Tells(tell.clone()));
        async move {
            let takeover = Takeover::new(move |_| drop(tells));
            enter.notify_one();
            std::future::pending::<()>().await;
            drop(takeover);
        }
    };
    let server = Server::start(Router::new().route("/stream", get(handler)), options());
    let mut client = server.connect().await;
    client.write_all(STREAM.as_bytes()).await.unwrap();
    soon(entered.notified()).await;
    drop(client);
    soon(dropped.notified()).await;
    server.empty().await;
}

#[tokio::test]
async fn nobody_leaves_before_a_flush_that_came_behind_the_answer() {
    let exit = Exit::default();
    exit.flushed();
    let mut response = Response::new(axum::body::Body::empty());
    response.extensions_mut().insert(Takeover::new(drop));
    let mut answering = Box::pin(exit.unless_leaving(response));
    assert!(answering.as_mut().now_or_never().is_none());
    assert!(exit.open().is_none());
    exit.unflushed();
    assert!(exit.open().is_none());
    exit.flushed();
    assert!(exit.open().is_some());
    assert!(exit.open().is_none() && answering.now_or_never().is_none());
}

#[test]
fn what_concerns_the_connection_is_our_own() {
    let mut response = Response::new(axum::body::Body::empty());
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONNECTION, "keep-alive".parse().unwrap());
    headers.insert(header::CONTENT_LENGTH, "7".parse().unwrap());
    headers.append(header::VARY, "origin".parse().unwrap());
    headers.append(header::VARY, "cookie".parse().unwrap());
    let head = head(&response, &Clock::fixed("1994-11-06T08:49:37Z".parse().unwrap()));
    let expected = "HTTP/1.1 200 OK\r\nvary: origin\r\nvary: cookie\r\ntransfer-encoding: chunked\r\n\
                    connection: close\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
    assert_eq!(head, expected);
}
