//! Fan-outs not yet known complete (P11).

use domain::limits;
use jiff::Timestamp;

use crate::{
    commit::millis,
    error::{Error, held},
    keys::{self, Key},
    rows::OutboxRow,
    table::Table,
    tx::n,
};

impl OutboxRow {
    fn key(&self) -> Key {
        match &self.reader {
            None => keys::outbox(&self.thread),
            Some(reader) => keys::seen_outbox(&self.thread, reader),
        }
    }
}

impl Table {
    /// The rows of one shard that are due.
    pub async fn due(&self, shard: u8, now: Timestamp) -> Result<Vec<OutboxRow>, Error> {
        let mut rows: Vec<OutboxRow> = self.partition(keys::outbox_pk(shard), "", usize::MAX).await?;
        rows.retain(|row| row.due <= now.as_millisecond());
        Ok(rows)
    }

    /// Takes a due row up, for [`limits::OUTBOX_HOLD`]; false if somebody else was faster.
    pub async fn hold(&self, row: &OutboxRow, now: Timestamp) -> Result<bool, Error> {
        let due = now.as_millisecond() + millis(limits::OUTBOX_HOLD);
        let moved = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(row.key().item()))
            .update_expression("SET due = :due")
            .condition_expression("due = :was")
            .expression_attribute_values(":due", n(due))
            .expression_attribute_values(":was", n(row.due))
            .send()
            .await;
        held(moved)
    }

    /// The fan-out up to `upto` of the row's thread is complete: the row goes, unless it has been
    /// given more to do.
    pub async fn finish(&self, key: &Key, upto: u64) -> Result<(), Error> {
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key.item()))
            .condition_expression("upto = :upto")
            .expression_attribute_values(":upto", n(upto))
            .send()
            .await;
        held(deleted).map(|_| ())
    }
}
