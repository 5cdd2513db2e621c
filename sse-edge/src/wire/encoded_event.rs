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
    /// The event as most of its recipients share it.
    pub(crate) fn new(news: &News, sent_at: Option<Instant>) -> Arc<Self> {
        Self::of(news.event, news.data.get(), sent_at)
    }

    /// The event as `user` is told it.
    pub(crate) fn told(news: &News, user: &str, sent_at: Option<Instant>) -> Arc<Self> {
        Self::of(news.event, &news.data_for(user), sent_at)
    }

    fn of(event: EventName, data: &str, sent_at: Option<Instant>) -> Arc<Self> {
        Arc::new(Self { event, lines: frame::lines(event, data).into(), sent_at })
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
    use domain::{
        envelope::Echo,
        ids::{IdempotencyKey, UserId},
    };

    use super::*;

    #[test]
    fn the_author_alone_is_told_the_key() {
        let echo = Echo { author: UserId::parse("bob").unwrap(), key: IdempotencyKey::parse("k").unwrap() };
        let news = News { echo: Some(echo), ..News::new(EventName::Message, r#"{"tseq":1}"#.into()) };
        let told = |user| EncodedEvent::told(&news, user, None);
        assert_eq!(told("bob").data(), r#"{"tseq":1,"key":"k"}"#);
        assert_eq!(told("alice"), EncodedEvent::new(&news, None));
    }

    #[test]
    fn the_data_is_between_the_name_and_the_end() {
        let event = EncodedEvent::new(&News::new(EventName::Seen, r#"{"number":1}"#.into()), None);
        assert_eq!(event.lines(), "event: seen\ndata: {\"number\":1}\n");
        assert_eq!(event.data(), r#"{"number":1}"#);
    }
}
