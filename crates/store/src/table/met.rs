//! What this process has met before, and need not read again.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex},
};

/// The most that is kept of a kind: about 300 bytes each.
const MOST: usize = 20_000;

/// A bounded map. Clones share it.
#[derive(Debug)]
pub(crate) struct Met<K, V>(Arc<Mutex<HashMap<K, V>>>);

impl<K, V> Clone for Met<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Met<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash, V: Clone> Met<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.0.lock().ok()?.get(key).cloned()
    }

    pub(crate) fn remove(&self, key: &K) {
        if let Ok(mut map) = self.0.lock() {
            map.remove(key);
        }
    }

    pub(crate) fn put(&self, key: K, value: V) {
        let Ok(mut map) = self.0.lock() else { return };
        if map.len() >= MOST {
            map.clear();
        }
        map.insert(key, value);
    }
}
