//! What a stream ships next, as a pure machine: `(state, input) → step`.
//!
//! The one rule: a stream ships `cursor + 1` from wherever it is, from the ring if the ring holds it, else from the
//! inbox, and nothing else. The stream does what the steps say, and passes on what came of it. There is no clock and
//! no I/O in here, so that the machine can be tested as a whole.

use std::time::Duration;

use domain::{cursor::Cursor, limits, sequence::InboxSeq};
use mistakes::mistake;
use tokio::time::Instant;

use crate::wire::{frame::Id, last_event_id::LastEventId, reason::ResetReason};

pub(crate) mod ephemeral;
pub(crate) mod gap;
pub(crate) mod ring;
#[cfg(test)]
mod tests;

use gap::Gap;
use ring::RingBounds;

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
    /// Read HEAD consistently, then call [`Replay::head_read`].
    ReadHead,
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
    /// HEAD was not read yet.
    Unjudged,
    /// The cursor was above HEAD once; HEAD is read again at this time.
    Doubted(Instant),
    /// The cursor is of no use.
    Lost(ResetReason),
    /// The cursor counts.
    Following,
}

/// The inbox is to be read again, but not yet.
#[derive(Debug, Clone, Copy)]
struct Pause {
    gap: Gap,
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
        Id(self.own)
    }

    /// Whether the content of hello is known.
    pub(crate) fn may_greet(&self) -> bool {
        self.own.is_some() || self.state != State::Unjudged
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
            (State::Lost(why), _, Some(ring)) => self.reset(why, ring),
            // Another stream has shipped as much meanwhile, so the inbox holds it.
            (State::Doubted(_), Some(own), Some(ring)) if ring.reaches(own) => {
                self.state = State::Following;
                self.follow(own, ring, now)
            }
            (State::Doubted(again), ..) if now < again => Step::WaitUntil(again),
            (State::Unjudged | State::Doubted(_), ..) => self.unless_paused(now, Step::ReadHead),
            (State::Following | State::Lost(_), ..) => Step::Wait,
        }
    }

    fn follow(&mut self, own: Cursor, ring: RingBounds, now: Instant) -> Step {
        if own.r#gen != ring.generation {
            return self.reset(ResetReason::Generation, ring);
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
            return self.reset(ResetReason::Behind, ring);
        }
        if ring.gap_after == Some(own.seq) {
            return self.reset(ResetReason::Gap, ring);
        }
        self.unless_paused(now, Step::ReadInbox { after: own.seq })
    }

    fn reset(&mut self, why: ResetReason, ring: RingBounds) -> Step {
        let to = ring.cursor();
        self.own = Some(to);
        self.state = State::Following;
        self.pause = None;
        Step::Reset { to, why }
    }

    fn unless_paused(&self, now: Instant, step: Step) -> Step {
        match &self.pause {
            Some(pause) if now < pause.until => Step::WaitUntil(pause.until),
            _ => step,
        }
    }

    /// HEAD was read.
    pub(crate) fn head_read(&mut self, head: Cursor, now: Instant) {
        self.pause = None;
        let (State::Unjudged | State::Doubted(_)) = self.state else { return };
        let own = *self.own.get_or_insert(head);
        if mistake!(HelloMovesCursor) {
            self.own = self.own.map(|own| if own.r#gen == head.r#gen { own } else { head });
        }
        self.state = if own.r#gen != head.r#gen {
            State::Lost(ResetReason::Generation)
        } else if own.seq > head.seq && self.state == State::Unjudged {
            State::Doubted(now + limits::GAP_PATIENCE)
        } else if own.seq > head.seq {
            State::Lost(ResetReason::Above)
        } else if head.seq - own.seq > limits::REPLAY_EVENTS {
            State::Lost(ResetReason::Behind)
        } else {
            State::Following
        };
    }

    /// A page of the inbox was read. Returns how many of its first events to ship; [`Replay::shipped`] is to be called
    /// for each.
    pub(crate) fn page_read(
        &mut self,
        seqs: impl IntoIterator<Item = InboxSeq>,
        asked_at: Instant,
        now: Instant,
    ) -> usize {
        let after = self.own.map_or(InboxSeq(0), |own| own.seq);
        let is_next = |(seq, next): &(InboxSeq, InboxSeq)| seq == next || mistake!(ReplayOverGap);
        let good = seqs.into_iter().zip((after.0 + 1..).map(InboxSeq)).take_while(is_next).count();
        let gap = self.pause.as_ref().map(|pause| pause.gap);
        if good > 0 {
            self.pause = None;
        } else if gap.is_some_and(|gap| gap.is_believed(asked_at)) && !mistake!(EndlessGap) {
            self.state = State::Lost(ResetReason::Gap);
        } else {
            let mut gap = gap.unwrap_or(Gap::since(now));
            let until = gap.read_again_at(now);
            self.pause = Some(Box::new(Pause { gap, until }));
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
        let mut gap = self.pause.as_ref().map_or(Gap::since(now), |pause| pause.gap.restarted(now));
        let length: Duration = gap.grow().mul_f64(0.5 + spread / 2.0);
        self.pause = Some(Box::new(Pause { gap, until: now + length }));
    }
}
