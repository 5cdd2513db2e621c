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
    /// Runs the rows that nobody is delivering.
    pub async fn sweep(&self) {
        self.sweep_until(Instant::now() + limits::SWEEP_TIME).await;
    }

    /// Runs rows that this process has seen unchanged for long enough, and starts no further row after `until`. Rows
    /// that it sees for the first time are looked at again while there is time. Returns the age of the oldest row in
    /// milliseconds, or 0 if there was none: for a metric alone.
    pub(super) async fn sweep_until(&self, until: Instant) -> i64 {
        let mut oldest = 0;
        loop {
            let mut wait: Option<Duration> = None;
            for shard in (0..keys::SHARDS).filter(|_| !mistake!(NoSweep)) {
                let rows = self.table.outbox(shard).await.unwrap_or_else(|error| {
                    log(&format!("could not read shard `{shard}` of the outbox"), None, &error);
                    Vec::new()
                });
                self.observed.keep(&keys::outbox_pk(shard), &rows);
                let now = self.clock.now().as_millisecond();
                oldest = rows.iter().map(|row| now.saturating_sub(row.since)).fold(oldest, i64::max);
                let waits: Vec<Duration> =
                    rows.iter().map(|row| self.observed.note(row, self.clock.monotonic())).collect();
                wait = waits.iter().copied().filter(|wait| !wait.is_zero()).chain(wait).min();
                let due = (0..rows.len()).filter(|i| waits[*i].is_zero());
                let runs =
                    due.take_while(|_| Instant::now() < until).map(|i| self.run_or_log(&rows[i], until));
                let runs: Vec<_> = runs.collect();
                stream::iter(runs).buffer_unordered(limits::SWEEP_AT_ONCE).collect::<()>().await;
            }
            match wait.map(|wait| Instant::now() + wait) {
                Some(next) if next < until => tokio::time::sleep_until(next).await,
                _ => return oldest,
            }
        }
    }

    /// Sweeps every `period` until `stop`.
    pub async fn sweep_every(&self, period: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.sweep().await;
        }
    }

    /// Runs one row, if it exists and does not change for long enough.
    pub(super) async fn sweep_one(&self, key: &Key, until: Instant) {
        loop {
            let row = match self.table.outbox_row(key).await {
                Ok(Some(row)) => row,
                Ok(None) => return,
                Err(error) => return log(&format!("could not read the outbox row `{key}`"), None, &error),
            };
            let next = Instant::now() + self.observed.note(&row, self.clock.monotonic());
            if next <= Instant::now() {
                return self.run_or_log(&row, until).await;
            }
            if next >= until {
                return;
            }
            tokio::time::sleep_until(next).await;
        }
    }

    async fn run_or_log(&self, row: &OutboxRow, until: Instant) {
        if let Err(error) = self.claim_and_run(row, until).await {
            log("a fan-out is still not complete", Some(&row.thread), &error);
        }
    }

    async fn claim_and_run(&self, row: &OutboxRow, until: Instant) -> Result<(), Error> {
        // A claim changes the row, so that no two sweepers run it concurrently.
        if !self.table.claim_unchanged(row).await? {
            return Ok(());
        }
        match &row.reader {
            None => match self.run(&row.thread, ThreadSeq(row.target), &[]).await? {
                Run::Complete => Ok(()),
                Run::Chain(first) => self.hand_on(first, until).await,
            },
            Some(reader) => {
                let number = MessageNumber(row.target);
                let seen = Seen { thread: row.thread.clone(), user: reader.clone(), number };
                Ok(self.run_seen(&seen).await?)
            }
        }
    }
}
