//! Frames as bytes: what an edge itself has something to say in, and the events of an inbox.

use std::sync::Arc;

use bytes::Bytes;
use domain::{cursor::Cursor, event::EventName, frame};

use crate::{ring::Shown, splice::Reset};

/// Room for the size of a chunk, to be filled in. A frame is shorter than 16 MiB: the row that it
/// comes from is at most 400 KB (DynamoDB developer guide, "Quotas").
const SIZE: &[u8] = b"000000\r\n";
/// The end of a chunk.
const END: &[u8] = b"\r\n";
/// The lines of a ping: what a stream at rest says most.
const PING: &str = "event: ping\ndata: {}\n";

/// A frame: lines that are the same for all who are told, and an id for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    lines: Lines,
    /// Absent for the comment at the beginning of a stream.
    id: Option<Id>,
}

/// What stands above the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Always the same.
    Fixed(&'static str),
    /// This frame's own.
    Own(String),
    /// An event's, which others are shown as well.
    Shown(Arc<Shown>),
}

impl Lines {
    fn as_str(&self) -> &str {
        match self {
            Self::Fixed(lines) => lines,
            Self::Own(lines) => lines,
            Self::Shown(shown) => &shown.lines,
        }
    }
}

impl From<String> for Lines {
    fn from(lines: String) -> Self {
        Self::Own(lines)
    }
}

impl Frame {
    /// A frame with an id under lines that [`frame::lines`] wrote.
    pub(crate) fn new(lines: impl Into<Lines>, id: Id) -> Self {
        Self { lines: lines.into(), id: Some(id) }
    }

    /// The first bytes of a stream that has nothing else to say yet.
    pub(crate) fn opening() -> Self {
        Self { lines: Lines::Fixed(frame::OPENING), id: None }
    }

    /// Writes it as a chunk of an HTTP/1.1 body, for a socket.
    pub(crate) fn write_chunk(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(SIZE);
        self.write(out);
        let mut size = out.len() - begin - SIZE.len();
        for digit in out[begin..begin + SIZE.len() - END.len()].iter_mut().rev() {
            *digit = b"0123456789abcdef"[size % 16];
            size /= 16;
        }
        out.extend_from_slice(END);
    }

    /// Its text, for whoever makes chunks of it, or none.
    pub(crate) fn text(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.lines.as_str().len() + 64);
        self.write(&mut out);
        out.into()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.lines.as_str().as_bytes());
        if let Some(Id(id)) = self.id {
            frame::end(out, id);
        }
    }
}

/// Why an edge ends a stream. The client reads it in `bye`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bye {
    /// The edge stops; another one takes over.
    Drain,
    /// The credentials have run out: fetch new ones.
    Expired,
    /// The user's credentials were revoked.
    Revoked,
    /// The ticket is unknown, spent or too old: fetch a new one.
    Ticket,
    /// Too many streams of the user, or the service cannot tell who this is just now.
    Busy,
    /// The stream has lived its time; a fleet rebalances so.
    Age,
}

impl Bye {
    /// Every reason, for metrics.
    pub const ALL: [Self; 6] =
        [Self::Drain, Self::Expired, Self::Revoked, Self::Ticket, Self::Busy, Self::Age];

    /// The reason as the client reads it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Ticket => "ticket",
            Self::Busy => "busy",
            Self::Age => "age",
        }
    }
}

/// The id of a frame: the stream's own cursor, if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(
    /// The cursor, or none that could be read.
    pub Option<Cursor>,
);

/// Whether a client brought a cursor along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is new here.
    Fresh,
    /// It goes on where it was, or is about to be reset.
    Resumed,
}

/// The first bytes of a stream, and its hello.
pub(crate) fn hello(opening: &str, status: Status, ping_s: u64, retry_ms: u32, id: Id) -> Frame {
    let status = match status {
        Status::Fresh => "fresh",
        Status::Resumed => "resumed",
    };
    let data = format!(r#"{{"status":"{status}","ping_s":{ping_s}}}"#);
    Frame::new(opening.to_owned() + &frame::lines_with_retry(EventName::Hello, &data, retry_ms), id)
}

/// A sign of life.
pub(crate) fn ping(id: Id) -> Frame {
    Frame::new(Lines::Fixed(PING), id)
}

/// The one frame that gives a client another cursor: drop the state and list again.
pub(crate) fn reset(why: Reset, to: Cursor) -> Frame {
    let data = format!(r#"{{"reason":"{}"}}"#, why.as_str());
    Frame::new(frame::lines(EventName::Reset, &data), Id(Some(to)))
}

/// The last frame of a stream that the edge ends. `retry_ms` is there twice, since pages cannot
/// read the field.
pub(crate) fn bye(opening: &str, why: Bye, retry_ms: u32, id: Id) -> Frame {
    let data = format!(r#"{{"reason":"{}","retry_ms":{retry_ms}}}"#, why.as_str());
    Frame::new(opening.to_owned() + &frame::lines_with_retry(EventName::Bye, &data, retry_ms), id)
}

#[cfg(test)]
mod tests {
    use domain::cursor::Gen;

    use super::*;

    const AT: Cursor = Cursor { r#gen: Gen(0), seq: 41 };

    #[test]
    fn hello_comes_behind_the_comment_and_with_the_clients_own_cursor() {
        let bytes = hello(frame::OPENING, Status::Resumed, 15, 4821, Id(Some(AT)));
        let expected = ":\nevent: hello\nretry: 4821\ndata: {\"status\":\"resumed\",\"ping_s\":15}\nid: 0000000000000.41\n\n";
        assert_eq!(bytes.text(), expected);
        let mut chunk = Vec::new();
        bytes.write_chunk(&mut chunk);
        assert_eq!(chunk, format!("{:06x}\r\n{expected}\r\n", expected.len()).as_bytes());
    }

    #[test]
    fn a_chunk_of_any_length_says_its_length() {
        let mut wire = b"before".to_vec();
        for length in [1, 15, 0xfff, 0x1_0000, 0x12_3456] {
            let text = Frame::new("x".repeat(length), Id(Some(AT))).text();
            wire.truncate(6);
            Frame::new("x".repeat(length), Id(Some(AT))).write_chunk(&mut wire);
            let chunk = std::str::from_utf8(&wire).unwrap().strip_prefix("before").unwrap();
            let (size, rest) = chunk.split_once("\r\n").unwrap();
            assert_eq!(usize::from_str_radix(size, 16).unwrap(), text.len());
            assert_eq!(rest.strip_suffix("\r\n").unwrap(), text);
        }
    }

    #[test]
    fn a_ping_is_like_any_frame() {
        assert_eq!(ping(Id(None)).text(), Frame::new(frame::lines(EventName::Ping, "{}"), Id(None)).text());
    }

    #[test]
    fn bye_tells_the_page_and_the_browser_when_to_come_back() {
        let bytes = bye("", Bye::Busy, 12_000, Id(None));
        let expected =
            "event: bye\nretry: 12000\ndata: {\"reason\":\"busy\",\"retry_ms\":12000}\nid: 0.0\n\n";
        assert_eq!(bytes.text(), expected);
    }
}
