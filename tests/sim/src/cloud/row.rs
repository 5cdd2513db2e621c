//! One row: what it is, was, and who sees which.

use std::sync::{Arc, OnceLock};

use data_encoding::BASE64;
use domain::inbox_entry::InboxEntry;
use rand::{RngExt as _, rngs::StdRng};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::{
    request::{Attribute, Item},
    weather::Weather,
};

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
    /// Until then readers still see `before`, and other writers get a conflict.
    pub(super) applied: Instant,
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
        if now < self.applied || stale { self.before.clone() } else { self.item.clone() }
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

/// The inbox entries of a user row or a page.
pub(crate) fn entries(item: &Item) -> Vec<InboxEntry> {
    let Some(Attribute::L(list)) = item.get("entries") else { return Vec::new() };
    let entry = |value: &Attribute| {
        let Attribute::B(bytes) = value else { panic!("an entry of bytes") };
        let bytes = BASE64.decode(bytes.as_bytes()).expect("base 64");
        InboxEntry::decode(&bytes).expect("an entry of this version")
    };
    list.iter().map(entry).collect()
}

/// A row whose attributes have fixed names.
pub(crate) fn read<T: DeserializeOwned>(item: &Item) -> Option<T> {
    let fields = item.iter().map(|(name, value)| (name.to_string(), plain(value)));
    serde_json::from_value(Value::Object(fields.collect())).ok()
}

fn plain(value: &Attribute) -> Value {
    match value {
        Attribute::S(text) | Attribute::B(text) => Value::from(&**text),
        Attribute::N(digits) => digits.parse().map_or(Value::Null, Value::Number),
        Attribute::Bool(is) => Value::Bool(*is),
        Attribute::Bs(set) => set.iter().map(|bytes| Value::from(&**bytes)).collect(),
        Attribute::L(list) => list.iter().map(plain).collect(),
        Attribute::M(map) => {
            Value::Object(map.iter().map(|(name, value)| (name.to_string(), plain(value))).collect())
        }
    }
}
