//! Outbox rows as this process has seen them. A row that has not changed for long enough, by this process's own clock,
//! has no writer that is still delivering.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use store::table::{keys::Key, rows::OutboxRow};
use tokio::time::Instant;

/// The claim of each row, and since when it is that. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed(Arc<Mutex<HashMap<Key, (u64, Instant)>>>);

impl Observed {
    /// Notes a row; answers with how long it still has to stay as it is.
    pub(super) fn note(&self, row: &OutboxRow, now: Instant) -> Duration {
        let Ok(mut rows) = self.0.lock() else { return row.patience() };
        let seen = rows.entry(row.key()).or_insert((row.claim, now));
        if seen.0 != row.claim {
            *seen = (row.claim, now);
        }
        row.patience().saturating_sub(now - seen.1)
    }

    /// Forgets rows of a shard that are there no more.
    pub(super) fn keep(&self, shard: &str, rows: &[OutboxRow]) {
        let there: Vec<Key> = rows.iter().map(OutboxRow::key).collect();
        if let Ok(mut seen) = self.0.lock() {
            seen.retain(|key, _| key.pk != shard || there.contains(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{ids::ThreadId, limits};

    use super::*;

    #[test]
    fn a_row_is_free_once_it_has_not_changed_for_long_enough() {
        let (observed, start) = (Observed::default(), Instant::now());
        let thread = ThreadId::parse("t_a").unwrap();
        let row = |claim, claimed| OutboxRow {
            thread: thread.clone(),
            reader: None,
            target: 7,
            since: 0,
            claim,
            claimed,
            claimed_through: None,
        };
        assert_eq!(observed.note(&row(1, false), start), limits::OUTBOX_GRACE);
        let later = start + limits::OUTBOX_GRACE;
        assert_eq!(observed.note(&row(1, false), later), Duration::ZERO);
        assert_eq!(observed.note(&row(2, false), later), limits::OUTBOX_GRACE, "it was written again");
        assert_eq!(observed.note(&row(3, true), later), limits::OUTBOX_HOLD, "another one runs it");
        assert_eq!(observed.note(&row(3, true), later + limits::OUTBOX_HOLD), Duration::ZERO);
    }
}
