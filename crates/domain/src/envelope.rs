//! What lies in a queue. A hint: whatever it says, the inbox is the truth.
//!
//! Three lines: the version, the name of the event, and for a message its author with the key that the author has chosen;
//! whom it is for, each with their place; the data.
//!
//! ```text
//! 2 message alice 3f1c
//! alice 0000000000002.42,bob 0000000000004.7
//! {"thread":"t_…","tseq":9,"text":"hi"}
//! ```
//!
//! No JSON around it: SQS puts a body into JSON of its own, where each quote takes two bytes and some
//! time, and up to [`limits::ENVELOPE_RECIPIENTS`] recipients would have several each.

use std::{borrow::Cow, fmt::Write as _};

use memchr::{memchr, memchr_iter};
use serde::{Deserialize as _, de::IntoDeserializer as _};
use serde_json::value::RawValue;

use crate::{
    cursor::Cursor,
    event::{Delivery, EventName},
    ids::{IdempotencyKey, UserId},
    limits,
};

/// The version written, and the only one read; any other names nobody. In a user's queue it still
/// says "read the inbox"; of what it meant in an edge's, the head checks tell.
const VERSION: &str = "2";

/// News for some users whose queue this is.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// Whom it is for, and where in their inboxes the event stands.
    pub to: Vec<Recipient<'a>>,
    /// The event itself, if it fits. Without it the inbox has to be read.
    pub news: Option<News>,
}

/// One of those whom an envelope is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient<'a> {
    /// Who: a user's id.
    pub user: &'a str,
    /// Where the event stands in the user's inbox; absent for an ephemeral event.
    pub place: Option<Cursor>,
}

/// An event ready for a frame.
#[derive(Debug, Clone)]
pub struct News {
    /// Its name.
    pub event: EventName,
    /// Its data: one line of JSON.
    pub data: Box<RawValue>,
    /// What its author alone is told beside the data.
    pub echo: Option<Echo>,
}

/// The idempotency key of a message, by which the author's devices know which of their sends it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// Who has chosen the key.
    pub author: UserId,
    /// The key.
    pub key: IdempotencyKey,
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

impl<'a> Envelope<'a> {
    /// The body to post. An event too large for a queue is left out.
    pub fn encode(&self) -> String {
        let news = self.news.as_ref().filter(|n| n.data.get().len() <= limits::ENVELOPE_BYTES / 2);
        let mut body = VERSION.to_owned();
        if let Some(news) = news {
            body.extend([" ", news.event.as_str()]);
            if let Some(Echo { author, key }) = &news.echo {
                body.extend([" ", author.as_str(), " ", key.as_str()]);
            }
        }
        for (n, Recipient { user, place }) in self.to.iter().enumerate() {
            body.extend([if n == 0 { "\n" } else { "," }, user]);
            if let Some(place) = place {
                // A String takes everything.
                let _ = write!(body, " {place}");
            }
        }
        if let Some(news) = news {
            body.extend(["\n", news.data.get()]);
        }
        body
    }

    /// Reads the body of a received envelope.
    ///
    /// An event whose name a later version has added is a hint for each recipient with a place. A recipient without
    /// a place is left out: the event is ephemeral, and this version cannot show it.
    ///
    /// # Errors
    /// [`BadEnvelope`]: to be acknowledged, counted, and answered by reading the inbox if the queue
    /// tells whose.
    pub fn decode(body: &'a str) -> Result<Self, BadEnvelope> {
        let (first, rest) = body.split_once('\n').ok_or(BadEnvelope::Garbage)?;
        let (version, event) = first.split_once(' ').map_or((first, None), |(v, event)| (v, Some(event)));
        if version != VERSION {
            let is_one = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
            return Err(if is_one { BadEnvelope::Version } else { BadEnvelope::Garbage });
        }
        let (to, data) = rest.split_once('\n').map_or((rest, None), |(to, data)| (to, Some(data)));
        let mut to = Recipient::read_all(to)?;
        let news = match (event, data) {
            (Some(event), Some(data)) => {
                let (event, echo) = match event.split_once(' ') {
                    Some((event, echo)) => (event, Some(Echo::read(echo)?)),
                    None => (event, None),
                };
                let news = News::read(event, data)?.map(|news| News { echo, ..news });
                if news.is_none() {
                    to.retain(|recipient| recipient.place.is_some());
                }
                news
            }
            (None, None) => None,
            _ => return Err(BadEnvelope::Garbage),
        };
        Ok(Self { to, news })
    }
}

