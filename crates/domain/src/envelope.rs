//! What lies in a queue. A hint: whatever it says, the inbox is the truth.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{cursor::Gen, event::EventName, ids::UserId, limits};

/// The version written, and the only one read; any other says no more than "read the inbox".
const VERSION: u8 = 1;

/// News for some users whose queue this is.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Whom it is for, and where in their inboxes the event stands.
    pub to: Vec<Recipient>,
    /// The event itself, if it fits. Without it the inbox has to be read.
    pub news: Option<News>,
}

/// One of those whom an envelope is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Who.
    #[serde(rename = "u")]
    pub user: UserId,
    /// Where the event stands in the user's inbox; absent for an ephemeral event.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<(Gen, u64)>,
}

/// An event ready for a frame.
#[derive(Debug, Clone)]
pub struct News {
    /// Its name.
    pub event: EventName,
    /// Its data: one line of JSON.
    pub data: Box<RawValue>,
}

/// An envelope that says nothing to this version of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvelope {
    /// Written by another version.
    #[error("the envelope has an unknown version")]
    Version,
    /// Not an envelope at all.
    #[error("not an envelope")]
    Garbage,
}

#[derive(Serialize)]
struct Written<'a> {
    v: u8,
    to: &'a [Recipient],
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Read {
    v: u8,
    to: Vec<Recipient>,
    event: Option<EventName>,
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Versioned {
    v: u8,
}

impl Envelope {
    /// The body to post. An event too large for a queue is left out.
    pub fn encode(&self) -> String {
        let news = self.news.as_ref().filter(|n| n.data.get().len() <= limits::ENVELOPE_BYTES / 2);
        let written =
            Written { v: VERSION, to: &self.to, event: news.map(|n| n.event), data: news.map(|n| &*n.data) };
        serde_json::to_string(&written).expect("ids and JSON always serialise")
    }

    /// Reads the body of a received envelope.
    ///
    /// # Errors
    /// [`BadEnvelope`]: to be acknowledged, counted, and answered by reading the inbox.
    pub fn decode(body: &str) -> Result<Self, BadEnvelope> {
        // Once, as a rule: an edge reads many, and another version's may have any shape.
        let read = serde_json::from_str::<Read>(body).map(|read| (read.v, Some(read)));
        let read = read.or_else(|_| serde_json::from_str(body).map(|Versioned { v }| (v, None)));
        match read {
            Ok((VERSION, Some(Read { to, event, data, .. }))) => {
                Ok(Self { to, news: event.zip(data).map(|(event, data)| News { event, data }) })
            }
            Ok((VERSION, None)) | Err(_) => Err(BadEnvelope::Garbage),
            Ok(_) => Err(BadEnvelope::Version),
        }
    }
}

impl News {
    /// An event from a line of JSON that this process made itself.
    pub fn new(event: EventName, data: String) -> Self {
        Self { event, data: RawValue::from_string(data).expect("made by serde_json") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        let to = vec![
            Recipient { user: UserId::parse("alice").unwrap(), place: Some((Gen(9), 42)) },
            Recipient { user: UserId::parse("bob").unwrap(), place: None },
        ];
        Envelope { to, news: Some(News::new(EventName::Message, r#"{"text":"hi"}"#.into())) }
    }

    #[test]
    fn an_envelope_comes_back_as_it_went() {
        let read = Envelope::decode(&envelope().encode()).unwrap();
        assert_eq!(read.to, envelope().to);
        let news = read.news.unwrap();
        assert_eq!((news.event, news.data.get()), (EventName::Message, r#"{"text":"hi"}"#));
    }

    #[test]
    fn another_version_is_told_from_garbage() {
        let later = envelope().encode().replace(r#""v":1"#, r#""v":2"#);
        assert_eq!(Envelope::decode(&later).unwrap_err(), BadEnvelope::Version);
        for bad in ["", "null", "{}", r#"{"v":1}"#, r#"{"v":1,"to":[{"u":"a#b"}]}"#] {
            assert_eq!(Envelope::decode(bad).unwrap_err(), BadEnvelope::Garbage, "{bad}");
        }
    }

    #[test]
    fn an_event_too_large_for_a_queue_becomes_a_hint() {
        let mut large = envelope();
        large.news =
            Some(News::new(EventName::Message, format!("\"{}\"", "x".repeat(limits::ENVELOPE_BYTES))));
        assert!(Envelope::decode(&large.encode()).unwrap().news.is_none());
    }
}
