//! When the streams of a lane are to be looked at again: a wheel of ticks, a place of 8 bytes for each.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    task::Wake as _,
    time::Duration,
};

use tokio::time::Instant;

use super::{conn::Conn, link::Link};

/// How exact it is. Nothing that a stream waits for is worth less, and pings that go out together cost
/// less than each by itself.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Slots: one turn takes 25 s, which most waits, those for the next ping, are shorter than.
const SLOTS: usize = 256;

/// Times, and the streams that wait for them.
#[derive(Debug)]
pub(super) struct Wheel<L> {
    begin: Instant,
    /// The first tick that was not looked at.
    tick: u64,
    /// Who waits for a tick, at its place in the turn. A stream whose own mark is another tick waits
    /// for that one instead.
    slots: Vec<Vec<Arc<Conn<L>>>>,
}

impl<L: Link> Wheel<L> {
    /// One that nobody waits at.
    pub(super) fn new(now: Instant) -> Self {
        Self { begin: now, tick: 1, slots: (0..SLOTS).map(|_| Vec::new()).collect() }
    }

    /// Has the stream looked at not before `at`, unless it is looked at earlier anyway.
    pub(super) fn arm(&mut self, conn: Arc<Conn<L>>, at: Instant) {
        let since = at.saturating_duration_since(self.begin).as_nanos().div_ceil(TICK.as_nanos());
        let tick = u64::try_from(since).unwrap_or(u64::MAX).max(self.tick);
        let armed = conn.armed.load(Ordering::Relaxed);
        // Only the lane's task sets and reads the mark, hence the weakest ordering.
        if armed == 0 || tick < armed {
            conn.armed.store(tick, Ordering::Relaxed);
            let place = place(tick);
            self.slots[place].push(conn);
        }
    }

    /// Wakes those whose time has come.
    pub(super) fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begin).as_millis() / TICK.as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        // No slot twice, however long nobody turned it.
        for slot in (self.tick..=passed).take(SLOTS).map(place) {
            // Given back each time, or every slot would keep the room of its busiest turn.
            for conn in mem::take(&mut self.slots[slot]) {
                let armed = conn.armed.load(Ordering::Relaxed);
                if armed == 0 || place(armed) != slot {
                    continue;
                }
                if armed <= passed {
                    conn.armed.store(0, Ordering::Relaxed);
                    conn.wake();
                } else {
                    self.slots[slot].push(conn);
                }
            }
        }
        self.tick = self.tick.max(passed.saturating_add(1));
    }

    /// When to turn it next.
    pub(super) fn next(&self) -> Option<Instant> {
        let ticks = self.tick..self.tick + SLOTS as u64;
        let tick = ticks.into_iter().find(|tick| !self.slots[place(*tick)].is_empty())?;
        Some(self.begin + TICK.saturating_mul(u32::try_from(tick).unwrap_or(u32::MAX)))
    }
}

fn place(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or_default()
}
