//! What the rest of an edge holds of a stream: a way to wake it, and a way to end it.

use std::sync::atomic::{AtomicU8, Ordering};

use futures_util::task::AtomicWaker;
use jiff::Timestamp;

use crate::frames::Bye;

/// Nothing was asked of the stream.
const OPEN: u8 = 0;
/// The stream has to end without a word.
const CUT: u8 = u8::MAX;

/// One open stream, as its user's other parts see it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) waker: AtomicWaker,
    /// `OPEN`, `CUT`, or 1 + the place of a reason in [`Bye::ALL`].
    end: AtomicU8,
    /// `iat` of the credentials that opened it.
    pub(crate) issued_at: Timestamp,
}

/// What was asked of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing.
    Nothing,
    /// Say bye, and end.
    Bye(Bye),
    /// End.
    Cut,
}

impl Handle {
    pub(crate) fn new(issued_at: Timestamp) -> Self {
        Self { waker: AtomicWaker::new(), end: AtomicU8::new(OPEN), issued_at }
    }

    /// Asks the stream to say bye and end. The first reason counts.
    pub(crate) fn bye(&self, why: Bye) {
        let place = Bye::ALL.iter().position(|each| *each == why).unwrap_or_default();
        self.ask(u8::try_from(place + 1).unwrap_or(CUT));
    }

    /// Asks the stream to end as if the process had died.
    pub(crate) fn cut(&self) {
        self.ask(CUT);
    }

    fn ask(&self, what: u8) {
        // The waker orders this store before the poll that it causes.
        let _ = self.end.compare_exchange(OPEN, what, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
    }

    pub(crate) fn asked(&self) -> Asked {
        match self.end.load(Ordering::Acquire) {
            OPEN => Asked::Nothing,
            CUT => Asked::Cut,
            place => Bye::ALL.get(usize::from(place) - 1).map_or(Asked::Cut, |why| Asked::Bye(*why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts() {
        for why in Bye::ALL {
            let handle = Handle::new(Timestamp::UNIX_EPOCH);
            assert_eq!(handle.asked(), Asked::Nothing);
            handle.bye(why);
            handle.cut();
            assert_eq!(handle.asked(), Asked::Bye(why));
        }
    }

    #[test]
    fn a_cut_is_no_bye() {
        let handle = Handle::new(Timestamp::UNIX_EPOCH);
        handle.cut();
        assert_eq!(handle.asked(), Asked::Cut);
    }
}
