//! Which edges live, by this one's own clock: an edge whose beat has not moved for
//! [`limits::BEAT_DEAD`] of observation is marked dead, and then holds nothing any more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{ids::BootId, limits};
use store::{error::Error, rows::EdgeRow};
use tokio::time::Instant;

use crate::shared::Shared;

/// How much of a silence between two looks is counted: when DynamoDB was away, nobody could beat.
const LOOK_MAX: Duration = limits::BEAT_PERIOD.saturating_mul(2);
/// A dead edge's row that has not moved for this long is taken away; absent is as good as dead.
const REMOVE_AFTER: Duration = Duration::from_mins(10);

/// What was seen of all edges.
#[derive(Debug, Default)]
pub(crate) struct Edges(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    edges: HashMap<BootId, One>,
    looked_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct One {
    beat: u64,
    dead: bool,
    /// How long the beat has been seen to stand still.
    still: Duration,
}

/// What has to be done about edges that do not beat.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// To be marked dead, on condition of this beat.
    dead: Vec<(BootId, u64)>,
    /// To be forgotten.
    remove: Vec<BootId>,
}

impl Edges {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a holder of a lease lives. One that was never seen is looked for first: it may have
    /// begun a moment ago.
    pub(crate) async fn is_living(&self, shared: &Shared, holder: &BootId) -> Result<bool, Error> {
        if let Some(known) = self.known(holder) {
            return Ok(known);
        }
        let rows = shared.table.edges().await?;
        self.seen().look(&rows, Instant::now());
        Ok(self.known(holder).unwrap_or(false))
    }

    fn known(&self, holder: &BootId) -> Option<bool> {
        self.seen().edges.get(holder).map(|edge| !edge.dead)
    }

    /// Looks at all beats, and marks those dead that stand still.
    async fn look(&self, shared: &Shared) -> Result<(), Error> {
        let rows = shared.table.edges().await?;
        let verdict = self.seen().look(&rows, Instant::now());
        for (boot, beat) in verdict.dead {
            if shared.table.mark_dead(&boot, beat).await? {
                tracing::info!(edge.id = %boot, "marked edge `{boot}` dead: its beat stands still");
                if let Some(edge) = self.seen().edges.get_mut(&boot) {
                    edge.dead = true;
                }
            }
        }
        let removed = !verdict.remove.is_empty();
        for boot in verdict.remove {
            shared.table.remove_edge(&boot).await?;
        }
        if removed {
            shared.reap.notify_one();
        }
        Ok(())
    }
}

impl Seen {
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
            (row.boot.clone(), One { beat: row.beat, dead: row.dead, still })
        });
        self.edges = edges.collect();
        verdict
    }
}

/// Looks every [`limits::BEAT_PERIOD`], until the edge stops.
pub(crate) async fn observe(shared: Arc<Shared>) {
    let mut failing = false;
    loop {
        let looked = shared.edges.look(&shared).await;
        if let Some(error) = looked.as_ref().err().filter(|_| !failing) {
            shared.failed("look at the other edges", error);
        }
        failing = looked.is_err();
        if !shared.sleep(limits::BEAT_PERIOD).await {
            return;
        }
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
    fn a_time_in_which_nobody_could_look_kills_nobody() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        seen.look(&[row(1, 7, false)], start);
        let verdict = seen.look(&[row(1, 7, false)], start + Duration::from_mins(60));
        assert_eq!(verdict, Verdict::default());
    }

    #[test]
    fn a_dead_edge_is_forgotten_in_the_end() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let looks = u32::try_from(REMOVE_AFTER.as_secs() / limits::BEAT_PERIOD.as_secs()).unwrap();
        for look in 0..looks {
            assert_eq!(seen.look(&[row(1, 7, true)], after(start, look)), Verdict::default());
        }
        assert_eq!(seen.look(&[row(1, 7, true)], after(start, looks)).remove, [BootId::made(1)]);
    }

    #[test]
    fn only_an_edge_with_a_row_that_is_not_marked_lives() {
        let edges = Edges::default();
        edges.seen().look(&[row(1, 7, false), row(2, 7, true)], Instant::now());
        assert_eq!([1, 2, 3].map(|n| edges.known(&BootId::made(n))), [Some(true), Some(false), None]);
    }
}
