//! How much each user has done, as far as this process knows.

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Mutex},
};

use domain::{
    ids::UserId,
    rate::{Place, Policy},
};
use jiff::Timestamp;

/// Who counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rate {
    /// All processes together count what costs most: messages, changes, threads and invitations.
    Exact,
    /// Each process for itself.
    Local,
    /// Nobody.
    #[default]
    Off,
}

impl Rate {
    /// The names of the values.
    pub const NAMES: [&str; 3] = ["exact", "local", "off"];
}

impl FromStr for Rate {
    type Err = UnknownRate;

    fn from_str(name: &str) -> Result<Self, UnknownRate> {
        match name {
            "exact" => Ok(Self::Exact),
            "local" => Ok(Self::Local),
            "off" => Ok(Self::Off),
            _ => Err(UnknownRate),
        }
    }
}

/// A name that is none of [`Rate::NAMES`].
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("must be `exact`, `local` or `off`")]
pub struct UnknownRate;

/// What a process counts at a time: about 200 bytes each.
const MOST: usize = 20_000;

/// A user, the name of a policy, and the place if each place counts by itself.
type Counted = (UserId, &'static str, Option<Place>);

/// What this process has counted. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter {
    pub(crate) rate: Rate,
    used: Arc<Mutex<HashMap<Counted, Window>>>,
}

/// What was used in a window.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// When it is over, in seconds since 1970.
    end: u64,
    used: u32,
}

impl Counter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, used: Arc::default() }
    }

    /// How much of a policy would be used in the window of `now` with `weight` more. It is counted if it is not too much.
    pub(crate) fn add(&self, counted: Counted, policy: &Policy, weight: u32, now: Timestamp) -> u32 {
        let used = self.used_here(&counted, policy, now).saturating_add(weight);
        if used <= policy.most {
            self.learn(counted, policy, now, used);
        }
        used
    }

    /// Takes back what was counted in the window of `now`.
    pub(crate) fn take_back(&self, counted: Counted, policy: &Policy, weight: u32, now: Timestamp) {
        let used = self.used_here(&counted, policy, now);
        self.learn(counted, policy, now, used.saturating_sub(weight));
    }

    /// How much of a policy was used in the window of `now`, as far as this process knows.
    pub(crate) fn used_here(&self, counted: &Counted, policy: &Policy, now: Timestamp) -> u32 {
        let window = self.used.lock().ok().and_then(|used| used.get(counted).copied());
        window.filter(|window| window.end == policy.end(policy.window(now))).map_or(0, |window| window.used)
    }

    /// Remembers how much of a policy was used in the window of `now`.
    pub(crate) fn learn(&self, counted: Counted, policy: &Policy, now: Timestamp, used: u32) {
        let Ok(mut map) = self.used.lock() else { return };
        if map.len() >= MOST {
            let second = u64::try_from(now.as_second()).unwrap_or(0);
            map.retain(|_, window| window.end > second);
        }
        if map.len() >= MOST {
            // A full map is cleared: the limiter lets through rather than keep out.
            map.clear();
        }
        map.insert(counted, Window { end: policy.end(policy.window(now)), used });
    }
}
