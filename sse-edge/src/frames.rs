//! Frames as bytes: what an edge itself has something to say in, and the events of an inbox.

use std::fmt::Display;

use bytes::Bytes;
use domain::{
    cursor::{Cursor, UNREADABLE},
    envelope::News,
    event::EventName,
    frame,
};

use crate::splice::Reset;

/// Room for the size of a chunk, to be filled in: frames are shorter than 64 KiB.
const SIZE: &str = "0000\r\n";
/// The end of a chunk.
const END: &str = "\r\n";

/// A frame, encoded once for all who ship it: as a chunk of an HTTP/1.1 body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame(Bytes);

impl Frame {
    /// The frame that `write` writes, in room for about `bytes`.
    fn new(bytes: usize, write: impl FnOnce(&mut String)) -> Self {
        let mut chunk = String::with_capacity(SIZE.len() + bytes + END.len());
        chunk.push_str(SIZE);
        write(&mut chunk);
        let size = chunk.len() - SIZE.len();
        chunk.push_str(END);
        chunk.replace_range(..SIZE.len() - END.len(), &format!("{size:04x}"));
        Self(chunk.into())
    }

    /// The first bytes of a stream that has nothing else to say yet.
    pub(crate) fn opening() -> Self {
        Self::new(frame::OPENING.len(), |out| out.push_str(frame::OPENING))
    }

    /// With its size in front, for a socket.
    pub(crate) fn into_chunk(self) -> Bytes {
        self.0
    }

    /// Without, for whoever makes chunks of it, or none.
    pub(crate) fn text(&self) -> Bytes {
        let begin = self.0.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.0.slice(begin..self.0.len() - END.len())
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

impl Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(cursor) => cursor.fmt(f),
            None => f.write_str(UNREADABLE),
        }
    }
}

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
    Frame::new(128, |out| {
        out.push_str(opening);
        let data = format!(r#"{{"status":"{status}","ping_s":{ping_s}}}"#);
        frame::write_with_retry(out, EventName::Hello, &data, retry_ms, id);
    })
}

/// An event of the inbox at its place.
pub(crate) fn event(news: &News, at: Cursor) -> Frame {
    let data = news.data.get();
    Frame::new(data.len() + 96, |out| frame::write(out, news.event, data, at))
}

/// A typing event; the cursor stays where it is.
pub(crate) fn typing(data: &str, id: Id) -> Frame {
    Frame::new(data.len() + 96, |out| frame::write(out, EventName::Typing, data, id))
}

/// A sign of life.
pub(crate) fn ping(id: Id) -> Frame {
    Frame::new(64, |out| frame::write(out, EventName::Ping, "{}", id))
}

/// The one frame that gives a client another cursor: drop the state and list again.
pub(crate) fn reset(why: Reset, to: Cursor) -> Frame {
    let data = format!(r#"{{"reason":"{}"}}"#, why.as_str());
    Frame::new(96, |out| frame::write(out, EventName::Reset, &data, to))
}

/// The last frame of a stream that the edge ends. `retry_ms` is there twice, since pages cannot
/// read the field.
pub(crate) fn bye(opening: &str, why: Bye, retry_ms: u32, id: Id) -> Frame {
    Frame::new(128, |out| {
        out.push_str(opening);
        let data = format!(r#"{{"reason":"{}","retry_ms":{retry_ms}}}"#, why.as_str());
        frame::write_with_retry(out, EventName::Bye, &data, retry_ms, id);
    })
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
        assert_eq!(bytes.into_chunk(), format!("{:04x}\r\n{expected}\r\n", expected.len()));
    }

    #[test]
    fn a_chunk_of_any_length_says_its_length() {
        for length in [1, 15, 0xfff, 0x1_0000, 0x12_3456] {
            let text = "x".repeat(length);
            let frame = Frame::new(0, |out| out.push_str(&text));
            assert_eq!(frame.text(), text);
            let chunk = String::from_utf8(frame.into_chunk().into()).unwrap();
            let (size, rest) = chunk.split_once("\r\n").unwrap();
            assert_eq!(usize::from_str_radix(size, 16).unwrap(), length);
            assert_eq!(rest.strip_suffix("\r\n").unwrap(), text);
        }
    }

    #[test]
    fn bye_tells_the_page_and_the_browser_when_to_come_back() {
        let bytes = bye("", Bye::Busy, 12_000, Id(None));
        let expected =
            "event: bye\nretry: 12000\ndata: {\"reason\":\"busy\",\"retry_ms\":12000}\nid: 0.0\n\n";
        assert_eq!(bytes.text(), expected);
    }
}
