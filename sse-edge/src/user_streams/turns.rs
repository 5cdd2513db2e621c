//! Whose turn it is: what the task that tends a user does next, and what time asks for.

use std::time::Duration;

use domain::cursor::Cursor;
use tokio::time::Instant;

use super::{State, Tended, UserStreams};
use crate::{config::jittered, tend::Ask};

/// Time between two comparisons with HEAD while there is no lease: nothing else tells of news.
const UNLEASED_CHECK: Duration = Duration::from_secs(1);

/// What a user needs as time goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) ask: Ask,
    /// The cursor is to be compared with HEAD.
    pub(crate) check: bool,
    /// When it last was, if there are streams that it matters to.
    pub(crate) checked_at: Option<Instant>,
    /// Until when it stays so, if no stream comes or goes, no comparison ends and no task begins to tend
    /// the user.
    pub(crate) until: Instant,
}

impl Round {
    /// Whether there is anything to do.
    pub(crate) fn is_due(&self) -> bool {
        self.check || self.ask != Ask::NOTHING
    }
}

/// The next thing for the task that tends a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// The queue is gone: drop its row.
    DropQueue,
    /// Nobody is here any more: give the lease back.
    Release,
    /// Take a lease, or see that it is still held.
    TakeLease,
    /// Read HEAD.
    ReadHead,
    /// Read the inbox behind the ring.
    CatchUp(Cursor),
}

impl UserStreams {
    /// Asks for something; true if a task has to be started for it.
    pub(crate) fn ask(&self, what: Ask) -> bool {
        let mut state = self.state();
        state.asked = state.asked.and(what);
        // Whether there is something to catch up with is seen from the ring itself.
        state.asked.take(Ask::CATCH_UP);
        if !state.streams.is_empty() {
            state.asked.take(Ask::RELEASE);
        }
        let start = state.tended == Tended::No && state.has_job();
        if start {
            state.tended = Tended::Otherwise;
        }
        start
    }

    /// The next thing to do for the user; none ends the task.
    pub(crate) fn next_job(&self) -> Option<Job> {
        let mut state = self.state();
        let job = state.job();
        state.tended = match job {
            None => Tended::No,
            Some(Job::TakeLease) => Tended::Taking,
            Some(_) => Tended::Otherwise,
        };
        job
    }

    /// The task is gone, whatever it was about to do.
    pub(crate) fn untended(&self) {
        self.state().tended = Tended::No;
    }

    /// What the time asks for.
    pub(crate) fn round(&self, now: Instant, head_check: Duration, linger: Duration) -> Round {
        let mut state = self.state();
        if let Some(since) = state.empty_since {
            let until = since + linger;
            let ask = if now >= until { Ask::RELEASE } else { Ask::NOTHING };
            return Round { ask, check: false, checked_at: None, until };
        }
        let leased = state.is_leased();
        if !leased {
            state.check_at = state.check_at.min(now + UNLEASED_CHECK);
        }
        let check = now >= state.check_at && !state.checking;
        if check {
            state.check_at = now + if leased { jittered(head_check) } else { UNLEASED_CHECK };
            state.checking = true;
        }
        // Nobody has tried since the lease went: its task may have panicked.
        let lease_due = if state.lease.is_none() && state.lease_tries == 0 { now } else { state.lease_due };
        let ask = if now >= lease_due && state.tended != Tended::Taking { Ask::LEASE } else { Ask::NOTHING };
        // What is under way may end in anything.
        let next = lease_due.min(state.check_at);
        let until = if state.tended == Tended::No { next } else { now };
        Round { ask, check, checked_at: Some(state.checked_at), until }
    }

    /// It was looked for with others, and is not to be had: that says nothing of the others.
    pub(crate) fn not_compared(&self, now: Instant) {
        self.state().checked_at = now;
    }

    /// Has the cursor compared with HEAD from `at` on.
    pub(crate) fn check_at(&self, at: Instant) {
        let mut state = self.state();
        state.check_at = state.check_at.min(at);
    }

    /// The comparison has ended, with whatever answer.
    pub(crate) fn compared(&self) {
        self.state().checking = false;
    }

    /// Whether nothing would be lost by forgetting the user.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        state.streams.is_empty() && state.lease.is_none() && !state.in_doubt && state.tended == Tended::No
    }
}

impl State {
    fn has_job(&self) -> bool {
        self.asked.has(Ask::DROP_QUEUE.and(Ask::AGAIN))
            || (self.asked.has(Ask::RELEASE) && self.streams.is_empty())
            || (!self.streams.is_empty() && (self.ring.is_none() || self.is_behind().is_some()))
    }

    fn job(&mut self) -> Option<Job> {
        let release = self.asked.take(Ask::RELEASE) && self.streams.is_empty();
        if self.asked.take(Ask::DROP_QUEUE) {
            Some(Job::DropQueue)
        } else if release {
            Some(Job::Release)
        } else if self.streams.is_empty() {
            if self.asked.has(Ask::AGAIN) {
                // The ring is in doubt: whoever comes next waits until HEAD was read.
                self.ring = None;
            }
            self.asked = Ask::NOTHING;
            None
        } else if self.asked.take(Ask::LEASE) {
            Some(Job::TakeLease)
        } else if self.asked.take(Ask::HEAD) || self.ring.is_none() {
            Some(Job::ReadHead)
        } else {
            self.is_behind().map(Job::CatchUp)
        }
    }
}
