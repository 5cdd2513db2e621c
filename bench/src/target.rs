//! How a server is asked for a stream, and how it is told something.

use std::{fmt::Write as _, net::SocketAddr};

use crate::mqtt;

/// A server under load.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) dialect: Dialect,
    /// Where its streams are: more than one where several edges serve.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// What a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `GET /sub?topic=…`, `POST /pub?topic=…`.
    Query,
    /// `GET /sub/…`, `POST /pub/…`.
    Path,
    /// MQTT 3.1.1, `QoS` 1 both ways.
    Mqtt,
    /// Runnel's stream, which is told by the stub.
    Runnel,
}

impl Target {
    /// Asks for a stream, and where it left off.
    pub(crate) fn subscribe(&self, topic: &str, token: &str, last: &[u8]) -> Vec<u8> {
        let path = match self.dialect {
            Dialect::Query => format!("/sub?topic={topic}"),
            Dialect::Path => format!("/sub/{topic}"),
            Dialect::Runnel => "/v1/events".to_owned(),
            Dialect::Mqtt => unreachable!("MQTT has no paths"),
        };
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n");
        if !last.is_empty() {
            let _ = write!(request, "Last-Event-ID: {}\r\n", String::from_utf8_lossy(last));
        }
        if self.dialect == Dialect::Runnel {
            let _ = write!(request, "Authorization: Bearer {token}\r\n");
        }
        request += "\r\n";
        request.into_bytes()
    }

    /// Says something.
    pub(crate) fn publish(&self, topic: &str, line: &str) -> Vec<u8> {
        let path = match self.dialect {
            Dialect::Query => format!("/pub?topic={topic}"),
            Dialect::Path => format!("/pub/{topic}"),
            Dialect::Mqtt => return mqtt::publish(topic, line.as_bytes()),
            Dialect::Runnel => unreachable!("the stub tells Runnel"),
        };
        let size = line.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        format!("{head}Content-Length: {size}\r\n\r\n{line}").into_bytes()
    }
}
