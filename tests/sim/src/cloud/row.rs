//! One row: what it is, was, and who sees which.

use std::sync::{Arc, OnceLock};

use rand::{RngExt as _, rngs::StdRng};
use tokio::time::{Duration, Instant};

use super::{request::Item, weather::Weather};

/// How long an eventually consistent read may be behind.
const STALE: Duration = Duration::from_secs(1);

/// A row, and what its last change has to do with those who come just then.
#[derive(Debug)]
pub(super) struct Row {
    /// Nothing once it is deleted.
    pub(super) item: Option<Arc<Stored>>,
    /// What it was before its last change.
    pub(super) before: Option<Arc<Stored>>,
    /// When that was.
    pub(super) changed: Instant,
    /// Until then readers still see `before`.
    pub(super) visible: Instant,
    /// Until then other writers get a conflict.
    pub(super) busy: Instant,
}

impl Row {
    /// What a reader sees of it.
    pub(super) fn seen(
        &self,
        consistent: bool,
        weather: &Weather,
        rng: &mut StdRng,
        now: Instant,
    ) -> Option<Arc<Stored>> {
        let stale = !consistent && now < self.changed + STALE && rng.random_bool(weather.stale);
        if now < self.visible || stale { self.before.clone() } else { self.item.clone() }
    }
}

/// A row's attributes, and their JSON once somebody has read them.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) item: Item,
    json: OnceLock<String>,
}

impl Stored {
    /// They have just been written.
    pub(super) fn new(item: Item) -> Arc<Self> {
        Arc::new(Self { item, json: OnceLock::new() })
    }

    /// As an answer has them.
    pub(super) fn json(&self) -> &str {
        self.json.get_or_init(|| serde_json::to_string(&self.item).expect("rows are JSON"))
    }
}

/// A number of a row.
pub(crate) fn number(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.digits()?.parse().ok()
}
