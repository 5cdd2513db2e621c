//! A client in Rust: the standard's parser over a plain connection, and now and then a poll.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use client::{
    eventsource::{EventSource, Kind},
    http::{Answer, Api, connect},
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{clients::SILENCE, screen::Screens};

/// The pause where none was asked for, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 1_000..5_000;

/// One client.
pub(crate) struct Client {
    pub(crate) stream: String,
    pub(crate) api: Api,
    pub(crate) edge: SocketAddr,
    pub(crate) screens: Arc<Screens>,
}

impl Client {
    /// Lists, follows, and comes back, until it is dropped.
    pub(crate) async fn run(self) {
        let mut source = EventSource::new(Kind::Standard, "");
        self.list(&mut source).await;
        loop {
            if rand::random() {
                self.poll(&mut source).await;
            }
            // However it ended, the client comes back.
            let _ = self.follow(&mut source).await;
            source.cut();
            let pause = source.retry_ms.unwrap_or_else(|| rand::random_range(PAUSE_MS));
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Lists until it succeeds. The list's cursor counts where there is none yet.
    async fn list(&self, source: &mut EventSource) {
        loop {
            let asked = timeout(SILENCE, self.api.try_call("GET", "/v1/threads", None, &[])).await;
            if let Ok(Ok(Answer { status: StatusCode::OK, body, .. })) = asked {
                let mut report = json!({"stream": self.stream, "listed": body["items"]});
                if source.last_event_id.is_empty() {
                    report["cursor"] = body["cursor"].clone();
                    source.resume_at(body["cursor"].as_str().unwrap());
                }
                return self.screens.note(&report);
            }
            sleep(Duration::from_millis(rand::random_range(PAUSE_MS))).await;
        }
    }

    /// Hops to the other transport for one answer, if there is one.
    async fn poll(&self, source: &mut EventSource) {
        let edge = Api { address: self.edge, ..self.api.clone() };
        let path = format!("/v1/events/poll?wait=1&cursor={}", source.last_event_id);
        let asked = timeout(SILENCE, edge.try_call("GET", &path, None, &[])).await;
        let Ok(Ok(Answer { status: StatusCode::OK, body, .. })) = asked else { return };
        let note = |event: &Value, id: &Value, data: &Value| {
            self.screens.note(&json!({"stream": self.stream, "event": event, "id": id, "data": data}));
        };
        for event in body["events"].as_array().unwrap() {
            note(&event["event"], &event["id"], &event["data"]);
        }
        // Says no more than where the client is now.
        let end = if body["reset"].is_null() { "ping" } else { "reset" };
        note(&json!(end), &body["cursor"], &body["reset"]);
        source.resume_at(body["cursor"].as_str().unwrap());
    }

    /// One connection, to its end.
    async fn follow(&self, source: &mut EventSource) -> io::Result<()> {
        let (mut body, _connection) =
            timeout(SILENCE, self.open(&source.last_event_id)).await.map_err(io::Error::other)??;
        loop {
            let frame = timeout(SILENCE, body.frame()).await.map_err(io::Error::other)?;
            let Some(Ok(frame)) = frame else { return Ok(()) };
            // A chunk may hold several frames, and parts of some.
            for byte in frame.into_data().unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
                source.read(byte);
                for (event, data) in std::mem::take(&mut source.shown) {
                    let data: Value = serde_json::from_str(&data).unwrap();
                    let id = &source.last_event_id;
                    self.screens
                        .note(&json!({"stream": self.stream, "event": event, "id": id, "data": data}));
                    if event == "reset" {
                        self.list(source).await;
                    }
                }
            }
        }
    }

    async fn open(&self, cursor: &str) -> io::Result<(Incoming, AbortOnDropHandle<hyper::Result<()>>)> {
        let (mut sender, connection) = connect(self.edge).await?;
        let token = self.api.token.as_deref().unwrap();
        let request = Request::get("/v1/events")
            .header("host", self.edge.to_string())
            .header("authorization", format!("Bearer {token}"))
            .header("last-event-id", cursor);
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(response.status().to_string()));
        }
        Ok((response.into_body(), connection))
    }
}
