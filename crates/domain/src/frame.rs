//! One SSE block: `event`, `data`, for hello also `retry`, and **`id` last**.
//!
//! Some clients take an id as soon as its line is read, even when the connection breaks before the
//! blank line: with the id last they cannot have skipped the event. Every frame has an id, since a
//! new connection starts with an empty one and any dispatch copies it.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use crate::{
    cursor::{Cursor, UNREADABLE},
    event::EventName,
};

/// The first bytes of a stream. WebKit glues what was cut off an earlier stream to the next one's
/// first bytes; a comment line makes both harmless.
pub const OPENING: &str = ":\n";

/// The lines of a frame above its id: the same for all who are told the event.
///
/// `data` is one line of JSON.
pub fn lines(event: EventName, data: &str) -> String {
    format!("event: {}\ndata: {}\n", event.as_str(), one_line(data))
}

/// The same of a frame that also sets the client's time to reconnect, in milliseconds.
pub fn lines_with_retry(event: EventName, data: &str, retry_ms: u32) -> String {
    format!("event: {}\nretry: {retry_ms}\ndata: {}\n", event.as_str(), one_line(data))
}

/// The id of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// Where the client goes on.
    At(Cursor),
    /// What the client brought is no cursor. It brings [`UNREADABLE`] next time, and is reset.
    Unreadable,
    /// The client brought nothing, and was given nothing. The id is empty, and so is what it brings next time.
    Empty,
}

/// Writes the end of a frame behind its lines.
pub fn end(out: &mut Vec<u8>, id: Id) {
    out.extend_from_slice(b"id: ");
    match id {
        Id::At(cursor) => cursor.write(out),
        Id::Unreadable => out.extend_from_slice(UNREADABLE.as_bytes()),
        Id::Empty => {}
    }
    out.extend_from_slice(b"\n\n");
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(cursor) => cursor.fmt(f),
            Self::Unreadable => f.write_str(UNREADABLE),
            Self::Empty => Ok(()),
        }
    }
}

/// The fields of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedFrame<'a> {
    /// `event`.
    pub event: &'a str,
    /// `data`, one line of JSON.
    pub data: &'a str,
    /// `id`, as [`Id`] is written.
    pub id: &'a str,
    /// `retry`, in milliseconds.
    pub retry_ms: Option<u64>,
}

/// Reads back one frame that was written here, perhaps behind [`OPENING`]; none for anything else.
pub fn parse(block: &str) -> Option<ParsedFrame<'_>> {
    let block = block.strip_prefix(OPENING).unwrap_or(block).strip_suffix("\n\n")?;
    let (event, rest) = block.strip_prefix("event: ")?.split_once('\n')?;
    let (retry_ms, rest) = match rest.strip_prefix("retry: ") {
        Some(rest) => {
            let (retry, rest) = rest.split_once('\n')?;
            (Some(retry.parse().ok()?), rest)
        }
        None => (None, rest),
    };
    let (data, id) = rest.strip_prefix("data: ")?.split_once("\nid: ")?;
    Some(ParsedFrame { event, data, id, retry_ms })
}

/// Takes the first whole block, with its blank line, out of the bytes of a stream that were received so far.
pub fn next_block(unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = unread.windows(2).position(|two| two == b"\n\n")?;
    Some(unread.drain(..end + 2).collect())
}

/// Escapes what could end a line or be taken for a control by some client. In JSON such
/// characters stand only inside strings (RFC 8259 section 2), except for the white space that a
/// sender may have put between tokens, which is dropped.
fn one_line(json: &str) -> Cow<'_, str> {
    // Most data is plain ASCII: all of it, without a branch a byte.
    if json.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(json);
    }
    let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    if !json.contains(odd) {
        return Cow::Borrowed(json);
    }
    let mut line = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            '\n' | '\r' | '\t' => {}
            c if odd(c) => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cursor::Gen, sequence::InboxSeq};
    use proptest::prelude::*;

    fn frame(lines: &str, id: Id) -> String {
        let mut out = [OPENING, lines].concat().into_bytes();
        end(&mut out, id);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_id_comes_last_and_the_block_ends_with_one_blank_line() {
        let cursor = Cursor { r#gen: Gen(1), seq: InboxSeq(41) };
        let lines = lines_with_retry(EventName::Hello, "{}", 4821);
        assert_eq!(
            frame(&lines, Id::At(cursor)),
            ":\nevent: hello\nretry: 4821\ndata: {}\nid: 0000000000002.41\n\n"
        );
    }

    #[test]
    fn what_was_written_is_read_back_and_nothing_else() {
        let out = frame(&lines_with_retry(EventName::Bye, "{}", 4821), Id::Unreadable);
        assert_eq!(
            parse(&out),
            Some(ParsedFrame { event: "bye", data: "{}", id: "0.0", retry_ms: Some(4821) })
        );
        let out = frame(&lines_with_retry(EventName::Bye, "{}", 4821), Id::Empty);
        assert_eq!(parse(&out).unwrap().id, "");
        for other in ["", OPENING, "event: ping\n\n", &out[..out.len() - 1]] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn blocks_come_out_of_the_bytes_of_a_stream_one_by_one() {
        let mut unread = b":\nevent: a\n\nevent: b\n\neve".to_vec();
        assert_eq!(next_block(&mut unread).unwrap(), b":\nevent: a\n\n");
        assert_eq!(next_block(&mut unread).unwrap(), b"event: b\n\n");
        assert_eq!((next_block(&mut unread), &unread[..]), (None, &b"eve"[..]));
    }

    proptest! {
        #[test]
        fn whatever_the_text_a_frame_is_one_block_and_its_data_the_same_value(text in any::<String>()) {
            let data = serde_json::to_string(&text).unwrap();
            let out = frame(&lines(EventName::Message, &data), Id::Unreadable).split_off(OPENING.len());
            let lines: Vec<&str> = out.split('\n').collect();
            prop_assert_eq!(lines.len(), 5);
            prop_assert_eq!(lines[0], "event: message");
            prop_assert_eq!(&lines[2..], &["id: 0.0", "", ""]);
            prop_assert!(!out.contains(|c: char| c.is_control() && c != '\n'));
            let back: String = serde_json::from_str(lines[1].strip_prefix("data: ").unwrap()).unwrap();
            prop_assert_eq!(back, text);
            let data = lines[1].strip_prefix("data: ").unwrap();
            prop_assert_eq!(parse(&out), Some(ParsedFrame { event: "message", data, id: "0.0", retry_ms: None }));
        }
    }
}
