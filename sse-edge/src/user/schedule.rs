//! The timers of a user. The hub caches the result until the schedule changes. A changed schedule adds its user to a
//! list, so the hub's cache cannot be stale.

use std::{
    mem::{replace, take},
    ops::{Deref, DerefMut},
    time::Duration,
};

use domain::{ids::UserId, limits};
use tokio::time::Instant;

use super::{
    StateGuard, User,
    lease::{Held, LeaseState},
    work::{Work, WorkerState},
};
use crate::context::{jittered, lock::Lock};

/// Time between two comparisons without a confirmed lease: then nothing else finds new events.
const UNLEASED_CHECK: Duration = Duration::from_secs(1);

/// All that decides when a user needs something.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(super) lease: LeaseState,
    pub(super) worker: WorkerState,
    streams: Streams,
    /// When the next comparison is due; none until [`User::due`] sets it.
    check_at: Option<Instant>,
    /// Planned comparisons in a row that have found nothing, since the last activity.
    quiet: u32,
    /// Whether the next comparison comes earlier than planned. It says nothing of how long the user was quiet.
    is_early: bool,
    /// Whether a comparison is under way.
    checking: bool,
}

/// Whether the user has open streams.
#[derive(Debug, Clone, Copy)]
enum Streams {
    Open {
        /// Since when a comparison is due that has not succeeded yet.
        overdue_since: Option<Instant>,
    },
    Closed {
        /// When the last one closed.
        since: Instant,
    },
}

/// What a user needs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Work to request.
    pub(crate) work: Work,
    /// Whether to compare the cursor with the row.
    pub(crate) check: bool,
    /// Since when that is due.
    pub(crate) overdue_since: Option<Instant>,
    /// The user needs nothing else before this time, unless the schedule changes.
    pub(crate) until: Instant,
}

impl Due {
    /// Whether the user needs anything.
    pub(crate) fn is_now(&self) -> bool {
        self.check || self.work != Work::NOTHING
    }
}

impl Schedule {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            lease: LeaseState::new(now),
            worker: WorkerState::Idle,
            streams: Streams::Closed { since: now },
            check_at: Some(now + UNLEASED_CHECK),
            quiet: 0,
            is_early: false,
            checking: false,
        }
    }

    /// Whether nothing would be lost by forgetting the user.
    pub(super) fn is_over(&self) -> bool {
        self.lease.is_over() && self.worker == WorkerState::Idle
    }

    /// What the user needs now.
    fn due(&self, now: Instant, linger: Duration) -> Due {
        let overdue_since = match self.streams {
            Streams::Open { overdue_since } => overdue_since,
            Streams::Closed { since } => {
                let until = since + linger;
                let work = if now >= until { Work::RELEASE } else { Work::NOTHING };
                return Due { work, check: false, overdue_since: None, until };
            }
        };
        let lease_due = self.lease.due(now);
        let is_taking = self.worker == WorkerState::TakingLease;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        let work = if is_due(lease_due) && !is_taking { Work::TAKE_LEASE } else { Work::NOTHING };
        let check = is_due(self.check_at) && !self.checking;
        // A worker may change anything.
        let next = lease_due.into_iter().chain(self.check_at).min();
        let until = next.filter(|_| self.worker == WorkerState::Idle).unwrap_or(now);
        let overdue_since = overdue_since.or(self.check_at.filter(|_| check));
        Due { work, check, overdue_since, until }
    }

    pub(super) fn first_stream_opened(&mut self, now: Instant) {
        self.streams = Streams::Open { overdue_since: None };
        if !self.lease.is_confirmed() {
            self.check_from(now + UNLEASED_CHECK);
        }
    }

    pub(super) fn last_stream_closed(&mut self, now: Instant) {
        self.streams = Streams::Closed { since: now };
    }

    pub(super) fn lease_taken(&mut self, held: Held, now: Instant) -> Option<Held> {
        self.change_lease(now, |lease| lease.taken(held))
    }

    /// The lease is the same as before.
    pub(crate) fn lease_renewed(&mut self, now: Instant) {
        self.change_lease(now, LeaseState::renewed);
    }

    /// An attempt to take or renew the lease has failed; `in_doubt` if it may have taken effect.
    pub(crate) fn lease_failed(&mut self, now: Instant, in_doubt: bool) {
        self.change_lease(now, |lease| lease.failed(now, in_doubt));
    }

    /// The table may have a lease that this edge does not know of.
    pub(crate) fn doubt_lease(&mut self) {
        self.change_lease(Instant::now(), LeaseState::doubt);
    }

    /// Forgets the lease, which another edge may have by now.
    pub(crate) fn lose_lease(&mut self) -> Option<Held> {
        self.change_lease(Instant::now(), LeaseState::lose)
    }

    /// The lease may be void: its queue is gone.
    pub(crate) fn unconfirm_lease(&mut self) {
        self.change_lease(Instant::now(), LeaseState::unconfirm);
    }

    /// Without a confirmed lease, writers post nothing to this edge, so the row is compared soon. The answer of a lease's
    /// taking has the row, so nothing follows it but the usual comparisons.
    fn change_lease<T>(&mut self, now: Instant, change: impl FnOnce(&mut LeaseState) -> T) -> T {
        let changed = change(&mut self.lease);
        if self.lease.is_confirmed() {
            (self.check_at, self.quiet) = (None, 0);
        } else {
            self.check_from(now + UNLEASED_CHECK);
        }
        changed
    }

    /// Has the row compared from `at` on.
    pub(crate) fn check_from(&mut self, at: Instant) {
        if self.check_at.is_none_or(|known| at < known) {
            (self.check_at, self.is_early) = (Some(at), true);
        }
    }

    /// Whether the comparisons have become less frequent.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet > 0
    }

    /// An event has come: the comparisons are frequent again.
    pub(super) fn active(&mut self) {
        (self.check_at, self.quiet) = (None, 0);
    }

    /// Sets the time of the next comparison, which has none.
    fn plan_check(&mut self, now: Instant, head_check: Duration) {
        (self.check_at, self.is_early) = (Some(now + self.pause(head_check)), false);
    }

    fn check_begun(&mut self, now: Instant, head_check: Duration) {
        if let Streams::Open { overdue_since } = &mut self.streams {
            *overdue_since = overdue_since.or(self.check_at);
        }
        self.quiet += u32::from(!self.is_early);
        self.plan_check(now, head_check);
        self.checking = true;
    }

    /// The time until the next comparison: twice as long after each one that has found nothing.
    fn pause(&self, head_check: Duration) -> Duration {
        if !self.lease.is_confirmed() {
            return UNLEASED_CHECK;
        }
        let most = limits::HEAD_CHECK_MAX.max(head_check);
        jittered(head_check.saturating_mul(1 << self.quiet.min(10)).min(most))
    }

    /// The row was compared with the ring, or there is no row.
    pub(crate) fn checked(&mut self) {
        if let Streams::Open { overdue_since } = &mut self.streams {
            *overdue_since = None;
        }
    }

    /// The comparison has ended, with any result.
    pub(crate) fn check_ended(&mut self) {
        self.checking = false;
    }
}

