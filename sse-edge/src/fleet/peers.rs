//! The liveness of all edges, by this edge's own clock. An edge is marked dead after [`limits::BEAT_DEAD`] of
//! observation without a new heartbeat. A dead edge holds no lease.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{ids::BootId, limits};
use store::table::{error::Error, rows::EdgeRow};
use tokio::{sync::Notify, time::Instant};

use crate::context::{Context, lock::Lock};

/// The longest time that counts between two observations: during an outage of DynamoDB, no edge can beat.
const LOOK_MAX: Duration = limits::BEAT_PERIOD.saturating_mul(2);
/// A dead edge's row that has not moved for this long is removed: an edge without a row counts as dead.
const REMOVE_AFTER: Duration = Duration::from_mins(10);

/// What this edge has seen of all edges.
#[derive(Debug)]
pub(crate) struct Peers {
    cx: Arc<Context>,
    seen: Lock<Seen>,
    /// Rings when a dead edge's row was removed.
    removed: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    edges: HashMap<BootId, Peer>,
    looked_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    beat: u64,
    dead: bool,
    /// For how long the heartbeat has not moved, as observed.
    still: Duration,
}

/// What to do about edges that do not beat.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Mark them dead, on condition of this count.
    dead: Vec<(BootId, u64)>,
    /// Remove their rows.
    remove: Vec<BootId>,
}

impl Peers {
    pub(crate) fn new(cx: Arc<Context>) -> Self {
        Self { cx, seen: Lock::default(), removed: Notify::new() }
    }

    /// Whether a lease holder lives. A holder that this edge has never seen may have started a moment ago, so its row is
    /// read first.
    pub(crate) async fn is_living(&self, holder: &BootId) -> Result<bool, Error> {
        if let Some(known) = self.seen.lock().is_living(holder) {
            return Ok(known);
        }
        let rows = self.cx.table.edges().await?;
        let mut seen = self.seen.lock();
        seen.look(&rows, Instant::now());
        Ok(seen.is_living(holder).unwrap_or(false))
    }

    /// Waits until a dead edge's row is removed.
    pub(crate) async fn one_removed(&self) {
        self.removed.notified().await;
    }

    /// Looks at all heartbeats every [`limits::BEAT_PERIOD`], until the edge stops.
    pub(crate) async fn observe(self: Arc<Self>) {
        let mut failing = false;
        loop {
            let looked = self.look().await;
            if let Some(error) = looked.as_ref().err().filter(|_| !failing) {
                self.cx.failed("look at the other edges", error);
            }
            failing = looked.is_err();
            if !self.cx.sleep(limits::BEAT_PERIOD).await {
                return;
            }
        }
    }

    async fn look(&self) -> Result<(), Error> {
        let table = &self.cx.table;
        let rows = table.edges().await?;
        let verdict = self.seen.lock().look(&rows, Instant::now());
        for (boot, beat) in verdict.dead {
            if table.mark_dead(&boot, beat).await? {
                tracing::info!(edge.id = %boot, "marked edge `{boot}` dead: its beat count has not changed for {} s", limits::BEAT_DEAD.as_secs());
                if let Some(edge) = self.seen.lock().edges.get_mut(&boot) {
                    edge.dead = true;
                }
            }
        }
        let removed = !verdict.remove.is_empty();
        for boot in verdict.remove {
            table.remove_edge(&boot).await?;
        }
        if removed {
            self.removed.notify_one();
        }
        Ok(())
    }
}

impl Seen {
    fn is_living(&self, holder: &BootId) -> Option<bool> {
        self.edges.get(holder).map(|edge| !edge.dead)
    }

    fn look(&mut self, rows: &[EdgeRow], now: Instant) -> Verdict {
        let passed =
            self.looked_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at).min(LOOK_MAX));
        self.looked_at = Some(now);
        let mut verdict = Verdict::default();
        let edges = rows.iter().map(|row| {
            let still = match self.edges.get(&row.boot) {
                Some(known) if known.beat == row.beat => known.still + passed,
                _ => Duration::ZERO,
            };
            if !row.dead && still >= limits::BEAT_DEAD {
                verdict.dead.push((row.boot.clone(), row.beat));
            }
            if row.dead && still >= REMOVE_AFTER {
                verdict.remove.push(row.boot.clone());
            }
            (row.boot.clone(), Peer { beat: row.beat, dead: row.dead, still })
        });
        self.edges = edges.collect();
        verdict
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn row(name: u128, beat: u64, dead: bool) -> EdgeRow {
        EdgeRow { boot: BootId::made(name), beat, at: Timestamp::UNIX_EPOCH, streams: 0, dead }
    }

    fn after(start: Instant, looks: u32) -> Instant {
        start + limits::BEAT_PERIOD * looks
    }

    #[test]
    fn an_edge_is_dead_after_thirty_seconds_without_a_new_beat() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        for look in 0..6 {
            let verdict = seen.look(&[row(1, 7, false), row(2, u64::from(look), false)], after(start, look));
            assert_eq!(verdict, Verdict::default(), "{look}");
        }
        let verdict = seen.look(&[row(1, 7, false), row(2, 6, false)], after(start, 6));
        assert_eq!(verdict.dead, [(BootId::made(1), 7)]);
    }

    #[test]
    fn a_time_without_looks_kills_no_edge() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        seen.look(&[row(1, 7, false)], start);
        let verdict = seen.look(&[row(1, 7, false)], start + Duration::from_mins(60));
        assert_eq!(verdict, Verdict::default());
    }

    #[test]
    fn the_row_of_a_dead_edge_is_removed_in_the_end() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let looks = u32::try_from(REMOVE_AFTER.as_secs() / limits::BEAT_PERIOD.as_secs()).unwrap();
        for look in 0..looks {
            assert_eq!(seen.look(&[row(1, 7, true)], after(start, look)), Verdict::default());
        }
        assert_eq!(seen.look(&[row(1, 7, true)], after(start, looks)).remove, [BootId::made(1)]);
    }

    #[test]
    fn only_an_edge_whose_row_is_not_marked_lives() {
        let mut seen = Seen::default();
        seen.look(&[row(1, 7, false), row(2, 7, true)], Instant::now());
        assert_eq!([1, 2, 3].map(|n| seen.is_living(&BootId::made(n))), [Some(true), Some(false), None]);
    }
}