impl Envelope<'_> {
    /// The same envelope without its event, because its seal is missing or wrong. Each recipient with a place is told to
    /// read the row. An event without a place is lost.
    #[must_use]
    pub fn without_news(mut self) -> Self {
        if self.news.take().is_some() {
            self.to.retain(|recipient| recipient.place.is_some());
        }
        self
    }
}

impl<'a> Recipient<'a> {
    /// Up to [`limits::ENVELOPE_RECIPIENTS`] of them: nearly all that reading an envelope takes.
    fn read_all(text: &'a str) -> Result<Vec<Self>, BadEnvelope> {
        let mut all = Vec::with_capacity(text.len() / 16);
        let ends = memchr_iter(b',', text.as_bytes()).chain([text.len()]);
        let mut begin = 0;
        for end in ends {
            all.push(Self::read(&text[begin..end])?);
            begin = end + 1;
        }
        Ok(all)
    }

    fn read(text: &'a str) -> Result<Self, BadEnvelope> {
        let (user, place) = match memchr(b' ', text.as_bytes()) {
            Some(blank) => (&text[..blank], Some(&text[blank + 1..])),
            None => (text, None),
        };
        // Whether it is a user's id is for the hub to say, which knows those who are here.
        if user.is_empty() {
            return Err(BadEnvelope::Garbage);
        }
        let place = place.map(str::parse).transpose().map_err(|_| BadEnvelope::Garbage)?;
        Ok(Self { user, place })
    }
}

impl Echo {
    fn read(text: &str) -> Result<Self, BadEnvelope> {
        let (author, key) = text.split_once(' ').ok_or(BadEnvelope::Garbage)?;
        let author = UserId::parse(author).map_err(|_| BadEnvelope::Garbage)?;
        let key = IdempotencyKey::parse(key).map_err(|_| BadEnvelope::Garbage)?;
        Ok(Self { author, key })
    }
}

impl News {
    /// An event from a line of JSON that this process made itself.
    pub fn new(event: EventName, data: String) -> Self {
        Self { event, data: RawValue::from_string(data).expect("made by serde_json"), echo: None }
    }

