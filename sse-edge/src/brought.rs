//! The cursor that a client brings along when it opens a stream.

use domain::cursor::Cursor;
use http::HeaderMap;

/// What a client says about how far it has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// Nothing: it is new here.
    Nothing,
    /// A cursor of our spelling; of which inbox, and whether of any use, is still to be seen.
    Readable(Cursor),
    /// Something else. It has to list again.
    Unreadable,
}

impl Brought {
    /// Header before query: a browser that reconnects by itself keeps the old query.
    ///
    /// `Last-Event-ID`, then `cursor`, then `lastEventId`; an empty one counts as absent.
    pub fn of(headers: &HeaderMap, query: &[(String, String)]) -> Self {
        let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
        let parameter =
            |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let texts = [header, parameter("cursor"), parameter("lastEventId")];
        match texts.into_iter().flatten().find(|text| !text.is_empty()) {
            None => Self::Nothing,
            Some(text) => text.parse().map_or(Self::Unreadable, Self::Readable),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::cursor::Gen;

    use super::*;

    fn brought(header: Option<&'static str>, query: &[(&str, &str)]) -> Brought {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("last-event-id", http::HeaderValue::from_bytes(header.as_bytes()).unwrap());
        }
        let query: Vec<_> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Brought::of(&headers, &query)
    }

    #[test]
    fn the_header_beats_the_query_and_an_empty_one_is_none() {
        let at = |seq| Brought::Readable(Cursor { r#gen: Gen(0), seq });
        let (one, two) = ("0000000000000.1", "0000000000000.2");
        assert_eq!(brought(None, &[]), Brought::Nothing);
        assert_eq!(brought(Some(""), &[("cursor", "")]), Brought::Nothing);
        assert_eq!(brought(Some(one), &[("cursor", two)]), at(1));
        assert_eq!(brought(Some(""), &[("cursor", two)]), at(2));
        assert_eq!(brought(None, &[("lastEventId", one), ("cursor", two)]), at(2));
        assert_eq!(brought(None, &[("lastEventId", one)]), at(1));
    }

    #[test]
    fn what_is_no_cursor_is_not_skipped_for_one_that_is() {
        for bad in ["0.0", "x", "ä", "0000000000000.01"] {
            assert_eq!(brought(Some(bad), &[("cursor", "0000000000000.2")]), Brought::Unreadable, "{bad}");
        }
    }
}
