//! The users with streams on this edge, and what the streams of one user share: the ring, the ephemeral events, the
//! lease.
//!
//! One lock protects all state of a user. Lock order: the hub's lock, then a user's lock. Streams are woken under the
//! lock, because a woken task runs later.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, MutexGuard},
};

use domain::{cursor::Cursor, frame::Id, ids::UserId, limits, sequence::InboxSeq};
use mistakes::mistake;
use store::inbox::{Event, Image};
use tokio::time::Instant;

use crate::{
    context::lock::Lock,
    replay::{
        Replay, Step,
        ephemeral::{Ephemeral, Ephemerals},
        ring::Ring,
    },
    wire::{encoded_event::EncodedEvent, reason::CloseReason},
};

pub(crate) mod hub;
pub(crate) mod lease;
pub(crate) mod schedule;
pub(crate) mod stream_handle;
#[cfg(test)]
mod tests;
pub(crate) mod work;

use schedule::{ChangedUsers, Schedule, Watched};
use stream_handle::StreamHandle;
use work::{Work, WorkerState};

/// A user with streams on this edge, or with one that ended less than [`limits::LINGER`] ago.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) id: UserId,
    state: Lock<State>,
    /// Where the user is listed when its schedule changes.
    changed: Arc<ChangedUsers>,
}

#[derive(Debug)]
struct State {
    streams: Vec<Arc<StreamHandle>>,
    /// Streams that have joined so far.
    joins: u32,
    /// The pending lease call answers the streams up to this number.
    asked: Option<u32>,
    /// The streams up to this number read the row themselves.
    unanswered: u32,
    /// None until the row was read.
    ring: Option<Ring>,
    /// The furthest place that an envelope or a row has named.
    hinted: Option<Cursor>,
    /// None until the first ephemeral event.
    ephemerals: Option<Box<Ephemerals>>,
    /// Work that the worker has still to do.
    requested: Work,
    schedule: Watched<Schedule>,
}

/// The lock on a user's state. Dropping it lists the user as changed if its schedule has changed.
struct StateGuard<'a> {
    state: MutexGuard<'a, State>,
    user: &'a User,
}

/// What a stream does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Show an event, with this id.
    Event(Arc<EncodedEvent>, Id, More),
    /// Something else.
    Step(Step),
}

/// Whether a stream has more to show at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    /// It has to ask again.
    Perhaps,
    /// Nothing, until it is notified or its ping is due.
    Nothing,
}

impl User {
    pub(crate) fn new(id: UserId, changed: Arc<ChangedUsers>, now: Instant) -> Arc<Self> {
        let state = State {
            streams: Vec::with_capacity(1),
            joins: 0,
            asked: None,
            unanswered: 0,
            ring: None,
            hinted: None,
            ephemerals: None,
            requested: Work::NOTHING,
            schedule: Watched::new(Schedule::new(now)),
        };
        Arc::new(Self { id, state: Lock::new(state), changed })
    }

