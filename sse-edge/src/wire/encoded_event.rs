//! An event as the streams of all its recipients share it.

use std::sync::Arc;

use domain::{envelope::News, event::EventName, frame};
use tokio::time::Instant;

/// An event, encoded once for all streams that show it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EncodedEvent {
    pub(crate) event: EventName,
    lines: Box<str>,
    /// When its envelope was posted, by the edge's own clock; none for an event that was read from an inbox.
    pub(crate) sent_at: Option<Instant>,
}

impl EncodedEvent {
    pub(crate) fn new(news: &News, sent_at: Option<Instant>) -> Arc<Self> {
        let lines = frame::lines(news.event, news.data.get()).into();
        Arc::new(Self { event: news.event, lines, sent_at })
    }

    /// The lines of its frames above the id.
    pub(crate) fn lines(&self) -> &str {
        &self.lines
    }

    /// Its data, one line of JSON.
    pub(crate) fn data(&self) -> &str {
        let before = "event: \ndata: ".len() + self.event.as_str().len();
        &self.lines[before..self.lines.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_between_the_name_and_the_end() {
        let event = EncodedEvent::new(&News::new(EventName::Seen, r#"{"number":1}"#.into()), None);
        assert_eq!(event.lines(), "event: seen\ndata: {\"number\":1}\n");
        assert_eq!(event.data(), r#"{"number":1}"#);
    }
}
