//! One at a time per user within a process: those who would only take each other's places in an
//! inbox wait for each other instead.
//!
//! Nothing depends on it: other processes know nothing of it, and the conditions of each
//! transaction decide. It saves the tries that are bound to be lost, which is what most of the
//! work would be where one process serves many writers of one hot user.

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

/// Users share places; two that do so by chance only wait now and then.
const PLACES: usize = 256;
/// The longest wait: who is before may be held up by an outage.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whose turn it is.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    places: Arc<[Arc<Mutex<()>>]>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let places = std::iter::repeat_with(Arc::default).take(PLACES).collect();
        Self { places }
    }

    /// Waits until nobody else of this process grows the inbox of `user`, or for some time.
    pub(crate) async fn of(&self, user: &UserId) -> Option<OwnedMutexGuard<()>> {
        // The same place in every run, so that a simulation can be replayed.
        let mut hash = DefaultHasher::new();
        user.hash(&mut hash);
        let place = hash.finish() % PLACES as u64;
        let place = self.places[usize::try_from(place).unwrap_or_default()].clone();
        timeout(PATIENCE, place.lock_owned()).await.ok()
    }
}