    fn state(&self) -> StateGuard<'_> {
        StateGuard { state: self.state.lock(), user: self }
    }

    // ---- streams -------------------------------------------------------------------------

    /// Adds a stream, and returns the work that this causes. None at the limit.
    pub(crate) fn join(&self, handle: Arc<StreamHandle>, now: Instant) -> Option<Work> {
        let mut state = self.state();
        if state.streams.len() >= limits::USER_STREAMS {
            return None;
        }
        if state.streams.is_empty() {
            state.schedule.first_stream_opened(now);
        }
        state.joins += 1;
        handle.join_as(state.joins);
        state.streams.push(handle);
        Some(match (state.schedule.lease.held(), &state.ring) {
            (Some(_), Some(_)) if state.behind().is_none() => Work::NOTHING,
            (Some(_), Some(_)) => Work::CATCH_UP,
            _ => Work::TAKE_LEASE,
        })
    }

    /// Removes a stream.
    pub(crate) fn leave(&self, handle: &Arc<StreamHandle>, now: Instant) {
        let mut state = self.state();
        state.streams.retain(|each| !Arc::ptr_eq(each, handle));
        if state.streams.is_empty() {
            state.schedule.last_stream_closed(now);
        }
    }

    /// The open streams.
    pub(crate) fn handles(&self) -> Vec<Arc<StreamHandle>> {
        self.state().streams.clone()
    }

    /// What a stream does next. `ephemeral_version` is the version of the last ephemeral event that it has shown.
    pub(crate) fn next(&self, replay: &mut Replay, ephemeral_version: &mut u64, now: Instant) -> Next {
        let state = self.state();
        let bounds = state.ring.as_ref().map(Ring::bounds);
        let ephemeral =
            |version| state.ephemerals.as_ref().and_then(|ephemerals| ephemerals.after(version, now));
        if mistake!(TypingMovesCursor)
            && let Some(bounds) = bounds
            && let Some((version, event)) = ephemeral(*ephemeral_version)
        {
            *ephemeral_version = version;
            return Next::Event(event.clone(), Id::At(bounds.cursor()), More::Perhaps);
        }
        match replay.step(bounds, now) {
            Step::Ship(seq) => {
                let event = state.ring.as_ref().and_then(|ring| ring.get(seq));
                let event = event.expect("the ring holds what its bounds say").clone();
                let has_ephemerals =
                    state.latest_ephemeral().is_some_and(|latest| latest != *ephemeral_version);
                let is_last = replay.is_live(bounds) && !has_ephemerals;
                Next::Event(event, replay.id(), if is_last { More::Nothing } else { More::Perhaps })
            }
            Step::Wait if replay.is_live(bounds) => {
                if let Some((version, event)) = ephemeral(*ephemeral_version) {
                    *ephemeral_version = version;
                    return Next::Event(event.clone(), replay.id(), More::Perhaps);
                }
                // The events that it has not shown have expired.
                *ephemeral_version = state.latest_ephemeral().unwrap_or(*ephemeral_version);
                Next::Step(Step::Wait)
            }
            step => Next::Step(step),
        }
    }

    /// Whether a stream has shipped everything that an envelope or a row has named.
    pub(crate) fn is_caught_up(&self, replay: &Replay) -> bool {
        let state = self.state();
        replay.is_live(state.ring.as_ref().map(Ring::bounds)) && state.behind().is_none()
    }

    /// The version of the latest ephemeral event.
    pub(crate) fn latest_ephemeral(&self) -> u64 {
        self.state().latest_ephemeral().unwrap_or(0)
    }

    // ---- envelopes -----------------------------------------------------------------------

    /// An envelope names an event at a place of the inbox, and may carry the event.
    pub(crate) fn envelope_received(&self, at: Cursor, event: Option<&Arc<EncodedEvent>>) -> Work {
        let mut state = self.state();
        let Some(ring) = &mut state.ring else {
            state.hint(at);
            return Work::NOTHING;
        };
        let bounds = ring.bounds();
        if bounds.generation != at.r#gen {
            return Work::READ_ROW;
        }
        if at.seq <= bounds.end {
            return Work::NOTHING;
        }
        state.active();
        let Some(ring) = &mut state.ring else { return Work::NOTHING };
        if event.is_some_and(|event| ring.push(at.seq, event)) {
            state.notify();
        } else {
            state.hint(at);
        }
        if state.behind().is_some() { Work::CATCH_UP } else { Work::NOTHING }
    }

    /// An ephemeral event that is worth showing until `expires_at` has arrived; false if it is shed.
    pub(crate) fn ephemeral_received(&self, ephemeral: Ephemeral, now: Instant, expires_at: Instant) -> bool {
        let mut state = self.state();
        let accepted = state.ephemerals.get_or_insert_default().accept(ephemeral, now, expires_at);
        if accepted {
            state.notify();
        }
        accepted
    }

    // ---- the row and the inbox -----------------------------------------------------------

    /// A lease is about to be taken. The answer is an image for the streams that have joined by now.
    pub(crate) fn lease_asked(&self) {
        let mut state = self.state();
        state.asked = Some(state.joins);
    }

    /// The taking of a lease has brought an image.
    pub(crate) fn lease_answered(&self, image: &Arc<Image>) {
        let mut state = self.state();
        let asked = state.asked.take().unwrap_or(0);
        for handle in state.streams.iter().filter(|handle| handle.joined() <= asked) {
            handle.give(image.clone());
        }
        state.unanswered = state.joins;
        state.row_read(image);
    }

    /// A lease could not be taken, or is held already: streams read for themselves.
    pub(crate) fn lease_unanswered(&self) {
        let mut state = self.state();
        state.asked = None;
        state.unanswered = state.joins;
        state.notify();
    }

    /// Whether the taking of the lease will bring an image for a stream, or tell it to read for itself.
    pub(crate) fn will_answer(&self, handle: &StreamHandle) -> bool {
        let state = self.state();
        let is_taking = match state.asked {
            Some(asked) => handle.joined() <= asked,
            None => {
                state.requested.has(Work::TAKE_LEASE) || state.schedule.worker == WorkerState::TakingLease
            }
        };
        handle.joined() > state.unanswered && is_taking
    }

    /// The row was read consistently.
    pub(crate) fn row_read(&self, image: &Image) {
        self.state().row_read(image);
    }

    /// The row was read for one stream.
    pub(crate) fn row_seen(&self, head: Cursor) -> Work {
        let mut state = self.state();
        if state.ring.as_ref().is_some_and(|ring| ring.bounds().generation != head.r#gen) {
            return Work::READ_ROW;
        }
        state.hint(head);
        if state.behind().is_some() { Work::CATCH_UP } else { Work::NOTHING }
    }

    /// A comparison has read the row, perhaps as it was a moment ago. `is_held` says whether the row has the lease of
    /// this edge.
    pub(crate) fn row_compared(&self, image: &Image, is_held: bool) -> Work {
        let mut state = self.state();
        state.schedule.checked();
        state.close_revoked(image);
        let Some(bounds) = state.ring.as_ref().map(Ring::bounds) else {
            return if state.streams.is_empty() { Work::NOTHING } else { Work::READ_ROW };
        };
        if bounds.generation != image.cursor.r#gen {
            return Work::READ_ROW;
        }
        if image.cursor.seq <= bounds.end {
            return Work::NOTHING;
        }
        state.active();
        state.hint(image.cursor);
        // Somebody has posted nothing, or to another edge. The schedule takes a lease that is not confirmed.
        if state.schedule.lease.is_confirmed() && !is_held {
            return Work::TAKE_LEASE.and(Work::CATCH_UP);
        }
        Work::CATCH_UP
    }

    /// The inbox behind the ring was read; false if the next event is not there yet.
    pub(crate) fn page_read(&self, events: &[Event]) -> bool {
        let mut state = self.state();
        let Some(ring) = &mut state.ring else { return true };
        // An envelope may have brought the event meanwhile.
        let before = ring.bounds().end;
        let pushed = events
            .iter()
            .filter(|event| ring.push(event.seq, &EncodedEvent::told(&event.news, self.id.as_str(), None)))
            .count();
        let moved = pushed > 0 || events.first().is_some_and(|event| event.seq <= before);
        state.notify();
        moved
    }

    /// The events after `after` are gone, up to the end of the image: the ring goes on behind them.
    pub(crate) fn skip_gap(&self, after: Cursor, image: &Image) {
        let mut state = self.state();
        let Some(ring) = state.ring.as_ref().filter(|ring| ring.bounds().cursor() == after) else { return };
        state.ring = Some(ring.past_gap(image.cursor));
        state.notify();
    }

    /// The row says that the inbox ends at `end`: a hint beyond that was none of ours.
    pub(crate) fn hint_disproved(&self, end: Cursor) {
        let mut state = self.state();
        if state.hinted.is_some_and(|hinted| hinted.r#gen == end.r#gen && hinted.seq > end.seq) {
            state.hinted = None;
        }
    }
}

