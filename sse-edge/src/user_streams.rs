//! One user's open streams on this edge, and what they share: the ring, who types, the lease.
//!
//! Everything lies behind one `std` mutex, held for a few lookups and never across an `.await`.
//! Whoever holds the hub's lock may take this one; never the other way round. Streams are woken
//! while it is held: a woken task only runs later.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{cursor::Cursor, event::EventName, frame, ids::UserId, limits, wire::Typing};
use mistakes::mistake;
use store::inbox::{Event, Head};
use tokio::time::Instant;

use crate::{
    frames::{Bye, Frame},
    handle::Handle,
    ring::{Ring, Shown},
    splice::{Splice, Step},
    tend::Ask,
    typing::Typings,
};

pub(crate) mod lease;
#[cfg(test)]
mod tests;
pub(crate) mod turns;

/// A user with streams here, or with one that ended less than [`limits::LINGER`] ago.
#[derive(Debug)]
pub(crate) struct UserStreams {
    pub(crate) user: UserId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    streams: Vec<Arc<Handle>>,
    /// Absent until HEAD was read behind the lease.
    ring: Option<Ring>,
    /// The furthest place that anybody spoke of.
    hinted: Option<Cursor>,
    /// Absent until somebody types.
    typings: Option<Box<Typings>>,
    lease: Option<lease::Held>,
    /// Whether the table may have a lease for this edge that the edge does not know of.
    in_doubt: bool,
    /// Takes since the lease was last known to be held.
    lease_tries: u32,
    /// When to take a lease, or to see that it is still held.
    lease_due: Instant,
    check_at: Instant,
    /// Whether the cursor is being compared with HEAD.
    checking: bool,
    /// When the ring was last known to be no further behind HEAD than anybody had said.
    checked_at: Instant,
    empty_since: Option<Instant>,
    asked: Ask,
    tended: Tended,
}

/// Whether a task tends the user; there is never more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tended {
    No,
    /// And is taking a lease.
    Taking,
    Otherwise,
}

/// What a stream gets when it asks for more.
#[derive(Debug)]
pub(crate) enum Next {
    /// An event of the ring.
    Shown(Arc<Shown>, More),
    /// A typing frame.
    Typing(Frame),
    /// Something else is to be done.
    Step(Step),
}

/// Whether there is more to say at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    /// To be asked.
    Perhaps,
    /// Nothing, until something wakes the stream or it is time for a ping.
    Nothing,
}

impl UserStreams {
    pub(crate) fn new(user: UserId, now: Instant) -> Self {
        let state = State {
            streams: Vec::with_capacity(1),
            ring: None,
            hinted: None,
            typings: None,
            lease: None,
            in_doubt: false,
            lease_tries: 0,
            lease_due: now,
            check_at: now + limits::FIRST_CHECK,
            checking: false,
            checked_at: now,
            empty_since: Some(now),
            asked: Ask::NOTHING,
            tended: Tended::No,
        };
        Self { user, state: Mutex::new(state) }
    }

    /// A panic elsewhere leaves nothing half done that matters: the inbox is the truth.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- streams -------------------------------------------------------------------------

    /// Adds a stream, and says what that asks for; nothing is added above the limit.
    pub(crate) fn join(&self, handle: Arc<Handle>, now: Instant) -> Option<Ask> {
        let mut state = self.state();
        if state.streams.len() >= limits::USER_STREAMS {
            return None;
        }
        if state.streams.is_empty() {
            // Nobody was here to be checked for.
            state.checked_at = now;
        }
        state.streams.push(handle);
        state.empty_since = None;
        Some(match (&state.lease, &state.ring) {
            (Some(_), Some(_)) if state.is_behind().is_none() => Ask::NOTHING,
            (Some(_), Some(_)) => Ask::CATCH_UP,
            _ => Ask::LEASE,
        })
    }

    /// Takes a stream out.
    pub(crate) fn leave(&self, handle: &Arc<Handle>, now: Instant) {
        let mut state = self.state();
        state.streams.retain(|each| !Arc::ptr_eq(each, handle));
        if state.streams.is_empty() {
            state.empty_since = Some(now);
        }
    }

    /// The open streams.
    pub(crate) fn handles(&self) -> Vec<Arc<Handle>> {
        self.state().streams.clone()
    }

    /// What a stream does next. `shown` is the version of the last typing event that it has shown.
    pub(crate) fn next(&self, splice: &mut Splice, shown: &mut u64, now: Instant) -> Next {
        let state = self.state();
        let view = state.ring.as_ref().map(Ring::view);
        if mistake!(TypingMovesCursor)
            && let Some(view) = view
            && let Some((version, data)) =
                state.typings.as_ref().and_then(|typings| typings.after(*shown, now))
        {
            *shown = version;
            let id = crate::frames::Id(Some(view.cursor()));
            return Next::Typing(Frame::new(frame::lines(EventName::Typing, data), id));
        }
        match splice.step(view, now) {
            Step::Ship(seq) => {
                let event = state.ring.as_ref().and_then(|ring| ring.shown(seq));
                let typed = state.typings.as_ref().is_some_and(|typings| typings.version() != *shown);
                let more = if splice.is_live(view) && !typed { More::Nothing } else { More::Perhaps };
                Next::Shown(event.expect("the ring holds what its view says").clone(), more)
            }
            Step::Wait if splice.is_live(view) => {
                let typings = state.typings.as_ref();
                if let Some((version, data)) = typings.and_then(|typings| typings.after(*shown, now)) {
                    *shown = version;
                    return Next::Typing(Frame::new(frame::lines(EventName::Typing, data), splice.id()));
                }
                // What it has not shown is not worth showing any more.
                *shown = typings.map_or(*shown, |typings| typings.version());
                Next::Step(Step::Wait)
            }
            step => Next::Step(step),
        }
    }

