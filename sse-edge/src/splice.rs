//! What a stream does next, as a pure machine: `(state, input) → step`.
//!
//! The one rule: a stream ships `cursor + 1` from wherever it is, from the ring if that holds it,
//! else from the inbox, and nothing else. Whoever owns the socket does what the steps say and
//! tells what came of it. No clock and no I/O in here, so that it can be tested as a whole.

use std::time::Duration;

use domain::{cursor::Cursor, limits};
use mistakes::mistake;
use tokio::time::Instant;

use crate::{brought::Brought, frames::Id, ring::RingView};

#[cfg(test)]
mod tests;

/// First pause before something is read again; it doubles up to [`limits::HOLE_PATIENCE`].
const PAUSE: Duration = Duration::from_millis(100);

/// Why a client has to list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Its cursor could not be read.
    Unreadable,
    /// Its cursor is of another generation of the inbox.
    Generation,
    /// Its cursor is above the inbox, twice.
    Above,
    /// It is more than [`limits::REPLAY_EVENTS`] behind.
    Behind,
    /// The next event of the inbox is not to be had.
    Hole,
}

impl Reset {
    /// Every reason, for metrics.
    pub const ALL: [Self; 5] = [Self::Unreadable, Self::Generation, Self::Above, Self::Behind, Self::Hole];

    /// The reason as the client reads it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Generation => "generation",
            Self::Above => "above",
            Self::Behind => "behind",
            Self::Hole => "hole",
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ship this event from the ring. The cursor stands there already.
    Ship(u64),
    /// Ship a reset with this cursor. The stream goes on from there.
    Reset {
        /// The new cursor.
        to: Cursor,
        /// What was wrong with the old one.
        why: Reset,
    },
    /// Read HEAD, consistently, and tell [`Splice::head`].
    ReadHead,
    /// Read the inbox after this seq, consistently, and tell [`Splice::page`].
    ReadInbox {
        /// The last seq shipped.
        after: u64,
    },
    /// Nothing before this time, unless the ring changes.
    WaitUntil(Instant),
    /// Nothing before the ring changes.
    Wait,
}

/// One stream's place between the past and the present.
#[derive(Debug)]
pub struct Splice {
    /// The stream's own cursor: the last event shipped or, before, what the client brought.
    own: Option<Cursor>,
    state: State,
    /// Boxed, since most streams are at rest for most of their life.
    pause: Option<Box<Pause>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// HEAD was not read yet.
    Unjudged,
    /// The cursor was above HEAD once; look again at this time.
    Doubted(Instant),
    /// The cursor is of no use.
    Lost(Reset),
    /// The cursor counts.
    Following,
}

/// Something is to be read again, but not at once.
#[derive(Debug, Clone, Copy)]
struct Pause {
    since: Instant,
    until: Instant,
    length: Duration,
}

impl Splice {
    /// A stream of a client that brought this.
    pub fn new(brought: Brought) -> Self {
        let (own, state) = match brought {
            Brought::Nothing => (None, State::Unjudged),
            Brought::Unreadable => (None, State::Lost(Reset::Unreadable)),
            Brought::Readable(cursor) => (Some(cursor), State::Unjudged),
        };
        Self { own, state, pause: None }
    }

    /// The id of whatever is shipped now without moving the cursor.
    pub fn id(&self) -> Id {
        Id(self.own)
    }

    /// Whether it is known what hello has to say.
    pub fn may_greet(&self) -> bool {
        self.own.is_some() || self.state != State::Unjudged
    }

    /// Whether the stream has shipped all there is: only then may ephemeral events pass.
    pub fn is_live(&self, ring: Option<RingView>) -> bool {
        let at_end = ring.is_some_and(|ring| self.own == Some(ring.cursor()));
        self.state == State::Following && at_end
    }

