//! The ephemeral events of one user: at most one a second for each subject, the latest wins, and none is shown after
//! its time.

use std::sync::Arc;

use domain::{
    envelope::News,
    event::EventName,
    ids::{ThreadId, UserId},
    limits,
    wire::{Typing, TypingState},
};
use tokio::time::Instant;

use crate::wire::encoded_event::EncodedEvent;

/// Subjects remembered for one user; the oldest makes room.
const SUBJECTS: usize = 32;

/// What an ephemeral event is about: a later event about the same subject replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    /// A user types in a thread.
    Typing(ThreadId, UserId),
}

/// An ephemeral event, read from an envelope.
#[derive(Debug, Clone)]
pub(crate) struct Ephemeral {
    subject: Subject,
    /// Whether it says that something is over.
    stops: bool,
    event: Arc<EncodedEvent>,
}

/// The latest events of one user, by subject.
#[derive(Debug, Default)]
pub(crate) struct Ephemerals {
    latest: Vec<Latest>,
    /// Counts events, so that each stream knows which ones it has shown.
    version: u64,
}

#[derive(Debug)]
struct Latest {
    ephemeral: Ephemeral,
    version: u64,
    accepted_at: Instant,
    expires_at: Instant,
}

impl Ephemeral {
    /// None if the event is not ephemeral, or if its data cannot be read.
    pub(crate) fn read(news: &News) -> Option<Self> {
        let (subject, stops) = match news.event {
            EventName::Typing => {
                let typing: Typing = serde_json::from_str(news.data.get()).ok()?;
                (Subject::Typing(typing.thread, typing.user), typing.state == TypingState::Stopped)
            }
            EventName::Hello
            | EventName::Message
            | EventName::Edit
            | EventName::Delete
            | EventName::Reaction
            | EventName::Member
            | EventName::Thread
            | EventName::Seen
            | EventName::Me
            | EventName::Ping
            | EventName::Reset
            | EventName::Bye => return None,
        };
        Some(Self { subject, stops, event: EncodedEvent::new(news, None) })
    }
}

impl Ephemerals {
    /// Takes an event that is worth showing until `expires_at`; false if the event is shed.
    pub(crate) fn accept(&mut self, ephemeral: Ephemeral, now: Instant, expires_at: Instant) -> bool {
        let place = self.latest.iter().position(|latest| latest.ephemeral.subject == ephemeral.subject);
        if let Some(known) = place.map(|place| &self.latest[place]) {
            let soon = now < known.accepted_at + limits::TYPING_PERIOD;
            // A stop passes at once, but only after a start.
            let ends = ephemeral.stops && !known.ephemeral.stops;
            if soon && !ends {
                return false;
            }
        }
        if let Some(place) = place {
            self.latest.remove(place);
        } else if self.latest.len() == SUBJECTS {
            self.latest.remove(0);
        }
        self.version += 1;
        self.latest.push(Latest { ephemeral, version: self.version, accepted_at: now, expires_at });
        true
    }

    /// The version of the latest event.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The first event after `version` that is still worth showing, and its own version.
    pub(crate) fn after(&self, version: u64, now: Instant) -> Option<(u64, &Arc<EncodedEvent>)> {
        if version == self.version {
            return None;
        }
        let next = self.latest.iter().find(|latest| latest.version > version && now < latest.expires_at)?;
        Some((next.version, &next.ephemeral.event))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn typing(user: &str, state: TypingState) -> Ephemeral {
        let thread = ThreadId::group(1);
        let typing = Typing { thread, user: UserId::parse(user).unwrap(), state, ttl_ms: 6000 };
        let news = News::new(EventName::Typing, serde_json::to_string(&typing).unwrap());
        Ephemeral::read(&news).unwrap()
    }

    #[test]
    fn only_ephemeral_events_are_read() {
        for (event, data) in [(EventName::Message, "{}"), (EventName::Typing, "{}"), (EventName::Seen, "{}")]
        {
            assert!(Ephemeral::read(&News::new(event, data.into())).is_none(), "{event:?}");
        }
    }

    #[test]
    fn one_a_second_passes_and_a_stop_passes_once() {
        let mut ephemerals = Ephemerals::default();
        let start = Instant::now();
        let mut accept = |user: &str, state, ms| {
            let now = start + Duration::from_millis(ms);
            ephemerals.accept(typing(user, state), now, now + limits::TYPING_TTL)
        };
        assert!(accept("bob", TypingState::Started, 0));
        assert!(!accept("bob", TypingState::Started, 999));
        assert!(accept("carol", TypingState::Started, 999));
        assert!(accept("bob", TypingState::Stopped, 999));
        assert!(!accept("bob", TypingState::Stopped, 1000));
        assert!(!accept("bob", TypingState::Started, 1001));
        assert!(accept("bob", TypingState::Started, 1999));
    }

    #[test]
    fn a_stream_shows_the_latest_of_each_subject_once_and_nothing_stale() {
        let mut ephemerals = Ephemerals::default();
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        for (user, at, ttl) in [("bob", 0, 6), ("bob", 1, 6), ("carol", 1, 1)] {
            let at = now + at * second;
            ephemerals.accept(typing(user, TypingState::Started), at, at + ttl * second);
        }
        let version_after = |version, at| ephemerals.after(version, at).map(|(version, _)| version);
        assert_eq!(version_after(0, now + second), Some(2));
        assert_eq!(version_after(2, now + second), Some(3));
        assert_eq!(version_after(3, now + second), None);
        assert_eq!(version_after(2, now + 2 * second), None);
    }

    #[test]
    fn the_oldest_subject_makes_room() {
        let mut ephemerals = Ephemerals::default();
        let now = Instant::now();
        for n in 0..SUBJECTS + 5 {
            let event = typing(&format!("u{n}"), TypingState::Started);
            ephemerals.accept(event, now, now + limits::TYPING_TTL);
        }
        assert_eq!(ephemerals.latest.len(), SUBJECTS);
        assert_eq!(ephemerals.after(0, now).unwrap().0, 6);
    }
}
