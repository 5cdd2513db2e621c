//! When the streams of a lane are driven again: a wheel of ticks, with 8 bytes for each stream.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    task::Wake as _,
};

use domain::limits;
use tokio::time::Instant;

use super::{connection::Connection, transport::Transport};

/// Slots: one turn takes 25 s, and most waits, those for the next ping, are shorter.
const SLOTS: usize = 256;

/// Times, and the streams that wait for each.
#[derive(Debug)]
pub(super) struct TimerWheel<L> {
    begin: Instant,
    /// The first tick that was not handled.
    tick: u64,
    /// The streams, each in the slot of its tick. An entry is void if the `armed` mark of its stream names the tick of
    /// another slot: the stream waits for that tick instead.
    slots: Vec<Vec<Arc<Connection<L>>>>,
}

impl<L: Transport> TimerWheel<L> {
    /// A wheel at which no stream waits.
    pub(super) fn new(now: Instant) -> Self {
        Self { begin: now, tick: 1, slots: (0..SLOTS).map(|_| Vec::new()).collect() }
    }

    /// Schedules a wake-up no earlier than `at`, unless the stream has an earlier one.
    pub(super) fn arm(&mut self, connection: Arc<Connection<L>>, at: Instant) {
        let since =
            at.saturating_duration_since(self.begin).as_nanos().div_ceil(limits::TIMER_TICK.as_nanos());
        let tick = u64::try_from(since).unwrap_or(u64::MAX).max(self.tick);
        let armed = connection.armed.load(Ordering::Relaxed);
        // Only the lane's task sets and reads the mark, hence the weakest ordering.
        if armed == 0 || tick < armed {
            connection.armed.store(tick, Ordering::Relaxed);
            let place = place(tick);
            self.slots[place].push(connection);
        }
    }

    /// Wakes the streams whose time has come.
    pub(super) fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begin).as_millis() / limits::TIMER_TICK.as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        // No slot twice, however long the wheel stood still.
        for slot in (self.tick..=passed).take(SLOTS).map(place) {
            // The memory is given back each time, or every slot would keep that of its busiest turn.
            for connection in mem::take(&mut self.slots[slot]) {
                let armed = connection.armed.load(Ordering::Relaxed);
                if armed == 0 || place(armed) != slot {
                    continue;
                }
                if armed <= passed {
                    connection.armed.store(0, Ordering::Relaxed);
                    connection.wake();
                } else {
                    self.slots[slot].push(connection);
                }
            }
        }
        self.tick = self.tick.max(passed.saturating_add(1));
    }

    /// When to turn it next.
    pub(super) fn next(&self) -> Option<Instant> {
        let ticks = self.tick..self.tick + SLOTS as u64;
        let tick = ticks.into_iter().find(|tick| !self.slots[place(*tick)].is_empty())?;
        Some(self.begin + limits::TIMER_TICK.saturating_mul(u32::try_from(tick).unwrap_or(u32::MAX)))
    }
}

fn place(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or_default()
}
