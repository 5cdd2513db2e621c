//! A plain HTTP client: one connection a request, status and JSON back.

use std::{error::Error, io, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Body,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// The API, as one user uses it.
#[derive(Debug, Clone)]
pub struct Api {
    /// Where it is.
    pub address: SocketAddr,
    /// Whom it speaks for.
    pub token: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, if it is JSON.
    pub body: Value,
}

impl Answer {
    /// The name of the problem that the answer is; empty if it is none.
    pub fn problem(&self) -> &str {
        let url = self.body["type"].as_str().unwrap_or_default();
        let page = "https://github.com/runnel-chat/runnel/blob/main/docs/PROBLEMS.md#";
        url.strip_prefix(page).unwrap_or_default()
    }
}

impl Api {
    /// Sends a request with a JSON body.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.try_call(method, path, body, headers).await.unwrap()
    }

    /// The same where no answer may come.
    pub async fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> io::Result<Answer> {
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.address.to_string());
        }
        if !bytes.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(bytes)).unwrap()).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> io::Result<Answer> {
        let (parts, bytes) = exchange(self.address, request).await?;
        let (status, headers) = (parts.status, parts.headers);
        Ok(Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None, &[]).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body), &[]).await
    }

    /// Creates a thread and answers with its id.
    pub async fn thread(&self, body: Value) -> String {
        let made = self.post("/v1/threads", body).await;
        assert!(made.status.is_success(), "{made:?}");
        made.body["id"].as_str().unwrap().to_owned()
    }

    /// Says something, and answers with the message.
    pub async fn say(&self, thread: &str, text: &str) -> Value {
        let said =
            self.post(&format!("/v1/threads/{thread}/messages"), serde_json::json!({"text": text})).await;
        assert_eq!(said.status, StatusCode::CREATED, "{said:?}");
        said.body
    }
}

/// What is served under a path, as text.
pub async fn text(address: SocketAddr, path: &str) -> String {
    let request = Request::get(path).header("host", address.to_string());
    let (_, bytes) = exchange(address, request.body(Full::default()).unwrap()).await.unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

/// A connection of its own. Dropping the handle hangs up.
///
/// # Errors
/// If nobody listens there.
pub async fn connect<B>(
    address: SocketAddr,
) -> io::Result<(SendRequest<B>, AbortOnDropHandle<hyper::Result<()>>)>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let socket = TcpStream::connect(address).await?;
    let (sender, connection) = handshake(TokioIo::new(socket)).await.map_err(io::Error::other)?;
    Ok((sender, AbortOnDropHandle::new(TaskTracker::new().spawn(connection))))
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> io::Result<(http::response::Parts, Bytes)> {
    // Whoever no longer waits for the answer hangs up.
    let (mut sender, _connection) = connect(address).await?;
    let (parts, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    Ok((parts, body.collect().await.map_err(io::Error::other)?.to_bytes()))
}
