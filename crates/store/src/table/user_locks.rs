//! In-process lock per user, so that concurrent appends to one inbox queue up instead of losing the optimistic race. An
//! optimisation: correctness rests on transaction conditions.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use domain::ids::UserId;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

/// Users share locks; two that do so by chance wait now and then.
const LOCKS: usize = 256;
/// The longest wait: an outage may hold up the holder.
const PATIENCE: Duration = Duration::from_secs(2);

/// Some locks, for all users.
#[derive(Debug, Clone)]
pub(crate) struct UserLocks {
    locks: Arc<[Arc<Mutex<()>>]>,
}

impl UserLocks {
    pub(crate) fn new() -> Self {
        let locks = std::iter::repeat_with(Arc::default).take(LOCKS).collect();
        Self { locks }
    }

    /// Waits until no other task of this process appends to the inbox of `user`, or for some time.
    pub(crate) async fn of(&self, user: &UserId) -> Option<OwnedMutexGuard<()>> {
        // The same lock in every run, so that a simulation can be replayed.
        let mut hash = DefaultHasher::new();
        user.hash(&mut hash);
        let lock = hash.finish() % LOCKS as u64;
        let lock = self.locks[usize::try_from(lock).unwrap_or_default()].clone();
        timeout(PATIENCE, lock.lock_owned()).await.ok()
    }
}
