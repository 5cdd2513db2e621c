//! What a user's worker has to do, and what it does next.

use domain::cursor::Cursor;

use super::{State, User};

/// Work that may be requested for a user; a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work(u8);

impl Work {
    pub(crate) const NOTHING: Self = Self(0);
    /// Take the lease. Its answer is the read of the row.
    pub(crate) const TAKE_LEASE: Self = Self(1);
    /// Read the user row.
    pub(crate) const READ_ROW: Self = Self(2);
    /// The queue is gone: drop its row.
    pub(crate) const DROP_QUEUE: Self = Self(4);
    /// Give the lease back, if no stream is open.
    pub(crate) const RELEASE: Self = Self(8);
    /// Read the inbox if the ring is behind.
    pub(crate) const CATCH_UP: Self = Self(16);
    /// Take the lease, and read the row if it does not answer.
    pub(crate) const REPAIR: Self = Self(1 | 2);

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it includes any of `other`.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Removes `other`; true if it included any of it.
    fn remove(&mut self, other: Self) -> bool {
        let had = self.has(other);
        self.0 &= !other.0;
        had
    }
}

/// What the user's worker is doing; there is never more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerState {
    /// There is none.
    Idle,
    /// It is taking or renewing the lease.
    TakingLease,
    /// It is doing something else, or is about to start.
    Busy,
}

/// One thing for the worker to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkItem {
    /// The queue is gone: drop its row.
    DropQueue,
    /// No stream is open any more: give the lease back.
    Release,
    /// Take or renew the lease.
    TakeLease,
    /// Read the user row.
    ReadRow,
    /// Read the inbox behind the ring, which ends here.
    CatchUp(Cursor),
}

impl User {
    /// Adds work. True if a worker has to be started for it.
    pub(crate) fn request(&self, work: Work) -> bool {
        if work == Work::NOTHING {
            return false;
        }
        let mut state = self.state();
        state.requested = state.requested.and(work);
        // The ring itself tells whether it is behind.
        state.requested.remove(Work::CATCH_UP);
        if !state.streams.is_empty() {
            state.requested.remove(Work::RELEASE);
        }
        let start = state.schedule.worker == WorkerState::Idle && state.has_work();
        if start {
            state.schedule.worker = WorkerState::Busy;
        }
        start
    }

    /// The next thing for the worker to do; none ends the worker.
    pub(crate) fn next_work(&self) -> Option<WorkItem> {
        let mut state = self.state();
        let item = state.next_work();
        state.schedule.worker = match item {
            None => WorkerState::Idle,
            Some(WorkItem::TakeLease) => WorkerState::TakingLease,
            Some(_) => WorkerState::Busy,
        };
        item
    }

    /// The worker has ended without a word: it has panicked.
    pub(crate) fn worker_lost(&self) {
        self.schedule().worker = WorkerState::Idle;
    }

    /// Whether nothing would be lost by forgetting the user.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        state.streams.is_empty() && state.schedule.is_over()
    }
}

impl State {
    fn has_work(&self) -> bool {
        self.requested.has(Work::DROP_QUEUE.and(Work::REPAIR))
            || (self.requested.has(Work::RELEASE) && self.streams.is_empty())
            || (!self.streams.is_empty() && (self.ring.is_none() || self.behind().is_some()))
    }

    fn next_work(&mut self) -> Option<WorkItem> {
        let release = self.requested.remove(Work::RELEASE) && self.streams.is_empty();
        if self.requested.remove(Work::DROP_QUEUE) {
            Some(WorkItem::DropQueue)
        } else if release {
            Some(WorkItem::Release)
        } else if self.streams.is_empty() {
            if self.requested.has(Work::REPAIR) {
                // The ring may be wrong: the next stream waits until the user row was read.
                self.ring = None;
            }
            self.requested = Work::NOTHING;
            None
        } else if self.requested.remove(Work::TAKE_LEASE) {
            Some(WorkItem::TakeLease)
        } else if self.requested.remove(Work::READ_ROW) || self.ring.is_none() {
            Some(WorkItem::ReadRow)
        } else {
            self.behind().map(WorkItem::CatchUp)
        }
    }
}
