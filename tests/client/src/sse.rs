//! An EventSource that shows everything, and fails the test on a frame of another form.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::{PATIENCE, http::connect};

/// An open stream. Dropping it cuts the connection.
#[derive(Debug)]
pub struct Stream {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    _connection: AbortOnDropHandle<Result<(), hyper::Error>>,
}

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// `event`.
    pub event: String,
    /// `data`.
    pub data: Value,
    /// `id`.
    pub id: String,
    /// `retry`.
    pub retry: Option<u32>,
}

impl Frame {
    /// The seq in the id.
    pub fn seq(&self) -> u64 {
        self.id.split_once('.').unwrap().1.parse().unwrap()
    }
}

impl Stream {
    /// Opens a stream, with `Last-Event-ID` where there is a cursor.
    pub async fn open(edge: SocketAddr, token: &str, cursor: Option<&str>) -> Self {
        let mut headers = vec![("authorization", format!("Bearer {token}"))];
        headers.extend(cursor.map(|cursor| ("last-event-id", cursor.to_owned())));
        Self::request(edge, "/v1/events", &headers).await
    }

    /// Opens a stream with any path and headers.
    pub async fn request(edge: SocketAddr, path: &str, headers: &[(&str, String)]) -> Self {
        let (mut sender, connection) = connect(edge).await.unwrap();
        let mut request = Request::get(path).header("host", edge.to_string());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body, _connection: connection }
    }

    /// The next bytes; none at the end.
    pub async fn bytes(&mut self) -> Option<String> {
        let frame =
            timeout(PATIENCE, self.body.frame()).await.expect("the stream says something in time")?.ok()?;
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }

    /// The next frame, whatever it is; none at the end. A long frame may arrive in parts.
    pub async fn any(&mut self) -> Option<Frame> {
        let mut block = String::new();
        while !block.ends_with("\n\n") {
            block.push_str(&self.bytes().await?);
            if block == ":\n" {
                block.clear();
            }
        }
        Some(parse(block.strip_prefix(":\n").unwrap_or(&block)))
    }

    /// The next frame that is no ping.
    pub async fn next(&mut self) -> Frame {
        let next = async {
            loop {
                let frame = self.any().await.expect("the stream goes on");
                if frame.event != "ping" {
                    return frame;
                }
            }
        };
        // Pings would keep a wait for each frame alone from ever ending.
        timeout(PATIENCE, next).await.expect("more than pings come in time")
    }

    /// The next frame, which has to be this event.
    pub async fn expect(&mut self, event: &str) -> Frame {
        let frame = self.next().await;
        assert_eq!(frame.event, event, "{frame:?}");
        frame
    }
}

/// Reads a block that holds exactly one frame, its id last.
pub fn parse(block: &str) -> Frame {
    let block = block.strip_suffix("\n\n").expect("a frame ends with a blank line");
    let mut frame = Frame { event: String::new(), data: Value::Null, id: String::new(), retry: None };
    let lines: Vec<&str> = block.split('\n').collect();
    assert!(lines.last().is_some_and(|line| line.starts_with("id: ")), "the id comes last: {block:?}");
    for line in lines {
        match line.split_once(": ").expect("a field and its value") {
            ("event", name) => name.clone_into(&mut frame.event),
            ("data", data) => frame.data = serde_json::from_str(data).unwrap(),
            ("id", id) => id.clone_into(&mut frame.id),
            ("retry", retry) => frame.retry = Some(retry.parse().unwrap()),
            (other, _) => panic!("no field `{other}` in a frame"),
        }
    }
    frame
}
