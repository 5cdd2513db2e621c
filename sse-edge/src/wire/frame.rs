//! The frames of a stream, and how they are written.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    cursor::Cursor,
    event::EventName,
    frame::{self, Id},
};

use super::{
    encoded_event::EncodedEvent,
    reason::{CloseReason, ResetReason},
};

/// Room for the size of a chunk, to be filled in. A frame is shorter than 16 MiB: its row has at most 400 KB
/// (DynamoDB developer guide, "Quotas").
const SIZE: &[u8] = b"000000\r\n";
/// The end of a chunk.
const END: &[u8] = b"\r\n";
/// The lines of a ping: most frames of an idle stream.
const PING: &str = "event: ping\ndata: {}\n";

/// One SSE block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The comment at the beginning of a stream comes before it.
    opens: bool,
    pub(crate) content: Content,
    id: Id,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing yet: the comment alone, with no id.
    Opening,
    /// The first frame of a stream.
    Hello {
        /// What the client brought.
        status: Status,
        /// Seconds between two pings.
        ping_s: u64,
        /// Milliseconds after which the client reconnects.
        retry_ms: u32,
    },
    /// An event of the inbox, or an ephemeral one.
    Event(Arc<EncodedEvent>),
    /// A sign of life.
    Ping,
    /// The client has to drop its state and list again. The only frame that gives a client another cursor.
    Reset(ResetReason),
    /// The last frame of a stream that the edge ends.
    Bye {
        /// Why.
        why: CloseReason,
        /// Milliseconds after which the client reconnects. It is in `data` too: a page cannot read the field.
        retry_ms: u32,
    },
}

/// What a client brought, and what is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It brought none.
    Fresh,
    /// It goes on at its cursor.
    Resumed,
    /// Its cursor is of no use: a reset follows.
    Reset,
}

impl Frame {
    /// The first bytes of a stream that has no frame to write yet.
    pub(crate) fn opening() -> Self {
        Self { opens: true, content: Content::Opening, id: Id::Empty }
    }

    pub(crate) fn new(content: Content, id: Id) -> Self {
        Self { opens: false, content, id }
    }

    /// The frame behind the comment at the beginning of a stream, if it is the first one.
    pub(crate) fn opening_if(self, first: bool) -> Self {
        Self { opens: first, ..self }
    }

    /// A ping.
    pub(crate) fn ping(id: Id) -> Self {
        Self::new(Content::Ping, id)
    }

    /// Resets a client to `to`.
    pub(crate) fn reset(why: ResetReason, to: Cursor) -> Self {
        Self::new(Content::Reset(why), Id::At(to))
    }

    /// Its id; none for a comment.
    pub(crate) fn id(&self) -> Option<Id> {
        (self.content != Content::Opening).then_some(self.id)
    }

    /// Writes it as a chunk of an HTTP/1.1 body.
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

    /// Its text, for a writer that makes the chunks itself.
    pub(crate) fn text(&self) -> Bytes {
        let lines = if let Content::Event(event) = &self.content { event.lines().len() } else { 0 };
        let mut out = Vec::with_capacity(lines + 128);
        self.write(&mut out);
        out.into()
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.opens {
            out.extend_from_slice(frame::OPENING.as_bytes());
        }
        let mut write = |lines: &str| out.extend_from_slice(lines.as_bytes());
        match &self.content {
            Content::Opening => return,
            Content::Event(event) => write(event.lines()),
            Content::Ping => write(PING),
            Content::Reset(why) => write(&frame::lines(EventName::Reset, &reset_data(*why))),
            Content::Hello { status, ping_s, retry_ms } => {
                let data = format!(r#"{{"status":"{}","ping_s":{ping_s}}}"#, status.as_str());
                write(&frame::lines_with_retry(EventName::Hello, &data, *retry_ms));
            }
            Content::Bye { why, retry_ms } => {
                let data = format!(r#"{{"reason":"{}","retry_ms":{retry_ms}}}"#, why.as_str());
                write(&frame::lines_with_retry(EventName::Bye, &data, *retry_ms));
            }
        }
        frame::end(out, self.id);
    }
}

/// The data of a reset.
pub(crate) fn reset_data(why: ResetReason) -> String {
    format!(r#"{{"reason":"{}"}}"#, why.as_str())
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Resumed => "resumed",
            Self::Reset => "reset",
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{cursor::Gen, envelope::News, sequence::InboxSeq};

    use super::*;

    const AT: Cursor = Cursor { r#gen: Gen(0), seq: InboxSeq(41) };

    fn event(text: &str) -> Frame {
        let news = News::new(EventName::Message, format!("\"{text}\""));
        Frame::new(Content::Event(EncodedEvent::new(&news, None)), Id::At(AT))
    }

    #[test]
    fn hello_comes_behind_the_comment_and_with_the_clients_own_cursor() {
        let hello = Content::Hello { status: Status::Resumed, ping_s: 15, retry_ms: 4821 };
        let hello = Frame::new(hello, Id::At(AT)).opening_if(true);
        let expected = ":\nevent: hello\nretry: 4821\ndata: {\"status\":\"resumed\",\"ping_s\":15}\nid: 0000000000000.41\n\n";
        assert_eq!(hello.text(), expected);
        let mut chunk = Vec::new();
        hello.write_chunk(&mut chunk);
        assert_eq!(chunk, format!("{:06x}\r\n{expected}\r\n", expected.len()).as_bytes());
    }

    #[test]
    fn a_chunk_of_any_length_says_its_length() {
        let mut wire = b"before".to_vec();
        for length in [1, 15, 0xfff, 0x1_0000, 0x12_3456] {
            let frame = event(&"x".repeat(length));
            wire.truncate(6);
            frame.write_chunk(&mut wire);
            let chunk = std::str::from_utf8(&wire).unwrap().strip_prefix("before").unwrap();
            let (size, rest) = chunk.split_once("\r\n").unwrap();
            assert_eq!(usize::from_str_radix(size, 16).unwrap(), frame.text().len());
            assert_eq!(rest.strip_suffix("\r\n").unwrap(), frame.text());
        }
    }

    #[test]
    fn a_ping_is_like_any_frame() {
        let lines = frame::lines(EventName::Ping, "{}");
        assert_eq!(Frame::ping(Id::Unreadable).text(), format!("{lines}id: 0.0\n\n"));
    }

    #[test]
    fn the_comment_alone_has_no_id() {
        assert_eq!(Frame::opening().text(), ":\n");
        assert_eq!(Frame::opening().id(), None);
    }

    #[test]
    fn bye_tells_the_page_and_the_browser_when_to_come_back() {
        let bye = Frame::new(Content::Bye { why: CloseReason::Busy, retry_ms: 12_000 }, Id::Empty);
        let expected = "event: bye\nretry: 12000\ndata: {\"reason\":\"busy\",\"retry_ms\":12000}\nid: \n\n";
        assert_eq!(bye.text(), expected);
    }
}
