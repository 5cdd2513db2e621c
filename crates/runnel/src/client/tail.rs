//! `runnel tail`: what an `EventSource` does, on a terminal.

use std::{
    io::{self, ErrorKind, Write as _},
    time::Duration,
};

use anyhow::bail;
use bytes::Bytes;
use domain::{
    frame::{self, ParsedFrame},
    ids::UserId,
};
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};

use super::{Failure, PAUSE_MAX, Server, Session, printable};
use crate::banner;

/// Pause before a new connection until a frame names another.
const RETRY: Duration = Duration::from_secs(3);
/// Shortest pause, whatever the server names: a server that ends each stream at once must not be flooded.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// How long the token of a stream is valid. A new stream has a new one.
const TOKEN_LIFE: Duration = Duration::from_hours(12);
/// Silence after which a stream is dead: an edge pings at least every 30 s.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest frame that is read, in bytes.
const FRAME_BYTES: usize = 256 * 1024;

/// What to print.
#[derive(Debug, clap::Args)]
pub struct TailArgs {
    /// User whose events are printed.
    #[arg(value_parser = UserId::parse)]
    user: UserId,
    /// Print one JSON object a line: {"event", "id", "data"}.
    #[arg(long)]
    json: bool,
    /// Cursor to resume from: the `id` of the last event that you have. Default: only new events.
    #[arg(long, value_parser = |text: &str| HeaderValue::from_str(text))]
    cursor: Option<HeaderValue>,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// Prints the events of a user until the process is stopped.
///
/// # Errors
/// One sentence that says what to do, where no reconnect helps.
pub async fn tail(args: TailArgs) -> anyhow::Result<()> {
    let session = Session::new(&args.server, &args.user)?;
    let mut tail = Tail { cursor: args.cursor, retry: RETRY, json: args.json, has_connected: false };
    loop {
        match tail.follow(&session).await? {
            End::Finished => return Ok(()),
            End::Disconnected => {}
        }
        let pause = tail.retry.clamp(RETRY_MIN, PAUSE_MAX);
        banner::reconnecting(pause);
        sleep(pause).await;
    }
}

/// Where a tail is between two connections.
struct Tail {
    cursor: Option<HeaderValue>,
    retry: Duration,
    json: bool,
    has_connected: bool,
}

/// How a connection ended.
enum End {
    /// A new connection helps.
    Disconnected,
    /// The reader of the output has gone.
    Finished,
}

impl Tail {
    /// One connection, from its request to its end.
    async fn follow(&mut self, session: &Session) -> anyhow::Result<End> {
        let mut request = session
            .request(Method::GET, "/v1/events", TOKEN_LIFE)
            .header(header::ACCEPT, "text/event-stream");
        if let Some(cursor) = &self.cursor {
            request = request.header("last-event-id", cursor);
        }
        let request = request.body(Full::default()).expect("a path and headers of our own make a request");
        let answer = match session.send(request).await {
            Ok(answer) => answer,
            Err(Failure::Unreachable(_) | Failure::Broken(_)) if self.has_connected => {
                return Ok(End::Disconnected);
            }
            Err(Failure::Refused(refusal)) if self.has_connected && refusal.is_passing() => {
                self.retry = refusal.retry_after.unwrap_or(self.retry);
                return Ok(End::Disconnected);
            }
            Err(failure) => return Err(session.explain(failure)),
        };
        if answer.status() == StatusCode::NO_CONTENT {
            bail!(
                "the sessions of `{}` were revoked: the server accepts no token issued before",
                session.user
            );
        }
        let is_stream = |value: &HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
        if !answer.headers().get(header::CONTENT_TYPE).is_some_and(is_stream) {
            bail!("the server at http://{} is not Runnel: name another address with --url", session.server);
        }
        self.has_connected = true;
        match self.print(answer.into_body()).await {
            Ok(()) => Ok(End::Disconnected),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(End::Finished),
            Err(error) => Err(error.into()),
        }
    }

    /// Prints the frames of a stream until it ends, breaks or falls silent.
    async fn print(&mut self, mut body: Incoming) -> io::Result<()> {
        let mut unread = Vec::new();
        while let Ok(Some(Ok(part))) = timeout(SILENCE, body.frame()).await {
            unread.extend_from_slice(&part.into_data().unwrap_or_else(|_| Bytes::new()));
            while let Some(block) = frame::next_block(&mut unread) {
                self.frame(&String::from_utf8_lossy(&block))?;
            }
            if unread.len() > FRAME_BYTES {
                return Ok(());
            }
        }
        Ok(())
    }

    fn frame(&mut self, block: &str) -> io::Result<()> {
        let Some(said) = frame::parse(block) else { return Ok(()) };
        if let Some(retry_ms) = said.retry_ms {
            self.retry = Duration::from_millis(retry_ms);
        }
        // As an EventSource does: the id of every frame counts, an empty one too.
        self.cursor = Some(said.id).filter(|id| !id.is_empty()).and_then(|id| HeaderValue::from_str(id).ok());
        if said.event == "ping" {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", printable(&line(&said)))?;
        } else {
            out.write_all(printable(block.strip_prefix(frame::OPENING).unwrap_or(block)).as_bytes())?;
        }
        out.flush()
    }
}

/// A frame as one line of JSON.
fn line(said: &ParsedFrame<'_>) -> String {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        event: &'a str,
        id: &'a str,
        data: &'a RawValue,
    }
    let data = serde_json::from_str(said.data).unwrap_or(RawValue::NULL);
    serde_json::to_string(&Line { event: said.event, id: said.id, data }).expect("strings serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_line_of_json() {
        let block = ":\nevent: hello\nretry: 4821\ndata: {\"status\":\"fresh\"}\nid: k.1\n\n";
        let said = frame::parse(block).unwrap();
        assert_eq!(said.retry_ms, Some(4821));
        assert_eq!(line(&said), r#"{"event":"hello","id":"k.1","data":{"status":"fresh"}}"#);
    }

    #[test]
    fn retry_and_cursor_come_from_the_frames() {
        let mut tail = Tail { cursor: None, retry: RETRY, json: true, has_connected: true };
        tail.frame("event: ping\ndata: {}\nid: k.2\n\n").unwrap();
        assert_eq!((tail.cursor.as_ref().unwrap().to_str().unwrap(), tail.retry), ("k.2", RETRY));
        tail.frame("event: ping\nretry: 700\ndata: {}\nid: \n\n").unwrap();
        assert_eq!((tail.cursor, tail.retry), (None, Duration::from_millis(700)));
    }
}