impl State {
    fn row_read(&mut self, image: &Image) {
        self.close_revoked(image);
        let cursor = image.cursor;
        let is_far = |end: InboxSeq| cursor.seq - end > limits::REPLAY_EVENTS;
        match self.ring.as_ref().map(Ring::bounds) {
            Some(bounds) if bounds.generation == cursor.r#gen && !is_far(bounds.end) => self.hint(cursor),
            // A new user, another inbox, or too far behind: no stream shows the events in between.
            _ => self.ring = Some(Ring::at(cursor)),
        }
        self.notify();
    }

    fn active(&mut self) {
        // Only a change of the schedule lists the user anew.
        if self.schedule.is_quiet() {
            self.schedule.active();
        }
    }

    fn notify(&self) {
        self.streams.iter().for_each(|handle| handle.notify());
    }

    fn hint(&mut self, at: Cursor) {
        let is_further = self.hinted.is_none_or(|known| known.r#gen != at.r#gen || known.seq < at.seq);
        if is_further {
            self.hinted = Some(at);
        }
    }

    /// The end of the ring, if the inbox has more.
    fn behind(&self) -> Option<Cursor> {
        let end = self.ring.as_ref()?.bounds().cursor();
        let hinted = self.hinted.filter(|hinted| hinted.r#gen == end.r#gen && hinted.seq > end.seq);
        hinted.map(|_| end)
    }

    fn latest_ephemeral(&self) -> Option<u64> {
        self.ephemerals.as_ref().map(|ephemerals| ephemerals.version())
    }

    fn close_revoked(&self, image: &Image) {
        let revoked = self.streams.iter().filter(|stream| image.revokes(&stream.credential));
        let revoked = revoked.filter(|_| !mistake!(RevokedStays));
        revoked.for_each(|stream| stream.close(CloseReason::Revoked));
    }
}

impl Deref for StateGuard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for StateGuard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for StateGuard<'_> {
    fn drop(&mut self) {
        if self.state.schedule.is_to_be_listed() {
            self.user.changed.list(self.user.id.clone());
        }
    }
}
