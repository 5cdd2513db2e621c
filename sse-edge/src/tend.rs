//! Looks after one user: leases, HEAD, the inbox behind the ring.
//!
//! There is never more than one such task for a user, so that taking and giving back are serial;
//! it is started when something is asked for and ends when nothing is left to do, so that a user
//! to whom nothing happens costs no task.

use std::{sync::Arc, thread, time::Duration};

use domain::{cursor::Cursor, limits};
use mistakes::mistake;
use store::error::Error;
use tokio::time::Instant;

use crate::{
    config::Topology,
    heads,
    leases::{self, NoLease},
    pump::Pump,
    shared::{Shared, backoff},
    user_streams::{
        UserStreams,
        lease::{Held, Receiving},
        turns::Job,
    },
};

/// How long a take waits for the beat to be confirmed: longer than the first one needs.
const FRESH_WAIT: Duration = Duration::from_secs(1);
/// Longest pause between two calls that fail.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Tries of giving a lease back, before the next round tries again.
const GIVE_TRIES: u32 = 3;

/// What may be asked of the task that tends a user; a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask(u8);

impl Ask {
    pub(crate) const NOTHING: Self = Self(0);
    /// Take a lease, or see that it is still held; then read HEAD.
    pub(crate) const LEASE: Self = Self(1);
    /// Read HEAD.
    pub(crate) const HEAD: Self = Self(2);
    /// The queue is gone.
    pub(crate) const DROP_QUEUE: Self = Self(4);
    /// Give the lease back, if nobody is here.
    pub(crate) const RELEASE: Self = Self(8);
    /// See whether the ring is behind.
    pub(crate) const CATCH_UP: Self = Self(16);
    /// Whatever may be wrong, put it right.
    pub(crate) const AGAIN: Self = Self(1 | 2);

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is in it.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Takes `other` out; whether it was in.
    pub(crate) fn take(&mut self, other: Self) -> bool {
        let had = self.has(other);
        self.0 &= !other.0;
        had
    }
}

/// Asks for something, and starts the task if there is none.
pub(crate) fn ask(shared: &Arc<Shared>, user: &Arc<UserStreams>, what: Ask) {
    if shared.hub.ask(user, what) {
        shared.tracker.spawn(run(shared.clone(), user.clone()));
    }
}

async fn run(shared: Arc<Shared>, user: Arc<UserStreams>) {
    let tend = Tend { shared: &shared, user: &user, hole: None, failures: 0 };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => {}
        () = tend.run() => {}
    }
    shared.hub.forget_if_idle(&user);
}

struct Tend<'a> {
    shared: &'a Arc<Shared>,
    user: &'a Arc<UserStreams>,
    hole: Option<Hole>,
    /// Calls that failed in a row.
    failures: u32,
}

/// The next event was not there when it was read.
#[derive(Debug, Clone, Copy)]
struct Hole {
    after: Cursor,
    since: Instant,
    pause: Duration,
}

impl Drop for Tend<'_> {
    fn drop(&mut self) {
        // Otherwise nobody would tend the user any more.
        if thread::panicking() {
            self.user.untended();
        }
    }
}

