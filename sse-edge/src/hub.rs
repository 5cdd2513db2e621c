//! Which users have streams on this edge.
//!
//! One `std` mutex over the map, held for a lookup and never across an `.await`. Whoever holds it
//! may take a user's own lock, never the other way round.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use domain::ids::UserId;
use indexmap::IndexMap;
use tokio::{sync::Notify, task::yield_now, time::Instant};

use crate::{caps::Cap, handle::Handle, tend::Ask, user_streams::UserStreams};

/// Users looked at before everybody else has a turn.
const LOOK: usize = 256;

/// The map user → streams, in an order that is the same in every run of a simulation.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    users: Mutex<IndexMap<UserId, Arc<UserStreams>>>,
    streams: AtomicUsize,
    /// Rings whenever a user or a stream goes.
    gone: Notify,
}

impl Hub {
    fn users(&self) -> MutexGuard<'_, IndexMap<UserId, Arc<UserStreams>>> {
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
        let streams =
            users.entry(user.clone()).or_insert_with(|| Arc::new(UserStreams::new(user.clone(), now)));
        let ask = streams.join(handle, now).ok_or(Cap::User)?;
        self.streams.fetch_add(1, Ordering::Relaxed);
        Ok((streams.clone(), ask))
    }

    /// Unregisters a stream.
    pub(crate) fn leave(&self, user: &UserStreams, handle: &Arc<Handle>, now: Instant) {
        user.leave(handle, now);
        self.streams.fetch_sub(1, Ordering::Relaxed);
        self.gone.notify_waiters();
    }

    /// Those of `users` who are here, each at its place: an envelope may name 500.
    pub(crate) fn get_each<'a>(&self, users: impl Iterator<Item = &'a str>) -> Vec<Option<Arc<UserStreams>>> {
        let known = self.users();
        users.map(|user| known.get(user).cloned()).collect()
    }

    /// Looks at every user who is here all the while, and answers with those of whom there is something
    /// to say.
    ///
    /// Some at a time, so that nobody waits for long meanwhile, and from the end, to which whoever comes
    /// is added and from which the place of whoever goes is filled: nobody is passed over.
    pub(crate) async fn look<T>(
        &self,
        mut at: impl FnMut(&UserStreams) -> Option<T>,
    ) -> Vec<(Arc<UserStreams>, T)> {
        let (mut found, mut end) = (Vec::new(), usize::MAX);
        loop {
            {
                let users = self.users();
                end = end.min(users.len());
                let begin = end.saturating_sub(LOOK);
                let some = (begin..end).rev().filter_map(|place| users.get_index(place));
                found.extend(some.filter_map(|(_, user)| at(user).map(|said| (user.clone(), said))));
                end = begin;
            }
            if end == 0 {
                return found;
            }
            yield_now().await;
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<UserStreams>> {
        self.users().values().cloned().collect()
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
            .is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), user) && known.is_idle())
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

#[cfg(test)]
mod tests {
    use domain::limits;
    use jiff::Timestamp;

    use super::*;

    fn is_known(hub: &Hub, user: &str) -> bool {
        hub.get_each([user].into_iter())[0].is_some()
    }

    fn handle() -> Arc<Handle> {
        Arc::new(Handle::new(Timestamp::UNIX_EPOCH))
    }

    #[tokio::test]
    async fn a_user_without_streams_and_lease_is_forgotten() {
        let (hub, alice, now) = (Hub::default(), UserId::parse("alice").unwrap(), Instant::now());
        let one = handle();
        let (user, ask) = hub.join(&alice, one.clone(), 1, now).unwrap();
        assert_eq!(ask, Ask::LEASE);
        hub.forget_if_idle(&user);
        assert!(is_known(&hub, "alice"));
        hub.leave(&user, &one, now);
        hub.without_streams().await;
        hub.forget_if_idle(&user);
        assert!(!is_known(&hub, "alice"));
        hub.empty().await;
    }

    #[tokio::test]
    async fn a_look_at_all_passes_nobody_over_whoever_comes_and_goes_meanwhile() {
        let (hub, now) = (Hub::default(), Instant::now());
        let join = |n: usize| {
            let (user, one) = (UserId::parse(&format!("user{n}")).unwrap(), handle());
            let (streams, _) = hub.join(&user, one.clone(), usize::MAX, now).unwrap();
            (streams, one)
        };
        let users: Vec<_> = (0..4 * LOOK).map(join).collect();
        let mut seen = std::collections::HashSet::new();
        let looking = hub.look(|user| {
            seen.insert(user.user.clone());
            (user.user.as_str() == "user7").then_some("it is here")
        });
        let moving = async {
            // One who was not looked at yet, and one who was, go in each pause; somebody comes.
            for n in 0..3 {
                for (gone, its) in [&users[20 + n], &users[4 * LOOK - 1 - n]] {
                    hub.leave(gone, its, now);
                    hub.forget_if_idle(gone);
                }
                join(10 * LOOK + n);
                yield_now().await;
            }
        };
        let (found, ()) = tokio::join!(looking, moving);
        assert_eq!(
            found.iter().map(|(user, said)| (user.user.as_str(), *said)).collect::<Vec<_>>(),
            [("user7", "it is here")]
        );
        let stayed =
            users.iter().enumerate().filter(|(n, _)| !(20..23).contains(n)).map(|(_, (user, _))| &user.user);
        assert!(stayed.clone().all(|user| seen.contains(user)));
    }

    #[test]
    fn the_ninth_stream_of_a_user_is_refused_and_others_are_not_until_the_edge_is_full() {
        let (hub, now) = (Hub::default(), Instant::now());
        let [alice, bob] = ["alice", "bob"].map(|name| UserId::parse(name).unwrap());
        let most = limits::USER_STREAMS + 1;
        for _ in 0..limits::USER_STREAMS {
            assert!(hub.join(&alice, handle(), most, now).is_ok());
        }
        assert_eq!(hub.join(&alice, handle(), most, now).unwrap_err(), Cap::User);
        assert!(hub.join(&bob, handle(), most, now).is_ok());
        assert_eq!(hub.join(&bob, handle(), most, now).unwrap_err(), Cap::Edge);
        assert_eq!(hub.streams(), most);
    }
}