/// A value that notes whether it may have changed.
#[derive(Debug)]
pub(super) struct Watched<T> {
    value: T,
    changed: bool,
    /// Whether its user is on the list of changed users.
    is_listed: bool,
}

impl<T> Watched<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value, changed: false, is_listed: false }
    }

    /// Whether the value may have changed since this was last asked, and its user is not on the list yet.
    pub(super) fn is_to_be_listed(&mut self) -> bool {
        self.changed && take(&mut self.changed) && !replace(&mut self.is_listed, true)
    }
}

impl<T> Deref for Watched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The only way to change the value.
impl<T> DerefMut for Watched<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

/// The users whose schedules have changed.
#[derive(Debug, Default)]
pub(crate) struct ChangedUsers(Lock<Vec<UserId>>);

impl ChangedUsers {
    pub(super) fn list(&self, user: UserId) {
        self.0.lock().push(user);
    }

    /// Takes up to `most` users off the list; [`User::unlisted`] is to be called for each.
    pub(super) fn drain(&self, most: usize) -> Vec<UserId> {
        let mut listed = self.0.lock();
        let rest = listed.len().saturating_sub(most);
        listed.split_off(rest)
    }
}

/// The lock on a user's schedule.
pub(crate) struct ScheduleGuard<'a>(StateGuard<'a>);

impl Deref for ScheduleGuard<'_> {
    type Target = Schedule;

    fn deref(&self) -> &Schedule {
        &self.0.schedule
    }
}

impl DerefMut for ScheduleGuard<'_> {
    fn deref_mut(&mut self) -> &mut Schedule {
        &mut self.0.schedule
    }
}

impl User {
    /// The schedule, locked.
    pub(crate) fn schedule(&self) -> ScheduleGuard<'_> {
        ScheduleGuard(self.state())
    }

    /// The user was taken off the list of changed users: its next change lists it again.
    pub(super) fn unlisted(&self) {
        self.state().schedule.is_listed = false;
    }

    /// What the user needs now. A comparison that is due counts as begun.
    pub(crate) fn due(&self, now: Instant, head_check: Duration, linger: Duration) -> Due {
        let mut schedule = self.schedule();
        // Only a change of the schedule lists the user anew.
        if schedule.check_at.is_none() {
            schedule.plan_check(now, head_check);
        }
        let due = schedule.due(now, linger);
        if due.check {
            schedule.check_begun(now, head_check);
        }
        due
    }
}
