//! What a stream ships next, as a pure machine: `(state, input) → step`.
//!
//! The one rule: a stream ships `cursor + 1` from wherever it is, from the ring if the ring holds it, else from the
//! inbox, and nothing else. The stream does what the steps say, and passes on what came of it. There is no clock and
//! no I/O in here, so that the machine can be tested as a whole.

use std::time::Duration;

use domain::{cursor::Cursor, frame::Id, limits, sequence::InboxSeq};
use mistakes::mistake;
use store::inbox::Rest;
use tokio::time::Instant;

use crate::wire::{frame::Status, last_event_id::LastEventId, reason::ResetReason};

pub(crate) mod ephemeral;
pub(crate) mod ring;
#[cfg(test)]
mod tests;

use ring::RingBounds;

/// The first pause before something is read again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ship this event from the ring. The cursor is there already.
    Ship(InboxSeq),
    /// Ship a reset with this cursor. The stream goes on from there.
    Reset {
        /// The new cursor.
        to: Cursor,
        /// What was wrong with the old one.
        why: ResetReason,
    },
    /// Read the user row consistently, then call [`Replay::row_read`].
    ReadRow,
    /// Read the settled cursor, then call [`Replay::settled_read`].
    ReadSettled,
    /// Read the inbox after this seq consistently, then call [`Replay::page_read`].
    ReadInbox {
        /// The last seq shipped.
        after: InboxSeq,
    },
    /// Nothing before this time, unless the ring changes.
    WaitUntil(Instant),
    /// Nothing before the ring changes.
    Wait,
}

/// One stream's place between its past and the present.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The stream's own cursor: the last event shipped or, before that, what the client sent.
    own: Option<Cursor>,
    state: State,
    /// Boxed, since most streams are idle for most of their life.
    pause: Option<Box<Pause>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The row was not read yet.
    Unjudged,
    /// The cursor was above the inbox once; the row is read again at this time.
    Doubted(Instant),
    /// The cursor is of no use. Another one is read.
    Lost(ResetReason),
    /// The new cursor is known.
    Found(ResetReason),
    /// The cursor counts.
    Following,
}

/// The next read is due, but not yet.
#[derive(Debug, Clone, Copy)]
struct Pause {
    length: Duration,
    until: Instant,
}

impl Replay {
    /// The replay of a client that sent this.
    pub(crate) fn new(last_event_id: LastEventId) -> Self {
        let (own, state) = match last_event_id {
            LastEventId::Absent => (None, State::Unjudged),
            LastEventId::Invalid => (None, State::Lost(ResetReason::Unreadable)),
            LastEventId::Cursor(cursor) => (Some(cursor), State::Unjudged),
        };
        Self { own, state, pause: None }
    }

    /// The id of a frame that does not move the cursor.
    pub(crate) fn id(&self) -> Id {
        match (self.own, self.state) {
            (Some(own), _) => Id::At(own),
            (None, State::Lost(_) | State::Found(_)) => Id::Unreadable,
            (None, _) => Id::Empty,
        }
    }

    /// Whether the client has brought no cursor, and has none yet.
    pub(crate) fn needs_cursor(&self) -> bool {
        self.own.is_none() && self.state == State::Unjudged
    }

    /// The stream's own cursor.
    pub(crate) fn cursor(&self) -> Option<Cursor> {
        self.own
    }

    /// What hello says, once that is known. Without the row nothing more is known of a cursor than that there is one.
    pub(crate) fn greeting(&self, is_fresh: bool) -> Option<Status> {
        match self.state {
            State::Unjudged if self.own.is_none() => None,
            State::Doubted(_) => None,
            State::Lost(_) | State::Found(_) => Some(Status::Reset),
            State::Unjudged | State::Following if is_fresh => Some(Status::Fresh),
            State::Unjudged | State::Following => Some(Status::Resumed),
        }
    }

    /// Whether the stream has shipped everything in the ring. Ephemeral events go to live streams only.
    pub(crate) fn is_live(&self, ring: Option<RingBounds>) -> bool {
        let at_end = ring.is_some_and(|ring| self.own == Some(ring.cursor()));
        self.state == State::Following && at_end
    }

    /// What to do now.
    pub(crate) fn step(&mut self, ring: Option<RingBounds>, now: Instant) -> Step {
        match (self.state, self.own, ring) {
            (State::Following, Some(own), Some(ring)) => self.follow(own, ring, now),
            (State::Found(why), Some(to), _) => {
                self.state = State::Following;
                Step::Reset { to, why }
            }
            (State::Lost(_), ..) | (State::Unjudged, None, _) => self.unless_paused(now, Step::ReadSettled),
            // Another stream has shipped as much meanwhile, so the inbox holds it.
            (State::Doubted(_), Some(own), Some(ring)) if ring.reaches(own) => {
                self.state = State::Following;
                self.follow(own, ring, now)
            }
            (State::Doubted(again), ..) if now < again => Step::WaitUntil(again),
            (State::Unjudged | State::Doubted(_), ..) => self.unless_paused(now, Step::ReadRow),
            (State::Following | State::Found(_), ..) => Step::Wait,
        }
    }

