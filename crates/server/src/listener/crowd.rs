//! Whether a listener has few places left, so that connections at rest give way.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// The places of a listener, taken and free. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    free: Arc<Semaphore>,
    most: usize,
}

impl Crowd {
    /// A listener with `most` places, of which `free` has a permit each.
    pub(super) fn new(free: Arc<Semaphore>, most: usize) -> Self {
        Self { free, most }
    }

    /// Whether less than a fifth of the places is free.
    pub(super) fn is_dense(&self) -> bool {
        self.free.available_permits() * 5 < self.most
    }
}
