//! What the rest of an edge holds of a stream: a way to wake it, and a way to end it.

use std::{
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    task::Waker,
};

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
    waker: AtomicWaker,
    /// Whether news wake it. Not while its socket takes nothing: it asks for them once that does.
    hears: AtomicBool,
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
        Self { waker: AtomicWaker::new(), hears: AtomicBool::new(true), end: AtomicU8::new(OPEN), issued_at }
    }

    /// Has `waker` called for news and for the end. To be called before either is looked at.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.waker.register(waker);
        self.hears.store(true, Ordering::Release);
    }

    /// Has `waker` called for the end alone.
    pub(crate) fn listen_for_the_end(&self, waker: &Waker) {
        self.hears.store(false, Ordering::Release);
        self.waker.register(waker);
    }

    /// There are news. To be called under the lock that the stream takes to look at them.
    pub(crate) fn tell(&self) {
        if self.hears.load(Ordering::Acquire) {
            self.waker.wake();
        }
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
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

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
    fn who_cannot_speak_is_woken_for_the_end_alone() {
        let (handle, woken) = (Handle::new(Timestamp::UNIX_EPOCH), Arc::new(Woken::default()));
        let (waker, count) = (Waker::from(woken.clone()), || woken.0.load(Ordering::Relaxed));
        handle.listen_for_the_end(&waker);
        handle.tell();
        assert_eq!(count(), 0);
        handle.bye(Bye::Drain);
        assert_eq!(count(), 1);
        handle.listen(&waker);
        handle.tell();
        assert_eq!(count(), 2);
    }

    #[test]
    fn a_cut_is_no_bye() {
        let handle = Handle::new(Timestamp::UNIX_EPOCH);
        handle.cut();
        assert_eq!(handle.asked(), Asked::Cut);
    }
}
