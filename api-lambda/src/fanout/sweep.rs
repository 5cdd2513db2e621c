//! The sweeper: drives fan-outs that nobody has finished.

use std::time::Duration;

use domain::wire::Seen;
use store::{error::Error, keys, rows::OutboxRow};
use tokio_util::sync::CancellationToken;

use super::drive::Fanout;

impl Fanout {
    /// Drives every row that is due, once.
    pub async fn sweep(&self) {
        for shard in 0..keys::SHARDS {
            let rows = self.table.due(shard, self.clock.now()).await.unwrap_or_else(|error| {
                tracing::warn!("could not read shard `{shard}` of the outbox: {error}");
                Vec::new()
            });
            for row in rows {
                if let Err(error) = self.take_up(&row).await {
                    tracing::warn!(thread.id = %row.thread, "a fan-out is still not complete: {error}");
                }
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

    async fn take_up(&self, row: &OutboxRow) -> Result<(), Error> {
        // Whoever drives a row first moves it on, so that no two drive it side by side.
        if !self.table.hold(row, self.clock.now()).await? {
            return Ok(());
        }
        match &row.reader {
            None => self.drive(&row.thread, row.upto, None).await,
            Some(reader) => {
                let seen = Seen { thread: row.thread.clone(), user: reader.clone(), number: row.upto };
                self.drive_seen(&seen).await
            }
        }
    }
}
