//! Who types just now, as one user's streams are told: at most one event a second for each pair
//! of thread and typist, the latest wins, and none is shown after its time.

use domain::{
    ids::{ThreadId, UserId},
    limits,
    wire::{Typing, TypingState},
};
use tokio::time::Instant;

/// Pairs of thread and typist remembered for one user; the oldest makes room.
const PAIRS: usize = 32;

/// The latest typing of each pair.
#[derive(Debug, Default)]
pub(crate) struct Typings {
    latest: Vec<Latest>,
    /// Counts events, so that each stream knows which it has shown.
    version: u64,
}

#[derive(Debug)]
struct Latest {
    thread: ThreadId,
    user: UserId,
    state: TypingState,
    data: String,
    version: u64,
    passed_at: Instant,
    expires_at: Instant,
}

impl Typings {
    /// Takes an event that is worth showing until `expires_at`; false if it is shed.
    pub(crate) fn take(&mut self, typing: &Typing, data: &str, now: Instant, expires_at: Instant) -> bool {
        let place = self.latest.iter().position(|l| l.thread == typing.thread && l.user == typing.user);
        if let Some(known) = place.map(|i| &self.latest[i]) {
            let soon = now < known.passed_at + limits::TYPING_PERIOD;
            // Whoever stops is believed at once, but only whoever has started can stop.
            let stops = typing.state == TypingState::Stopped && known.state == TypingState::Started;
            if soon && !stops {
                return false;
            }
        }
        if let Some(place) = place {
            self.latest.remove(place);
        } else if self.latest.len() == PAIRS {
            self.latest.remove(0);
        }
        self.version += 1;
        self.latest.push(Latest {
            thread: typing.thread.clone(),
            user: typing.user.clone(),
            state: typing.state,
            data: data.to_owned(),
            version: self.version,
            passed_at: now,
            expires_at,
        });
        true
    }

    /// The version of the latest event.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The first event after `version` that is still worth showing, and its own version.
    pub(crate) fn after(&self, version: u64, now: Instant) -> Option<(u64, &str)> {
        if version == self.version {
            return None;
        }
        let next = self.latest.iter().find(|l| l.version > version && now < l.expires_at)?;
        Some((next.version, &next.data))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn typing(user: &str, state: TypingState) -> Typing {
        let thread = ThreadId::group(1);
        Typing { thread, user: UserId::parse(user).unwrap(), state, ttl_ms: 6000 }
    }

    #[test]
    fn one_a_second_passes_and_stopping_passes_once() {
        let mut typings = Typings::default();
        let start = Instant::now();
        let mut take = |user: &str, state, ms| {
            let now = start + Duration::from_millis(ms);
            typings.take(&typing(user, state), "{}", now, now + limits::TYPING_TTL)
        };
        assert!(take("bob", TypingState::Started, 0));
        assert!(!take("bob", TypingState::Started, 999));
        assert!(take("carol", TypingState::Started, 999));
        assert!(take("bob", TypingState::Stopped, 999));
        assert!(!take("bob", TypingState::Stopped, 1000));
        assert!(!take("bob", TypingState::Started, 1001));
        assert!(take("bob", TypingState::Started, 1999));
    }

    #[test]
    fn a_stream_is_told_the_latest_of_each_pair_once_and_nothing_stale() {
        let mut typings = Typings::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let started = typing("bob", TypingState::Started);
        typings.take(&started, "1", now, now + limits::TYPING_TTL);
        typings.take(&started, "2", now + second, now + second + limits::TYPING_TTL);
        typings.take(&typing("carol", TypingState::Started), "3", now + second, now + 2 * second);
        assert_eq!(typings.after(0, now + second), Some((2, "2")));
        assert_eq!(typings.after(2, now + second), Some((3, "3")));
        assert_eq!(typings.after(3, now + second), None);
        assert_eq!(typings.after(2, now + 2 * second), None);
    }

    #[test]
    fn it_forgets_the_oldest_instead_of_growing() {
        let mut typings = Typings::default();
        let now = Instant::now();
        for n in 0..PAIRS + 5 {
            typings.take(&typing(&format!("u{n}"), TypingState::Started), "", now, now + limits::TYPING_TTL);
        }
        assert_eq!(typings.latest.len(), PAIRS);
        assert_eq!(typings.after(0, now).unwrap().0, 6);
    }
}
