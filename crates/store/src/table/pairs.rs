//! The members of direct threads that this process has met. They never change, so a message to such a thread need not
//! read them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use domain::ids::{ThreadId, UserId};

/// The most pairs that are kept: about 300 bytes each.
const PAIRS: usize = 20_000;

/// Pairs of users by their direct thread. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs(Arc<Mutex<HashMap<ThreadId, (UserId, UserId)>>>);

impl Pairs {
    pub(crate) fn get(&self, thread: &ThreadId) -> Option<(UserId, UserId)> {
        self.0.lock().ok()?.get(thread).cloned()
    }

    pub(crate) fn put(&self, thread: ThreadId, pair: (UserId, UserId)) {
        let Ok(mut pairs) = self.0.lock() else { return };
        if pairs.len() >= PAIRS {
            pairs.clear();
        }
        pairs.insert(thread, pair);
    }
}
