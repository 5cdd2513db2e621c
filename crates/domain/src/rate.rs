//! How often one user may do what. The numbers are in [`limits`].

use jiff::Timestamp;

use crate::{ids::ThreadId, limits, sequence::ThreadSeq};

/// Requests that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A new message.
    Send,
    /// A message or its reactions changed, a title, or a member put in or taken out.
    Change,
    /// A new thread.
    Create,
    /// A user brought into a thread by somebody else.
    Invite,
    /// A mark of how far one has read.
    Seen,
    /// A sign of typing, for each thread.
    Typing,
    /// A reaction put there or taken away, for each message.
    Toggle,
    /// Another profile.
    Profile,
    /// A ticket or cookie for a stream.
    Ticket,
    /// A list, or anything else that is only read.
    Read,
    /// An accepted request, repeated with its idempotency key.
    Repeat,
}

/// Where a class counts by itself: a thread, or a message of it.
pub type Place = (ThreadId, Option<ThreadSeq>);

/// At most `most` in each window of `window_s` seconds. Windows begin at the whole multiples of their length since 1970, so
/// that all processes have the same ones.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Its name, as the header `RateLimit-Policy` has it.
    pub name: &'static str,
    /// How much is let through in one window.
    pub most: u32,
    /// How long a window is, in seconds.
    pub window_s: u32,
}

/// How much of a policy a user has used in the current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The policy.
    pub policy: &'static Policy,
    /// How much was used, the request in hand included: more than the policy allows if that is refused.
    pub used: u32,
    /// In how many seconds the next window begins: 1 at least.
    pub ends_in_s: u32,
}

impl Class {
    /// The policies that the class obeys.
    pub const fn policies(self) -> &'static [Policy] {
        match self {
            Self::Send => &limits::SENDS,
            Self::Change => &limits::CHANGES,
            Self::Create => &limits::CREATIONS,
            Self::Invite => &limits::INVITATIONS,
            Self::Seen => &limits::MARKS,
            Self::Typing => &limits::TYPING,
            Self::Toggle => &limits::TOGGLES,
            Self::Profile => &limits::PROFILE_CHANGES,
            Self::Ticket => &limits::TICKETS,
            Self::Read => &limits::READS,
            Self::Repeat => &limits::REPEATS,
        }
    }

    /// Whether all processes count together. The other classes cost less than such a count, so that each process counts
    /// them for itself.
    pub const fn is_fleet_wide(self) -> bool {
        matches!(self, Self::Send | Self::Change | Self::Create | Self::Invite | Self::Profile)
    }
}

impl Policy {
    /// At most `most` in `window_s` seconds.
    pub const fn new(name: &'static str, most: u32, window_s: u32) -> Self {
        Self { name, most, window_s }
    }

    /// The number of the window in which `now` lies.
    pub fn window(&self, now: Timestamp) -> u64 {
        u64::try_from(now.as_second()).unwrap_or(0) / u64::from(self.window_s.max(1))
    }

    /// When window `number` is over, in seconds since 1970.
    pub fn end(&self, number: u64) -> u64 {
        (number + 1) * u64::from(self.window_s)
    }

    /// The usage of one who has used so much in the window of `now`.
    pub fn usage(&'static self, used: u32, now: Timestamp) -> Usage {
        let left = self.end(self.window(now)).saturating_sub(u64::try_from(now.as_second()).unwrap_or(0));
        Usage { policy: self, used, ends_in_s: u32::try_from(left).unwrap_or(1).max(1) }
    }
}

impl Usage {
    /// How much is left.
    pub fn left(&self) -> u32 {
        self.policy.most.saturating_sub(self.used)
    }

    /// Whether it was too much.
    pub fn is_exceeded(&self) -> bool {
        self.used > self.policy.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static POLICY: Policy = Policy::new("a", 20, 10);

    #[test]
    fn a_window_ends_at_a_whole_multiple_of_its_length() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        assert_eq!((POLICY.window(at(1_009)), POLICY.window(at(1_010))), (100, 101));
        assert_eq!(POLICY.usage(1, at(1_000)).ends_in_s, 10);
        assert_eq!(POLICY.usage(1, at(1_009)).ends_in_s, 1);
    }

    #[test]
    fn the_last_that_is_let_through_leaves_nothing() {
        let now = Timestamp::UNIX_EPOCH;
        let (last, next) = (POLICY.usage(20, now), POLICY.usage(21, now));
        assert_eq!((last.left(), last.is_exceeded()), (0, false));
        assert_eq!((next.left(), next.is_exceeded()), (0, true));
    }
}
