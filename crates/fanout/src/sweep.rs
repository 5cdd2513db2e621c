//! The sweeper: runs deliveries that are not known to be complete.

use std::time::Duration;

use domain::{
    limits,
    sequence::{MessageNumber, ThreadSeq},
    wire::Seen,
};
use futures_util::stream::{self, StreamExt as _};
use mistakes::mistake;
use store::table::{
    keys::{self, Key},
    rows::OutboxRow,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    deliver::{Fanout, Run},
    log,
};

impl Fanout {
    /// Runs every due row once.
    pub async fn sweep(&self) {
        self.sweep_until(Instant::now() + limits::SWEEP_TIME).await;
    }

    /// Runs due rows, and starts no further row after `until`. Returns the age of the oldest due row in milliseconds,
    /// or 0 if no row was due.
    pub(super) async fn sweep_until(&self, until: Instant) -> i64 {
        let mut oldest = 0;
        for shard in (0..keys::SHARDS).filter(|_| !mistake!(NoSweep)) {
            let rows = self.table.due(shard, self.clock.now()).await.unwrap_or_else(|error| {
                log(&format!("could not read shard `{shard}` of the outbox"), None, &error);
                Vec::new()
            });
            let now = self.clock.now().as_millisecond();
            oldest = rows.iter().map(|row| now.saturating_sub(row.since)).fold(oldest, i64::max);
            let runs = (0..rows.len()).take_while(|_| Instant::now() < until);
            let runs = runs.map(|i| self.run_or_log(&rows[i], until));
            stream::iter(runs).buffer_unordered(limits::SWEEP_AT_ONCE).collect::<()>().await;
        }
        oldest
    }

    /// Sweeps every `period` until `stop`.
    pub async fn sweep_every(&self, period: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.sweep().await;
        }
    }

    /// Runs one row, if it exists and is due.
    pub(super) async fn sweep_one(&self, key: &Key, until: Instant) {
        match self.table.outbox_row(key).await {
            Ok(Some(row)) if row.due <= self.clock.now().as_millisecond() => {
                self.run_or_log(&row, until).await;
            }
            Ok(_) => {}
            Err(error) => log(&format!("could not read the outbox row `{key}`"), None, &error),
        }
    }

    async fn run_or_log(&self, row: &OutboxRow, until: Instant) {
        if let Err(error) = self.claim_and_run(row, until).await {
            log("a fan-out is still not complete", Some(&row.thread), &error);
        }
    }

    async fn claim_and_run(&self, row: &OutboxRow, until: Instant) -> Result<(), Error> {
        // Claiming a row moves its due time, so that no two sweepers run the row concurrently.
        if !self.table.claim_due(row, self.clock.now()).await? {
            return Ok(());
        }
        match &row.reader {
            None => match self.run(&row.thread, ThreadSeq(row.upto), None).await? {
                Run::Complete => Ok(()),
                Run::Chain(first) => self.hand_on(first, until).await,
            },
            Some(reader) => {
                let number = MessageNumber(row.upto);
                let seen = Seen { thread: row.thread.clone(), user: reader.clone(), number };
                Ok(self.run_seen(&seen).await?)
            }
        }
    }
}
