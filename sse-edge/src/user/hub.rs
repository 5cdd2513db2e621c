//! The map user → streams of one edge.
//!
//! One lock over the map. It is held for a lookup, seldom for one of each user, and never across an `.await`. A user's
//! lock may be taken while it is held, never the other way round.

use std::sync::{
    Arc, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};

use domain::ids::UserId;
use indexmap::IndexMap;
use tokio::{
    sync::{Notify, mpsc},
    task::yield_now,
    time::Instant,
};

use super::{
    User,
    schedule::{ChangedUsers, Due},
    stream_handle::StreamHandle,
    work::Work,
};
use crate::{context::lock::Lock, wire::reason::Limit};

#[cfg(test)]
mod tests;

/// Users visited before other tasks have a turn.
const VISITED_AT_ONCE: usize = 256;

/// The map user → streams, in an order that is the same in every run of a simulation.
#[derive(Debug)]
pub(crate) struct Hub {
    users: Lock<IndexMap<UserId, Registered>>,
    streams: AtomicUsize,
    /// Rings whenever a user or a stream is removed.
    removed: Notify,
    changed: Arc<ChangedUsers>,
    /// Users whose worker has to be started: each is in it once at most.
    waiting: mpsc::UnboundedSender<Arc<User>>,
}

/// A user of the hub.
#[derive(Debug)]
struct Registered {
    user: Arc<User>,
    /// The answer of the last visit, kept here so that a visit each second does not touch each user's own memory. None
    /// once the user's schedule has changed.
    visited: Option<Visited>,
}

#[derive(Debug, Clone, Copy)]
struct Visited {
    until: Instant,
    overdue_since: Option<Instant>,
}

/// What a visit of all users brings.
#[derive(Debug, Default)]
pub(crate) struct Visit {
    /// The users that need something.
    pub(crate) due: Vec<(Arc<User>, Due)>,
    /// The oldest time of a last head check.
    pub(crate) longest_overdue: Option<Instant>,
}

impl Hub {
    /// A hub, and the users whose worker is to be started.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Arc<User>>) {
        #[expect(clippy::disallowed_methods, reason = "a user is in it once at most: the hub is its bound")]
        let (waiting, starts) = mpsc::unbounded_channel();
        let hub = Self {
            users: Lock::default(),
            streams: AtomicUsize::new(0),
            removed: Notify::new(),
            changed: Arc::default(),
            waiting,
        };
        (hub, starts)
    }

    fn users(&self) -> MutexGuard<'_, IndexMap<UserId, Registered>> {
        self.users.lock()
    }

    /// Registers a stream of `user`, if neither the user nor the edge, which takes `most`, is at its limit.
    ///
    /// The newest is refused instead of the oldest ended: that one would come back by itself, and tabs would push each
    /// other out for ever.
    pub(crate) fn join(
        &self,
        user: &UserId,
        handle: Arc<StreamHandle>,
        most: usize,
        now: Instant,
    ) -> Result<(Arc<User>, Work), Limit> {
        let mut users = self.users();
        // Streams are added under this lock only.
        if self.streams() >= most {
            return Err(Limit::Edge);
        }
        let new = || Registered { user: User::new(user.clone(), self.changed.clone(), now), visited: None };
        let user = &users.entry(user.clone()).or_insert_with(new).user;
        let work = user.join(handle, now).ok_or(Limit::User)?;
        self.streams.fetch_add(1, Ordering::Relaxed);
        Ok((user.clone(), work))
    }

    /// Unregisters a stream.
    pub(crate) fn leave(&self, user: &User, handle: &Arc<StreamHandle>, now: Instant) {
        user.leave(handle, now);
        self.streams.fetch_sub(1, Ordering::Relaxed);
        self.removed.notify_waiters();
    }

    /// The users of these names, in the same order, none for a user that the hub does not have. An envelope may name
    /// 500 users.
    pub(crate) fn get_each<'a>(&self, users: impl Iterator<Item = &'a str>) -> Vec<Option<Arc<User>>> {
        let known = self.users();
        users.map(|user| known.get(user).map(|registered| registered.user.clone())).collect()
    }

    /// Adds work for a user, and has its worker started if it has none.
    pub(crate) fn request(&self, user: &Arc<User>, work: Work) {
        if user.request(work) {
            // The send fails only after the edge has stopped, and then no work is done any more.
            let _ = self.waiting.send(user.clone());
        }
    }

    /// Has the row compared for every user from `now` on.
    pub(crate) fn check_all(&self, now: Instant) {
        self.all().iter().for_each(|user| user.schedule().check_from(now));
    }

    /// Asks every user for due work, unless the cached result still holds.
    ///
    /// The visit yields between groups of users, so that other tasks can run. It goes backwards: new users are added at
    /// the end, and the last user fills the place of a removed one. So the visit skips no user that stays.
    pub(crate) async fn visit(&self, now: Instant, mut due: impl FnMut(&User) -> Due) -> Visit {
        let (mut visit, mut end) = (Visit::default(), usize::MAX);
        loop {
            {
                let mut users = self.users();
                self.forget_answers(&mut users);
                end = end.min(users.len());
                let begin = end.saturating_sub(VISITED_AT_ONCE);
                for place in (begin..end).rev() {
                    let Some((_, registered)) = users.get_index_mut(place) else { continue };
                    visit.add(registered, now, &mut due);
                }
                end = begin;
            }
            if end == 0 {
                return visit;
            }
            yield_now().await;
        }
    }

    /// Forgets the answers of some users whose schedule has changed since. All of them have their turn in one visit.
    fn forget_answers(&self, users: &mut IndexMap<UserId, Registered>) {
        for user in self.changed.drain(VISITED_AT_ONCE) {
            if let Some(registered) = users.get_mut(&user) {
                registered.user.unlisted();
                registered.visited = None;
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<User>> {
        self.users().values().map(|registered| registered.user.clone()).collect()
    }

    /// Open streams.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Forgets a user who has no stream, no lease and no worker.
    pub(crate) fn forget_if_idle(&self, user: &Arc<User>) {
        let mut users = self.users();
        // No stream can be added under the hub's lock.
        let is_own = |registered: &Registered| Arc::ptr_eq(&registered.user, user);
        if users.get(&user.id).is_some_and(|registered| is_own(registered) && user.is_idle()) {
            users.swap_remove(&user.id);
            self.removed.notify_waiters();
        }
    }

    /// Waits until there is no stream.
    pub(crate) async fn without_streams(&self) {
        self.until(|| self.streams() == 0).await;
    }

    /// Waits until there is no user.
    pub(crate) async fn empty(&self) {
        self.until(|| self.users().is_empty()).await;
    }

    async fn until(&self, done: impl Fn() -> bool) {
        loop {
            let removed = self.removed.notified();
            if done() {
                return;
            }
            removed.await;
        }
    }
}

impl Visit {
    fn add(&mut self, registered: &mut Registered, now: Instant, due: impl FnOnce(&User) -> Due) {
        let known = registered.visited.filter(|visited| now < visited.until);
        let visited = known.unwrap_or_else(|| {
            let due = due(&registered.user);
            if due.is_now() {
                self.due.push((registered.user.clone(), due));
            }
            Visited { until: due.until, overdue_since: due.overdue_since }
        });
        registered.visited = Some(visited);
        self.longest_overdue = [self.longest_overdue, visited.overdue_since].into_iter().flatten().min();
    }
}
