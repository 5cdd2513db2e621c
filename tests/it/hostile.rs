//! Requests for a stream that no browser sends: on the bytes of a socket.

use std::time::Duration;

use sse_edge::config::Topology;
use tests::{raw::Raw, world::World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// A request for bob's stream, with these words in its head.
fn request(world: &World, line: &str, more: &str) -> String {
    format!("{line}\r\nhost: edge\r\nauthorization: Bearer {}\r\n{more}\r\n", world.token("bob"))
}

const GET: &str = "GET /v1/events HTTP/1.1";

/// How the body of a stream begins whose socket has left hyper: hyper writes no noughts.
const OURS: &str = "\r\n\r\n00";

/// What a stream says whose socket has left hyper, up to its hello.
fn is_ours(got: &str) {
    assert!(got.contains(OURS), "{got}");
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    for line in [
        "HTTP/1.1 200 OK",
        "content-type: text/event-stream",
        "transfer-encoding: chunked",
        "connection: close",
    ] {
        assert!(head.lines().any(|each| each == line), "{line}: {head}");
    }
    for name in
        ["date: ", "x-request-id: ", "x-content-type-options: ", "cache-control: no-cache, no-transform"]
    {
        assert!(head.lines().any(|each| each.starts_with(name)), "{name}: {head}");
    }
    let (size, rest) = body.split_once("\r\n").unwrap();
    let size = usize::from_str_radix(size, 16).unwrap();
    assert!(rest[..size].starts_with(":\nevent: hello\nretry: "), "{rest}");
    assert_eq!(&rest[size - 2..size + 2], "\n\n\r\n");
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_opens_a_stream() {
    let world = World::start(Topology::PerEdge, 1).await;
    let mut raw = Raw::open(world.edges[0].address).await;
    for byte in request(&world, GET, "").chars() {
        raw.send(&byte.to_string()).await;
        tokio::task::yield_now().await;
    }
    raw.until("event: hello").await;
    is_ours(&raw.got);
}

#[tokio::test]
async fn a_stream_may_be_the_last_of_several_requests() {
    let world = World::start(Topology::PerEdge, 1).await;
    let mut raw = Raw::open(world.edges[0].address).await;
    let health = "GET /v1/health HTTP/1.1\r\nhost: edge\r\n\r\n";
    let lost = "POST /v1/events HTTP/1.1\r\nhost: edge\r\ncontent-length: 3\r\n\r\nabc";
    raw.send(&format!("{health}{lost}{}", request(&world, GET, ""))).await;
    raw.until("event: hello").await;
    assert_eq!(raw.statuses().len(), 3);
    assert!(raw.got.contains(r#"{"status":"ok"}"#) && raw.got.contains("HTTP/1.1 405 "));
    is_ours(&raw.got[raw.got.rfind("HTTP/1.1 ").unwrap()..]);
}

#[tokio::test]
async fn nothing_that_is_sent_behind_the_request_is_ever_read() {
    let world = World::start(Topology::PerEdge, 1).await;
    let health = "GET /v1/health HTTP/1.1\r\nhost: edge\r\n\r\n";
    for behind in [health, "x", "\r\n"] {
        let mut raw = Raw::open(world.edges[0].address).await;
        raw.send(&format!("{}{behind}", request(&world, GET, ""))).await;
        raw.end().await;
        assert_eq!(raw.got, "", "with {behind:?}");
        let mut raw = Raw::open(world.edges[0].address).await;
        raw.send(&request(&world, GET, "")).await;
        raw.until("event: hello").await;
        raw.send(behind).await;
        raw.end().await;
        assert_eq!(raw.statuses().len(), 1, "with {behind:?} later: {}", raw.got);
        world.edges[0].streams(0).await;
    }
}

#[tokio::test]
async fn a_client_that_has_said_all_it_will_say_is_let_go() {
    let world = World::start(Topology::PerEdge, 1).await;
    let mut raw = Raw::open(world.edges[0].address).await;
    raw.send(&request(&world, GET, "")).await;
    raw.until("event: hello").await;
    raw.socket.shutdown().await.unwrap();
    raw.end().await;
    world.edges[0].streams(0).await;
    assert!(world.edges[0].metrics().contains("edge_closes_total{reason=\"gone\"} 1"));
}

#[tokio::test]
async fn a_request_that_could_be_read_in_two_ways_leaves_its_socket_in_hyper() {
    let world = World::start(Topology::PerEdge, 1).await;
    let chunked = "transfer-encoding: chunked\r\n";
    let smuggled = "GET /v1/health HTTP/1.1\r\nhost: edge\r\n\r\n";
    for (more, body) in [
        ("content-length: 5\r\n".to_owned(), "hello".to_owned()),
        (chunked.to_owned(), "0\r\n\r\n".to_owned()),
        (format!("content-length: {}\r\n{chunked}", 5 + smuggled.len()), format!("0\r\n\r\n{smuggled}")),
    ] {
        let mut raw = Raw::open(world.edges[0].address).await;
        raw.send(&format!("{}{body}", request(&world, GET, &more))).await;
        raw.until("event: hello").await;
        assert!(!raw.got.contains(OURS), "{}", raw.got);
        // A stream has no end that a second answer could come behind.
        timeout(Duration::from_millis(200), raw.socket.read_u8()).await.expect_err("nothing more is said");
        assert_eq!(raw.statuses().len(), 1, "{more:?}");
    }
}

#[tokio::test]
async fn who_asks_for_another_protocol_or_for_leave_to_go_on_gets_a_stream_and_nothing_else() {
    let world = World::start(Topology::PerEdge, 1).await;
    let websocket = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let expect = "expect: 100-continue\r\n";
    let with_body = "expect: 100-continue\r\ncontent-length: 5\r\n";
    for more in [websocket, "connection: upgrade\r\nupgrade: h2c\r\n", expect, with_body] {
        let mut raw = Raw::open(world.edges[0].address).await;
        raw.send(&request(&world, GET, more)).await;
        raw.until("event: hello").await;
        assert_eq!(raw.statuses().len(), 1, "no 101 and no 100: {}", raw.got);
        assert!(raw.got.starts_with("HTTP/1.1 200 OK\r\n"), "{more:?}: {}", raw.got);
    }
}

#[tokio::test]
async fn what_is_no_request_or_asks_for_no_stream_gets_none() {
    let world = World::start(Topology::PerEdge, 1).await;
    let (folded, spaced) = ("x: a\r\n b\r\n", "x : a\r\n");
    for (head, status) in [
        (request(&world, GET, folded), "400"),
        (request(&world, GET, spaced), "400"),
        (request(&world, GET, "content-length: 1\r\ncontent-length: 2\r\n"), "400"),
        (request(&world, "HEAD /v1/events HTTP/1.1", "connection: close\r\n"), "405"),
        (request(&world, "POST /v1/events HTTP/1.1", "connection: close\r\n"), "405"),
        (request(&world, "GET /v1/events HTTP/2.0", ""), "400"),
    ] {
        let mut raw = Raw::open(world.edges[0].address).await;
        raw.send(&head).await;
        raw.end().await;
        assert!(raw.got.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}: {}", raw.got);
        assert_eq!(raw.statuses().len(), 1);
        assert!(!raw.got.contains("event: "), "{}", raw.got);
        assert_eq!(world.edges[0].edge.streams(), 0);
    }
}

#[tokio::test]
async fn http_1_0_gets_a_stream_without_chunks() {
    let world = World::start(Topology::PerEdge, 1).await;
    let mut raw = Raw::open(world.edges[0].address).await;
    raw.send(&request(&world, "GET /v1/events HTTP/1.0", "")).await;
    raw.until("event: hello").await;
    let (head, body) = raw.got.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(body.starts_with(":\nevent: hello\nretry: "), "{body}");
    drop(raw);
    world.edges[0].streams(0).await;
}