    /// What to do now.
    pub fn step(&mut self, ring: Option<RingView>, now: Instant) -> Step {
        match (self.state, self.own, ring) {
            (State::Following, Some(own), Some(ring)) => self.follow(own, ring, now),
            (State::Lost(why), _, Some(ring)) => self.reset(why, ring),
            // Others have shipped as much meanwhile, so it is in the inbox.
            (State::Doubted(_), Some(own), Some(ring)) if ring.reaches(own) => {
                self.state = State::Following;
                self.follow(own, ring, now)
            }
            (State::Doubted(again), ..) if now < again => Step::WaitUntil(again),
            (State::Unjudged | State::Doubted(_), ..) => self.unless_paused(now, Step::ReadHead),
            (State::Following | State::Lost(_), ..) => Step::Wait,
        }
    }

    fn follow(&mut self, own: Cursor, ring: RingView, now: Instant) -> Step {
        if own.r#gen != ring.generation {
            return self.reset(Reset::Generation, ring);
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
            return self.reset(Reset::Behind, ring);
        }
        if ring.hole_after == Some(own.seq) {
            return self.reset(Reset::Hole, ring);
        }
        self.unless_paused(now, Step::ReadInbox { after: own.seq })
    }

    fn reset(&mut self, why: Reset, ring: RingView) -> Step {
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

    /// HEAD as read.
    pub fn head(&mut self, head: Cursor, now: Instant) {
        self.pause = None;
        let (State::Unjudged | State::Doubted(_)) = self.state else { return };
        let own = *self.own.get_or_insert(head);
        if mistake!(HelloMovesCursor) {
            self.own = self.own.map(|own| if own.r#gen == head.r#gen { own } else { head });
        }
        self.state = if own.r#gen != head.r#gen {
            State::Lost(Reset::Generation)
        } else if own.seq > head.seq && self.state == State::Unjudged {
            State::Doubted(now + limits::HOLE_PATIENCE)
        } else if own.seq > head.seq {
            State::Lost(Reset::Above)
        } else if head.seq - own.seq > limits::REPLAY_EVENTS {
            State::Lost(Reset::Behind)
        } else {
            State::Following
        };
    }

    /// A page of the inbox, as read; answers how many of its first events are to be shipped.
    /// [`Splice::shipped`] has to be told of each.
    ///
    /// A hole is believed when it has lasted for [`limits::HOLE_PATIENCE`] until the page was asked for:
    /// an answer may be seconds on its way, and tells how the inbox was before that.
    pub fn page(&mut self, seqs: impl IntoIterator<Item = u64>, asked_at: Instant, now: Instant) -> usize {
        let after = self.own.map_or(0, |own| own.seq);
        let is_next = |(seq, next): &(u64, u64)| seq == next || mistake!(ReplayOverGap);
        let good = seqs.into_iter().zip(after + 1..).take_while(is_next).count();
        if good > 0 {
            self.pause = None;
        } else if self.has_waited(asked_at) && !mistake!(EndlessGap) {
            self.state = State::Lost(Reset::Hole);
        } else {
            self.hole(now);
        }
        good
    }

    /// Whether the gap has lasted long enough to be believed.
    fn has_waited(&self, asked_at: Instant) -> bool {
        self.pause.as_ref().is_some_and(|pause| asked_at >= pause.since + limits::HOLE_PATIENCE)
    }

    /// An event of a page has been shipped.
    pub fn shipped(&mut self, seq: u64) {
        if let Some(own) = &mut self.own {
            debug_assert_eq!(own.seq + 1, seq, "only the next event may be shipped");
            own.seq = seq;
        }
        self.pause = None;
    }

    /// A read has failed. `spread`, between 0 and 1, keeps many streams from coming back at once.
    pub fn failed(&mut self, now: Instant, spread: f64) {
        let length = self.next_length();
        // What could not be read is no hole: `since` begins anew.
        self.pause =
            Some(Box::new(Pause { since: now, until: now + length.mul_f64(0.5 + spread / 2.0), length }));
    }

    fn hole(&mut self, now: Instant) {
        let length = self.next_length();
        let since = self.pause.as_ref().map_or(now, |pause| pause.since);
        let until = (now + length).min(since + limits::HOLE_PATIENCE);
        self.pause = Some(Box::new(Pause { since, until, length }));
    }

    fn next_length(&self) -> Duration {
        self.pause.as_ref().map_or(PAUSE, |pause| (pause.length * 2).min(limits::HOLE_PATIENCE))
    }
}
