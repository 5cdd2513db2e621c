//! The frames that an edge itself has something to say in, as bytes.

use std::fmt::Display;

use bytes::Bytes;
use domain::{
    cursor::{Cursor, UNREADABLE},
    envelope::News,
    event::EventName,
    frame,
};

use crate::splice::Reset;

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
pub(crate) fn hello(opening: &str, status: Status, ping_s: u64, retry_ms: u32, id: Id) -> Bytes {
    let status = match status {
        Status::Fresh => "fresh",
        Status::Resumed => "resumed",
    };
    let mut out = String::with_capacity(160);
    out.push_str(opening);
    let data = format!(r#"{{"status":"{status}","ping_s":{ping_s}}}"#);
    frame::write_with_retry(&mut out, EventName::Hello, &data, retry_ms, id);
    out.into()
}

/// An event of the inbox at its place.
pub(crate) fn event(news: &News, at: Cursor) -> Bytes {
    let data = news.data.get();
    let mut out = String::with_capacity(data.len() + 96);
    frame::write(&mut out, news.event, data, at);
    out.into()
}

/// A typing event; the cursor stays where it is.
pub(crate) fn typing(data: &str, id: Id) -> Bytes {
    let mut out = String::with_capacity(data.len() + 96);
    frame::write(&mut out, EventName::Typing, data, id);
    out.into()
}

/// A sign of life.
pub(crate) fn ping(id: Id) -> Bytes {
    let mut out = String::with_capacity(64);
    frame::write(&mut out, EventName::Ping, "{}", id);
    out.into()
}

/// The one frame that gives a client another cursor: drop the state and list again.
pub(crate) fn reset(why: Reset, to: Cursor) -> Bytes {
    let mut out = String::with_capacity(96);
    frame::write(&mut out, EventName::Reset, &format!(r#"{{"reason":"{}"}}"#, why.as_str()), to);
    out.into()
}

/// The last frame of a stream that the edge ends. `retry_ms` is there twice, since pages cannot
/// read the field.
pub(crate) fn bye(opening: &str, why: Bye, retry_ms: u32, id: Id) -> Bytes {
    let mut out = String::with_capacity(128);
    out.push_str(opening);
    let data = format!(r#"{{"reason":"{}","retry_ms":{retry_ms}}}"#, why.as_str());
    frame::write_with_retry(&mut out, EventName::Bye, &data, retry_ms, id);
    out.into()
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
        assert_eq!(bytes, expected);
    }

    #[test]
    fn bye_tells_the_page_and_the_browser_when_to_come_back() {
        let bytes = bye("", Bye::Busy, 12_000, Id(None));
        let expected =
            "event: bye\nretry: 12000\ndata: {\"reason\":\"busy\",\"retry_ms\":12000}\nid: 0.0\n\n";
        assert_eq!(bytes, expected);
    }
}