    /// Whether a stream has shipped all that anybody spoke of.
    pub(crate) fn is_caught_up(&self, splice: &Splice) -> bool {
        let state = self.state();
        splice.is_live(state.ring.as_ref().map(Ring::view)) && state.is_behind().is_none()
    }

    /// The version of the latest typing event.
    pub(crate) fn typed(&self) -> u64 {
        self.state().typings.as_ref().map_or(0, |typings| typings.version())
    }

    // ---- news ----------------------------------------------------------------------------

    /// Takes an envelope's word for an event at a place of the inbox.
    pub(crate) fn deliver(&self, at: Cursor, shown: Option<&Arc<Shown>>) -> Ask {
        let mut state = self.state();
        let Some(ring) = &mut state.ring else {
            state.hint(at);
            return Ask::NOTHING;
        };
        let view = ring.view();
        if view.generation != at.r#gen {
            return Ask::HEAD;
        }
        if at.seq <= view.end {
            return Ask::NOTHING;
        }
        if shown.is_some_and(|shown| ring.push(at.seq, shown)) {
            state.wake();
        } else {
            state.hint(at);
        }
        if state.is_behind().is_some() { Ask::CATCH_UP } else { Ask::NOTHING }
    }

    /// Takes a typing event; false if it is shed.
    pub(crate) fn typing(&self, typing: &Typing, data: &str, now: Instant, expires_at: Instant) -> bool {
        let mut state = self.state();
        let taken = state.typings.get_or_insert_default().take(typing, data, now, expires_at);
        if taken {
            state.wake();
        }
        taken
    }

    // ---- HEAD and inbox ------------------------------------------------------------------

    /// Takes HEAD as read behind the lease.
    pub(crate) fn settle(&self, head: &Head) {
        let mut state = self.state();
        state.revoke(head);
        let cursor = head.cursor;
        let far = |end: u64| cursor.seq.saturating_sub(end) > limits::REPLAY_EVENTS;
        match state.ring.as_ref().map(Ring::view) {
            Some(view) if view.generation == cursor.r#gen && !far(view.end) => state.hint(cursor),
            // Nobody is to be shown what lies between: new here, another inbox, or too far behind.
            _ => state.ring = Some(Ring::at(cursor)),
        }
        state.wake();
    }

    /// Takes HEAD as read for one stream.
    pub(crate) fn saw(&self, head: Cursor) -> Ask {
        let mut state = self.state();
        if state.ring.as_ref().is_some_and(|ring| ring.view().generation != head.r#gen) {
            return Ask::HEAD;
        }
        state.hint(head);
        if state.is_behind().is_some() { Ask::CATCH_UP } else { Ask::NOTHING }
    }

    /// Compares with HEAD as read in passing, perhaps a little old; says what that asks for.
    pub(crate) fn compare(&self, head: &Head, now: Instant) -> Ask {
        let mut state = self.state();
        state.checked_at = now;
        state.revoke(head);
        match state.ring.as_ref().map(Ring::view) {
            Some(view) if view.generation != head.cursor.r#gen || head.cursor.seq > view.end => Ask::AGAIN,
            None if !state.streams.is_empty() => Ask::AGAIN,
            _ => Ask::NOTHING,
        }
    }

    /// Takes what was read of the inbox behind the ring; false if the next event was not there.
    pub(crate) fn extend(&self, events: &[Event]) -> bool {
        let mut state = self.state();
        let Some(ring) = &mut state.ring else { return true };
        // An envelope may have been faster, which is as good.
        let before = ring.view().end;
        let pushed =
            events.iter().filter(|event| ring.push(event.seq, &Shown::new(&event.news, None))).count();
        let moved = pushed > 0 || events.first().is_some_and(|event| event.seq <= before);
        state.wake();
        moved
    }

    /// Gives up what lies between the ring and HEAD, or a hint that HEAD does not bear out.
    /// True if there was a hole.
    pub(crate) fn give_up(&self, after: Cursor, head: &Head) -> bool {
        let mut state = self.state();
        let Some(ring) = &state.ring else { return false };
        if ring.view().cursor() != after {
            return false;
        }
        let past = ring.past_hole(head.cursor);
        state.hinted = None;
        if head.cursor.r#gen == after.r#gen && head.cursor.seq <= after.seq {
            return false;
        }
        state.ring = Some(past);
        state.wake();
        true
    }
}

impl State {
    fn wake(&self) {
        self.streams.iter().for_each(|handle| handle.tell());
    }

    fn hint(&mut self, at: Cursor) {
        let further = self.hinted.is_none_or(|known| known.r#gen != at.r#gen || known.seq < at.seq);
        if further {
            self.hinted = Some(at);
        }
    }

    /// Where the ring ends, if there is more to be had.
    fn is_behind(&self) -> Option<Cursor> {
        let end = self.ring.as_ref()?.view().cursor();
        let hinted = self.hinted.filter(|hinted| hinted.r#gen == end.r#gen && hinted.seq > end.seq);
        hinted.map(|_| end)
    }

    fn revoke(&self, head: &Head) {
        let Some(authv) = head.authv else { return };
        self.streams.iter().filter(|s| s.issued_at < authv).for_each(|s| s.bye(Bye::Revoked));
    }
}