    fn follow(&mut self, own: Cursor, ring: RingBounds, now: Instant) -> Step {
        if own.r#gen != ring.generation {
            return self.lose(ResetReason::Generation, now);
        }
        if own.seq >= ring.end {
            self.pause = None;
            return Step::Wait;
        }
        if own.seq + 1 >= ring.start {
            self.shipped(own.seq + 1);
            return Step::Ship(own.seq + 1);
        }
        if ring.end - own.seq > limits::REPLAY_EVENTS {
            return self.lose(ResetReason::Behind, now);
        }
        if ring.gap_after == Some(own.seq) {
            return self.lose(ResetReason::Gap, now);
        }
        self.unless_paused(now, Step::ReadInbox { after: own.seq })
    }

    fn lose(&mut self, why: ResetReason, now: Instant) -> Step {
        self.state = State::Lost(why);
        self.unless_paused(now, Step::ReadSettled)
    }

    fn unless_paused(&self, now: Instant, step: Step) -> Step {
        match &self.pause {
            Some(pause) if now < pause.until => Step::WaitUntil(pause.until),
            _ => step,
        }
    }

    /// The row was read: the inbox ends at `head`.
    pub(crate) fn row_read(&mut self, head: Cursor, now: Instant) {
        self.pause = None;
        let (State::Unjudged | State::Doubted(_), Some(own)) = (self.state, self.own) else { return };
        if mistake!(HelloMovesCursor) || mistake!(StreamAtPresent) {
            let moves = own.r#gen != head.r#gen || mistake!(StreamAtPresent);
            self.own = Some(if moves { head } else { own });
        }
        self.state = if own.r#gen != head.r#gen {
            State::Lost(ResetReason::Generation)
        } else if own.seq > head.seq && self.state == State::Unjudged {
            State::Doubted(now + limits::CURSOR_PATIENCE)
        } else if own.seq > head.seq {
            State::Lost(ResetReason::Above)
        } else if head.seq - own.seq > limits::REPLAY_EVENTS {
            State::Lost(ResetReason::Behind)
        } else {
            State::Following
        };
    }

    /// A new cursor was read for a client without a usable one.
    pub(crate) fn settled_read(&mut self, cursor: Cursor) {
        self.pause = None;
        self.state = match self.state {
            State::Lost(why) => State::Found(why),
            State::Unjudged if self.own.is_none() => State::Following,
            _ => return,
        };
        self.own = Some(cursor);
    }

    /// A page of the inbox was read. Returns how many of its first events to ship; [`Replay::shipped`] is to be called
    /// for each.
    ///
    /// An event whose content is not visible yet is waited for. Only a page that has expired is a gap.
    pub(crate) fn page_read(
        &mut self,
        seqs: impl IntoIterator<Item = InboxSeq>,
        rest: Rest,
        now: Instant,
    ) -> usize {
        let after = self.own.map_or(InboxSeq(0), |own| own.seq);
        let is_next = |(seq, next): &(InboxSeq, InboxSeq)| {
            seq == next || mistake!(ReplayOverGap) || mistake!(PassedOver)
        };
        let good = seqs.into_iter().zip((after.0 + 1..).map(InboxSeq)).take_while(is_next).count();
        if good > 0 {
            self.pause = None;
        } else if rest == Rest::Gone && !mistake!(EndlessGap) {
            self.state = State::Lost(ResetReason::Gap);
        } else {
            self.rest(now, 1.0);
        }
        good
    }

    /// An event of a page has been shipped.
    pub(crate) fn shipped(&mut self, seq: InboxSeq) {
        if let Some(own) = &mut self.own {
            debug_assert_eq!(own.seq + 1, seq, "only the next event may be shipped");
            own.seq = seq;
        }
        self.pause = None;
    }

    /// A read has failed. `spread`, between 0 and 1, keeps many streams from reading again at once.
    pub(crate) fn read_failed(&mut self, now: Instant, spread: f64) {
        self.rest(now, 0.5 + spread / 2.0);
    }

    /// The next read waits, twice as long each time.
    fn rest(&mut self, now: Instant, part: f64) {
        let length = match &self.pause {
            None => FIRST_PAUSE,
            Some(pause) => (2 * pause.length).min(limits::LATE_PAUSE),
        };
        self.pause = Some(Box::new(Pause { length, until: now + length.mul_f64(part) }));
    }
}
