//! The cursor that a client sends when it opens a stream.

use domain::cursor::Cursor;
use http::HeaderMap;

/// How far the client has got, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastEventId {
    /// The client sent none.
    Absent,
    /// A well-formed cursor. Whether it is of this inbox, and of any use, shows later.
    Cursor(Cursor),
    /// The text is not a cursor: the client has to list again.
    Invalid,
}

impl LastEventId {
    /// The header comes before the query: a browser that reconnects by itself keeps the old query.
    ///
    /// `Last-Event-ID`, then `cursor`, then `lastEventId`; an empty one counts as absent.
    pub(crate) fn of(headers: &HeaderMap, query: &[(String, String)]) -> Self {
        let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
        let parameter =
            |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let texts = [header, parameter("cursor"), parameter("lastEventId")];
        match texts.into_iter().flatten().find(|text| !text.is_empty()) {
            None => Self::Absent,
            Some(text) => text.parse().map_or(Self::Invalid, Self::Cursor),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{cursor::Gen, sequence::InboxSeq};

    use super::*;

    fn read(header: Option<&'static str>, query: &[(&str, &str)]) -> LastEventId {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("last-event-id", http::HeaderValue::from_bytes(header.as_bytes()).unwrap());
        }
        let query: Vec<_> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LastEventId::of(&headers, &query)
    }

    #[test]
    fn the_header_beats_the_query_and_an_empty_one_is_none() {
        let at = |seq| LastEventId::Cursor(Cursor { r#gen: Gen(0), seq: InboxSeq(seq) });
        let (one, two) = ("0000000000000.1", "0000000000000.2");
        assert_eq!(read(None, &[]), LastEventId::Absent);
        assert_eq!(read(Some(""), &[("cursor", "")]), LastEventId::Absent);
        assert_eq!(read(Some(one), &[("cursor", two)]), at(1));
        assert_eq!(read(Some(""), &[("cursor", two)]), at(2));
        assert_eq!(read(None, &[("lastEventId", one), ("cursor", two)]), at(2));
        assert_eq!(read(None, &[("lastEventId", one)]), at(1));
    }

    #[test]
    fn what_is_no_cursor_is_not_skipped_for_one_that_is() {
        for bad in ["0.0", "x", "ä", "0000000000000.01"] {
            assert_eq!(read(Some(bad), &[("cursor", "0000000000000.2")]), LastEventId::Invalid, "{bad}");
        }
    }
}