    /// The data as `user` is told it: with the key, if they are the author.
    pub fn data_for(&self, user: &str) -> Cow<'_, str> {
        let data = self.data.get();
        match &self.echo {
            Some(Echo { author, key }) if author.as_str() == user => {
                // A key has no character that JSON escapes.
                let fields = data.strip_suffix('}').unwrap_or(data);
                Cow::Owned(format!(r#"{fields},"key":"{key}"}}"#))
            }
            _ => Cow::Borrowed(data),
        }
    }

    /// None for an event of a name that this version does not know.
    fn read(event: &str, data: &str) -> Result<Option<Self>, BadEnvelope> {
        let value = RawValue::from_string(data.to_owned()).map_err(|_| BadEnvelope::Garbage)?;
        // No writer of ours leaves white space around it.
        if value.get().len() != data.len() {
            return Err(BadEnvelope::Garbage);
        }
        let known: Result<_, serde::de::value::Error> = EventName::deserialize(event.into_deserializer());
        match known {
            Ok(event) if event.delivery() == Delivery::Edge => Err(BadEnvelope::Garbage),
            Ok(event) => Ok(Some(Self { event, data: value, echo: None })),
            Err(_) if is_name(event) => Ok(None),
            Err(_) => Err(BadEnvelope::Garbage),
        }
    }
}

/// Whether the text could name an event.
fn is_name(event: &str) -> bool {
    !event.is_empty() && event.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{cursor::Gen, ids::UserId, sequence::InboxSeq};

    fn envelope() -> Envelope<'static> {
        let place = Some(Cursor { r#gen: Gen(9), seq: InboxSeq(42) });
        let to = vec![Recipient { user: "alice", place }, Recipient { user: "bob", place: None }];
        Envelope { to, news: Some(News::new(EventName::Message, r#"{"text":"hi"}"#.into())) }
    }

    #[test]
    fn an_envelope_comes_back_as_it_went() {
        let body = envelope().encode();
        assert_eq!(body, "2 message\nalice 000000000000i.42,bob\n{\"text\":\"hi\"}");
        let read = Envelope::decode(&body).unwrap();
        assert_eq!(read.to, envelope().to);
        let news = read.news.unwrap();
        assert_eq!((news.event, news.data.get()), (EventName::Message, r#"{"text":"hi"}"#));
        let hint = Envelope { news: None, ..envelope() }.encode();
        assert_eq!(hint, "2\nalice 000000000000i.42,bob");
        assert!(Envelope::decode(&hint).unwrap().news.is_none());
    }

    #[test]
    fn the_author_alone_is_told_the_key() {
        let mut sent = envelope();
        let echo = Echo { author: UserId::parse("bob").unwrap(), key: IdempotencyKey::parse("a,b").unwrap() };
        sent.news = sent.news.map(|news| News { echo: Some(echo), ..news });
        let body = sent.encode();
        assert_eq!(body, "2 message bob a,b\nalice 000000000000i.42,bob\n{\"text\":\"hi\"}");
        let news = Envelope::decode(&body).unwrap().news.unwrap();
        assert_eq!(news.data_for("alice"), r#"{"text":"hi"}"#);
        assert_eq!(news.data_for("bob"), r#"{"text":"hi","key":"a,b"}"#);
        for bad in ["bob", "bob ", " a", "b#b a", "bob a\"", "bob a b"] {
            let body = body.replace("bob a,b\n", &format!("{bad}\n"));
            assert_eq!(Envelope::decode(&body).unwrap_err(), BadEnvelope::Garbage, "{bad}");
        }
    }

    #[test]
    fn another_version_is_told_from_garbage() {
        for other in ["1", "3", "12"] {
            let other = envelope().encode().replacen(VERSION, other, 1);
            assert_eq!(Envelope::decode(&other).unwrap_err(), BadEnvelope::Version);
        }
        let good = envelope().encode();
        let bad = [
            "",
            VERSION,
            "null",
            "{}",
            r#"{"v":1,"to":[]}"#,
            &good.replace("message", "Message"),
            &good.replace("message", "hello"),
            &good.replace(".42", ".x"),
            &good.replace(" message", ""),
            &good.replace("bob", ""),
            &good.replace("alice", ""),
            &good[..good.len() - 1],
            &format!("{good} "),
        ];
        for bad in bad {
            assert_eq!(Envelope::decode(bad).unwrap_err(), BadEnvelope::Garbage, "{bad}");
        }
    }

    #[test]
    fn an_event_that_only_a_later_version_knows_is_a_hint_where_it_has_a_place() {
        let later = envelope().encode().replace("message", "poke");
        let read = Envelope::decode(&later).unwrap();
        assert_eq!((read.to.as_slice(), read.news.is_none()), (&envelope().to[..1], true));
        let ephemeral = "2 poke\nalice,bob\n{}";
        assert!(Envelope::decode(ephemeral).unwrap().to.is_empty());
    }

    #[test]
    fn an_event_that_nobody_has_proven_is_a_hint_where_it_has_a_place() {
        let unproven = envelope().without_news();
        assert_eq!((unproven.to.as_slice(), unproven.news.is_none()), (&envelope().to[..1], true));
        let hint = Envelope { news: None, ..envelope() };
        assert_eq!(hint.clone().without_news().to, hint.to);
    }

    #[test]
    fn an_event_too_large_for_a_queue_becomes_a_hint() {
        let mut large = envelope();
        large.news =
            Some(News::new(EventName::Message, format!("\"{}\"", "x".repeat(limits::ENVELOPE_BYTES))));
        assert!(Envelope::decode(&large.encode()).unwrap().news.is_none());
    }

    fn recipients() -> impl Strategy<Value = Vec<(UserId, Option<Cursor>)>> {
        let user = "[A-Za-z0-9_.@|:+=~-]{1,128}".prop_map(|id| UserId::parse(&id).unwrap());
        let place =
            any::<(u64, u64)>().prop_map(|(r#gen, seq)| Cursor { r#gen: Gen(r#gen), seq: InboxSeq(seq) });
        prop::collection::vec((user, prop::option::of(place)), 1..20)
    }

    proptest! {
        #[test]
        fn whoever_it_is_for_comes_back_with_their_place(to in recipients(), hint: bool) {
            let to = to.iter().map(|(user, place)| Recipient { user: user.as_str(), place: *place }).collect();
            let news = (!hint).then(|| News::new(EventName::Seen, r#"{"number":1}"#.into()));
            let sent = Envelope { to, news };
            let body = sent.encode();
            let read = Envelope::decode(&body).unwrap();
            prop_assert_eq!(&read.to, &sent.to);
            prop_assert_eq!(read.news.is_none(), hint);
            prop_assert_eq!(read.encode(), body);
        }

        #[test]
        fn whatever_lies_in_a_queue_is_read_or_refused(body in "(2|3)?( message)?( a+ a+)?\n?[a ,.0\n{}\"]{0,40}") {
            if let Ok(read) = Envelope::decode(&body) {
                prop_assert_eq!(read.encode(), body);
            }
        }
    }
}
