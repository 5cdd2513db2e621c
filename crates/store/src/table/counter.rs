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
    used: Windows,
    /// Apart from the rest: a user can make up places, and must not push out the counts of other users.
    used_in_places: Windows,
}

type Windows = Arc<Mutex<HashMap<Counted, Window>>>;

/// What was used in a window.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// When it is over, in seconds since 1970.
    end: u64,
    used: u32,
}

impl Counter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, ..Self::default() }
    }

    /// How much of a policy would be used in the window of `now` with `weight` more. It is counted if it is not too much.
    ///
    /// A request of the window before, which took long, counts in the window that has begun.
    pub(crate) fn add(&self, counted: Counted, policy: &Policy, weight: u32, now: Timestamp) -> u32 {
        let Ok(mut map) = self.windows(&counted).lock() else { return 0 };
        let mut window = Window { end: policy.end(policy.window(now)), used: 0 };
        if let Some(known) = map.get(&counted).filter(|known| known.end >= window.end) {
            window = *known;
        }
        window.used = window.used.saturating_add(weight);
        if window.used <= policy.most {
            make_room(&mut map, now);
            map.insert(counted, window);
        }
        window.used
    }

    /// Takes back what was counted in the window of `now`, if that is the last one.
    pub(crate) fn take_back(&self, counted: &Counted, policy: &Policy, weight: u32, now: Timestamp) {
        let Ok(mut map) = self.windows(counted).lock() else { return };
        let end = policy.end(policy.window(now));
        if let Some(window) = map.get_mut(counted).filter(|window| window.end == end) {
            window.used = window.used.saturating_sub(weight);
        }
    }

    /// How much of a policy was used in the window of `now`, as far as this process knows.
    pub(crate) fn used_here(&self, counted: &Counted, policy: &Policy, now: Timestamp) -> u32 {
        let window = self.windows(counted).lock().ok().and_then(|used| used.get(counted).copied());
        window.filter(|window| window.end == policy.end(policy.window(now))).map_or(0, |window| window.used)
    }

    /// Remembers how much of a policy was used in the window of `now`, unless a later one has begun.
    pub(crate) fn learn(&self, counted: Counted, policy: &Policy, now: Timestamp, used: u32) {
        let Ok(mut map) = self.windows(&counted).lock() else { return };
        let end = policy.end(policy.window(now));
        if map.get(&counted).is_none_or(|known| known.end <= end) {
            make_room(&mut map, now);
            map.insert(counted, Window { end, used });
        }
    }

    fn windows(&self, (_, _, place): &Counted) -> &Windows {
        if place.is_some() { &self.used_in_places } else { &self.used }
    }
}

fn make_room(map: &mut HashMap<Counted, Window>, now: Timestamp) {
    if map.len() >= MOST {
        let second = u64::try_from(now.as_second()).unwrap_or(0);
        map.retain(|_, window| window.end > second);
    }
    if map.len() >= MOST {
        // A full map is cleared: the limiter lets through rather than keep out.
        map.clear();
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::ThreadId;

    use super::*;

    static POLICY: Policy = Policy::new("a", 3, 10);

    #[test]
    fn a_request_that_took_long_neither_resets_nor_escapes_the_window_that_has_begun() {
        let counter = Counter::new(Rate::Local);
        let user = (UserId::parse("alice").unwrap(), POLICY.name, None);
        let at = |second: i64| Timestamp::from_second(1_000 + second).unwrap();
        let add = |second: i64| counter.add(user.clone(), &POLICY, 1, at(second));
        assert_eq!([0, 9, 10, 11].map(add), [1, 2, 1, 2]);
        assert_eq!(add(9), 3, "it counts in the second window");
        counter.take_back(&user, &POLICY, 1, at(9));
        counter.learn(user.clone(), &POLICY, at(9), 0);
        assert_eq!((add(12), add(12)), (4, 4), "what is too much is not counted");
        counter.take_back(&user, &POLICY, 1, at(12));
        assert_eq!(add(12), 3);
    }

    #[test]
    fn made_up_places_push_out_no_other_count() {
        let counter = Counter::new(Rate::Local);
        let user = UserId::parse("alice").unwrap();
        counter.add((user.clone(), "a", None), &POLICY, 3, Timestamp::UNIX_EPOCH);
        for n in 0..=MOST as u128 {
            let place = Some((ThreadId::group(n), None));
            counter.add((user.clone(), "a", place), &POLICY, 1, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(counter.add((user, "a", None), &POLICY, 1, Timestamp::UNIX_EPOCH), 4);
    }
}
