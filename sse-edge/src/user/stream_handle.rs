//! What other parts of an edge hold of a stream: a way to notify it, and a way to end it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    },
    task::Waker,
};

use domain::credential::Credential;
use futures_util::task::AtomicWaker;
use store::inbox::Image;

use crate::{context::lock::Lock, wire::reason::CloseReason};

/// The stream is to stay open.
const OPEN: u8 = 0;
/// The stream has to end without bye.
const CUT: u8 = u8::MAX;

/// A handle of one open stream.
#[derive(Debug)]
pub(crate) struct StreamHandle {
    waker: AtomicWaker,
    /// Whether events wake the stream. A stream with a full socket is not woken: it looks for events once the socket
    /// accepts bytes again.
    wants_events: AtomicBool,
    /// `OPEN`, `CUT`, or 1 + the discriminant of a reason.
    end: AtomicU8,
    /// The credential that opened it.
    pub(crate) credential: Credential,
    /// How many streams of the user had joined when this one did, itself included.
    joined: AtomicU32,
    /// The image that the taking of the user's lease has brought, until the stream takes it.
    image: Lock<Option<Arc<Image>>>,
}

/// How a stream was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndRequest {
    /// Not at all.
    Open,
    /// With bye.
    Close(CloseReason),
    /// At once, as if the process had died.
    Cut,
}

impl StreamHandle {
    pub(crate) fn new(credential: Credential) -> Self {
        Self {
            waker: AtomicWaker::new(),
            wants_events: AtomicBool::new(true),
            end: AtomicU8::new(OPEN),
            credential,
            joined: AtomicU32::new(0),
            image: Lock::new(None),
        }
    }

    /// The stream is the `count`th that has joined its user.
    pub(super) fn join_as(&self, count: u32) {
        self.joined.store(count, Ordering::Relaxed);
    }

    /// How many streams of the user had joined when this one did.
    pub(super) fn joined(&self) -> u32 {
        self.joined.load(Ordering::Relaxed)
    }

    /// Gives the stream an image of the user row that was asked for after the stream had joined.
    pub(super) fn give(&self, image: Arc<Image>) {
        *self.image.lock() = Some(image);
    }

    /// Takes the image.
    pub(crate) fn take_image(&self) -> Option<Arc<Image>> {
        self.image.lock().take()
    }

    /// Has events and the end wake `waker`. The stream calls this before it looks for either.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.waker.register(waker);
        self.wants_events.store(true, Ordering::Release);
    }

    /// Has the end alone wake `waker`.
    pub(crate) fn listen_for_the_end(&self, waker: &Waker) {
        self.wants_events.store(false, Ordering::Release);
        self.waker.register(waker);
    }

    /// There are events. Called under the lock that the stream takes to look for them.
    pub(crate) fn notify(&self) {
        if self.wants_events.load(Ordering::Acquire) {
            self.waker.wake();
        }
    }

    /// Asks the stream to say bye and end. The first reason counts.
    pub(crate) fn close(&self, why: CloseReason) {
        self.end(1 + why as u8);
    }

    /// Asks the stream to end as if the process had died.
    pub(crate) fn cut(&self) {
        self.end(CUT);
    }

    fn end(&self, how: u8) {
        // The waker orders this store before the poll that it causes.
        let _ = self.end.compare_exchange(OPEN, how, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
    }

    /// How the stream was asked to end.
    pub(crate) fn end_request(&self) -> EndRequest {
        match self.end.load(Ordering::Acquire) {
            OPEN => EndRequest::Open,
            CUT => EndRequest::Cut,
            place => CloseReason::ALL
                .get(usize::from(place) - 1)
                .map_or(EndRequest::Cut, |why| EndRequest::Close(*why)),
        }
    }
}

#[cfg(test)]
impl StreamHandle {
    /// One that a token without a session has opened.
    pub(crate) fn opened_at(issued_at: jiff::Timestamp) -> Self {
        Self::new(Credential { issued_at, session: None })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::Wake,
    };

    use jiff::Timestamp;

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
        for why in CloseReason::ALL {
            let handle = StreamHandle::opened_at(Timestamp::UNIX_EPOCH);
            assert_eq!(handle.end_request(), EndRequest::Open);
            handle.close(why);
            handle.cut();
            assert_eq!(handle.end_request(), EndRequest::Close(why));
        }
    }

    #[test]
    fn a_stream_whose_socket_is_full_is_woken_for_the_end_alone() {
        let (handle, woken) = (StreamHandle::opened_at(Timestamp::UNIX_EPOCH), Arc::new(Woken::default()));
        let (waker, count) = (Waker::from(woken.clone()), || woken.0.load(Ordering::Relaxed));
        handle.listen_for_the_end(&waker);
        handle.notify();
        assert_eq!(count(), 0);
        handle.close(CloseReason::Drain);
        assert_eq!(count(), 1);
        handle.listen(&waker);
        handle.notify();
        assert_eq!(count(), 2);
    }

    #[test]
    fn a_cut_is_not_a_close() {
        let handle = StreamHandle::opened_at(Timestamp::UNIX_EPOCH);
        handle.cut();
        assert_eq!(handle.end_request(), EndRequest::Cut);
    }
}
