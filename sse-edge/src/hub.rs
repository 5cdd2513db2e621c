//! Which users have streams on this edge.
//!
//! One `std` mutex over the map, held for a lookup, seldom for one of each user, and never across an
//! `.await`. Whoever holds it may take a user's own lock, never the other way round.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use domain::ids::UserId;
use indexmap::IndexMap;
use tokio::{sync::Notify, task::yield_now, time::Instant};

use crate::{
    caps::Cap,
    handle::Handle,
    tend::Ask,
    user_streams::{UserStreams, turns::Round},
};

#[cfg(test)]
mod tests;

/// Users looked at before everybody else has a turn.
const LOOK: usize = 256;

/// The map user → streams, in an order that is the same in every run of a simulation.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    users: Mutex<IndexMap<UserId, Here>>,
    streams: AtomicUsize,
    /// Rings whenever a user or a stream goes.
    gone: Notify,
}

/// A user who is here.
#[derive(Debug)]
struct Here {
    user: Arc<UserStreams>,
    /// What the last look at them has brought, here where it is read without going to each user's own
    /// memory every second. Absent when it no longer holds.
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    until: Instant,
    checked_at: Option<Instant>,
}

/// What a look at all users brings.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Those for whom there is something to do.
    pub(crate) due: Vec<(Arc<UserStreams>, Round)>,
    /// When the user was compared with HEAD who has waited longest.
    pub(crate) oldest: Option<Instant>,
}

impl Hub {
    fn users(&self) -> MutexGuard<'_, IndexMap<UserId, Here>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a stream of `user`, if neither the user nor the edge, which takes `most`, is full.
    ///
    /// The newest is refused instead of the oldest ended: that one would come back by itself, and
    /// tabs would push each other out for ever.
    pub(crate) fn join(
        &self,
        user: &UserId,
        handle: Arc<Handle>,
        most: usize,
        now: Instant,
    ) -> Result<(Arc<UserStreams>, Ask), Cap> {
        let mut users = self.users();
        // Streams only come while the lock is held.
        if self.streams() >= most {
            return Err(Cap::Edge);
        }
        let here = users
            .entry(user.clone())
            .or_insert_with(|| Here { user: Arc::new(UserStreams::new(user.clone(), now)), last: None });
        let ask = here.user.join(handle, now).ok_or(Cap::User)?;
        here.last = None;
        self.streams.fetch_add(1, Ordering::Relaxed);
        Ok((here.user.clone(), ask))
    }

    /// Unregisters a stream.
    pub(crate) fn leave(&self, user: &UserStreams, handle: &Arc<Handle>, now: Instant) {
        user.leave(handle, now);
        self.look_again([user]);
        self.streams.fetch_sub(1, Ordering::Relaxed);
        self.gone.notify_waiters();
    }

    /// Those of `users` who are here, each at its place: an envelope may name 500.
    pub(crate) fn get_each<'a>(&self, users: impl Iterator<Item = &'a str>) -> Vec<Option<Arc<UserStreams>>> {
        let known = self.users();
        users.map(|user| known.get(user).map(|here| here.user.clone())).collect()
    }

    /// Asks for something; true if a task has to be started for it.
    pub(crate) fn ask(&self, user: &UserStreams, what: Ask) -> bool {
        let start = what != Ask::NOTHING && user.ask(what);
        if start {
            self.look_again([user]);
        }
        start
    }

    /// The comparison of these users with HEAD has ended, with whatever answers.
    pub(crate) fn compared(&self, users: &[Arc<UserStreams>]) {
        for user in users {
            user.compared();
        }
        self.look_again(users.iter().map(AsRef::as_ref));
    }

    /// Makes the next look one at these users too: time may ask something else of them than it did.
    fn look_again<'a>(&self, of: impl IntoIterator<Item = &'a UserStreams>) {
        let mut users = self.users();
        for user in of {
            if let Some(here) = users.get_mut(&user.user) {
                here.last = None;
            }
        }
    }

    /// Has everybody compared with HEAD by the next look that begins.
    pub(crate) fn check_all(&self, now: Instant) {
        for here in self.users().values_mut() {
            here.user.check_at(now);
            here.last = None;
        }
    }

    /// Looks at every user who is here all the while, except where the last look was good for longer.
    ///
    /// Some at a time, so that nobody waits for long meanwhile, and from the end, to which whoever comes
    /// is added and from which the place of whoever goes is filled: nobody is passed over.
    pub(crate) async fn look(&self, now: Instant, mut at: impl FnMut(&UserStreams) -> Round) -> Looked {
        let (mut looked, mut end) = (Looked::default(), usize::MAX);
        loop {
            {
                let mut users = self.users();
                end = end.min(users.len());
                let begin = end.saturating_sub(LOOK);
                for place in (begin..end).rev() {
                    let Some((_, here)) = users.get_index_mut(place) else { continue };
                    looked.add(here, now, &mut at);
                }
                end = begin;
            }
            if end == 0 {
                return looked;
            }
            yield_now().await;
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<UserStreams>> {
        self.users().values().map(|here| here.user.clone()).collect()
    }

    /// Open streams.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Forgets a user who has nothing here any more.
    pub(crate) fn forget_if_idle(&self, user: &UserStreams) {
        let mut users = self.users();
        // Under the hub's lock no stream can join meanwhile.
        if users
            .get(&user.user)
            .is_some_and(|here| std::ptr::eq(Arc::as_ptr(&here.user), user) && here.user.is_idle())
        {
            users.swap_remove(&user.user);
            self.gone.notify_waiters();
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
            let gone = self.gone.notified();
            if done() {
                return;
            }
            gone.await;
        }
    }
}

impl Looked {
    fn add(&mut self, here: &mut Here, now: Instant, at: impl FnOnce(&UserStreams) -> Round) {
        let known = here.last.filter(|last| now < last.until);
        let last = known.unwrap_or_else(|| {
            let round = at(&here.user);
            if round.is_due() {
                self.due.push((here.user.clone(), round));
            }
            Last { until: round.until, checked_at: round.checked_at }
        });
        here.last = Some(last);
        self.oldest = [self.oldest, last.checked_at].into_iter().flatten().min();
    }
}