impl Tend<'_> {
    async fn run(mut self) {
        while let Some(job) = self.user.next_job() {
            match job {
                Job::DropQueue => self.drop_queue().await,
                Job::Release => self.release().await,
                Job::TakeLease => self.take_lease().await,
                Job::ReadHead => self.read_head().await,
                Job::CatchUp(after) => self.catch_up(after).await,
            }
        }
    }

    async fn take_lease(&mut self) {
        let now = Instant::now;
        let Some(me) = self.shared.fresh.within(FRESH_WAIT).await else { return self.user.no_lease(now()) };
        if mistake!(InboxBeforeLease) {
            self.read_head().await;
        }
        let held = self.user.held();
        let lease = match leases::take(self.shared, &self.user.user, &me, held.as_ref()).await {
            Ok(lease) => lease,
            Err(error) => {
                // The stream compares with HEAD meanwhile; that is what the throttle is for.
                if !matches!(error, NoLease::Throttled) {
                    self.shared.failed("take a lease", &error);
                    self.user.doubt();
                }
                return self.user.no_lease(now());
            }
        };
        self.shared.meters.lease_takes.increment(1);
        if held.as_ref() == Some(&lease.queue) && self.shared.fresh.boot() == me {
            self.user.still_held(now());
        } else {
            let receiving = match self.shared.config.queues {
                Topology::PerUser => Receiving::Own(Pump::of_user(self.shared, self.user, lease.url)),
                Topology::PerEdge => Receiving::Edges,
            };
            // Meanwhile this edge may have been taken for dead, and the lease with it.
            let counts = || self.shared.fresh.boot() == me;
            let over = self.user.hold(Held { queue: lease.queue, receiving }, now(), counts);
            if let Some(held) = over {
                held.receiving.stop().await;
            }
        }
        // The lease comes first, then the inbox.
        if !mistake!(InboxBeforeLease) {
            self.user.ask(Ask::HEAD);
        }
    }

    async fn read_head(&mut self) {
        match heads::head(self.shared, &self.user.user).await {
            Ok(head) => {
                self.failures = 0;
                self.user.settle(&head);
            }
            Err(error) => {
                self.user.ask(Ask::HEAD);
                self.pause("read an inbox's head", &error).await;
            }
        }
    }

    async fn catch_up(&mut self, after: Cursor) {
        let permit = self.shared.calls.acquire().await;
        let (asked_at, now) = (Instant::now(), self.shared.clock.now());
        let page = self.shared.table.inbox(&self.user.user, after.seq, limits::REPLAY_PAGE, now).await;
        drop(permit);
        self.shared.meters.replays.increment(1);
        match page {
            Ok(events) => {
                self.failures = 0;
                if self.user.extend(&events) {
                    self.hole = None;
                } else {
                    self.at_hole(after, asked_at).await;
                }
            }
            Err(error) => self.pause("read an inbox", &error).await,
        }
    }

    /// The event behind `after` was not there when it was asked for: it is late, or never was, or
    /// is lost.
    async fn at_hole(&mut self, after: Cursor, asked_at: Instant) {
        let now = Instant::now();
        let known = self.hole.filter(|hole| hole.after == after);
        // An answer may be seconds on its way, and tells how it was before that.
        let over = known.is_some_and(|hole| asked_at >= hole.since + limits::HOLE_PATIENCE);
        if known.is_none() || over {
            let head = match heads::head(self.shared, &self.user.user).await {
                Ok(head) => head,
                Err(error) => return self.pause("read an inbox's head", &error).await,
            };
            let promised = head.cursor.r#gen == after.r#gen && head.cursor.seq > after.seq;
            if over || !promised {
                if self.user.give_up(after, &head) {
                    self.shared.meters.holes.increment(1);
                    tracing::warn!(user.id = %self.user.user, "gave up a hole behind {after} of an inbox");
                }
                self.hole = None;
                return;
            }
        }
        let mut hole = known.unwrap_or(Hole { after, since: now, pause: Duration::from_millis(50) });
        hole.pause *= 2;
        self.hole = Some(hole);
        let end = (hole.since + limits::HOLE_PATIENCE).saturating_duration_since(now);
        tokio::time::sleep(hole.pause.min(end)).await;
    }

    async fn release(&mut self) {
        let Some((held, in_doubt)) = self.user.release() else { return };
        if held.is_none() && !in_doubt {
            return;
        }
        let mut known = None;
        if let Some(Held { queue, receiving }) = held {
            // An edge must not receive from a queue that another edge may hold.
            if mistake!(GivenWhileReceiving) {
                self.shared.tracker.spawn(async move {
                    tokio::time::sleep(limits::QUEUE_WAIT).await;
                    receiving.stop().await;
                });
            } else {
                receiving.stop().await;
            }
            known = (!in_doubt).then_some(queue);
        }
        let me = self.shared.fresh.boot();
        if mistake!(TakenWhileGiving) {
            let (shared, user) = (self.shared.clone(), self.user.clone());
            let give = async move { leases::give(&shared, &user.user, known.as_ref(), &me).await.is_ok() };
            self.shared.tracker.spawn(give);
            return;
        }
        for attempt in 0..GIVE_TRIES {
            let permit = self.shared.calls.acquire().await;
            let given = leases::give(self.shared, &self.user.user, known.as_ref(), &me).await;
            drop(permit);
            let Err(error) = given else { return };
            self.shared.failed("give a lease back", &error);
            tokio::time::sleep(backoff(attempt, PAUSE_MAX)).await;
        }
        // Perhaps still held as far as the table goes; the next round gives it back.
        self.user.doubt();
    }

    async fn drop_queue(&mut self) {
        // Only of a pump that has ended: meanwhile another lease may have been taken.
        if self.user.held().is_none()
            && let Some(Held { queue, .. }) = self.user.lose_lease()
        {
            let me = self.shared.fresh.boot();
            if let Err(error) = leases::drop_queue(self.shared, &self.user.user, &queue, &me).await {
                self.shared.failed("drop the row of a queue that is gone", &error);
                self.user.doubt();
            }
        }
        self.user.ask(Ask::LEASE);
    }

    async fn pause(&mut self, what: &str, error: &Error) {
        self.shared.failed(what, error);
        tokio::time::sleep(backoff(self.failures, PAUSE_MAX)).await;
        self.failures += 1;
    }
}
