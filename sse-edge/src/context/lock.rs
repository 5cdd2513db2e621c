//! A mutex that survives panics.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A `std` mutex without poisoning: a panic elsewhere leaves nothing half done that matters, since the table has the
/// truth. It is held for a few lookups, and never across an `.await`.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
