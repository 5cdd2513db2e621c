//! Fan-outs not yet known complete (P11).

use domain::{job::Job, limits};
use jiff::Timestamp;
use mistakes::mistake;

use crate::{
    table::{
        Table,
        error::{Error, held},
        keys::{self, Key},
        rows::OutboxRow,
        tx::{n, s},
    },
    write::commit::millis,
};

/// Whether it is a link's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The row is this chain's, and is held for the time that the link takes.
    Held,
    /// More was committed meanwhile, and has a chain of its own. This one goes on, since a thread
    /// that never rests would not reach its last members otherwise; but it does not hold the row.
    MovedOn,
    /// Nothing is left to do: the row is gone, or a chain that has got as far holds it, or it
    /// never asked for as much as the job does.
    Over,
}

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

    /// One row, if it is still there.
    pub async fn owed(&self, key: &Key) -> Result<Option<OutboxRow>, Error> {
        self.get(key).await
    }

    /// Takes a due row up, for [`limits::OUTBOX_HOLD`]; false if somebody else was faster.
    pub async fn hold(&self, row: &OutboxRow, now: Timestamp) -> Result<bool, Error> {
        let moved = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(row.key().item()))
            .update_expression("SET due = :due REMOVE reached")
            .condition_expression("due = :was")
            .expression_attribute_values(":due", n(held_until(now)))
            .expression_attribute_values(":was", n(row.due))
            .send()
            .await;
        held(moved)
    }

    /// Begins a link: holds the row for [`limits::OUTBOX_HOLD`], unless a chain that has got as
    /// far holds it. Of two chains with one goal the one that is ahead has passed all whom the
    /// other has, so doubled jobs end here, and a queue with a long backlog gathers no chains.
    ///
    /// The time only saves work: nothing breaks where two links do the same.
    pub async fn take(&self, job: &Job, now: Timestamp) -> Result<Turn, Error> {
        let key = keys::outbox(&job.thread);
        let free = "upto = :goal AND (attribute_not_exists(reached) OR reached < :here OR due <= :now)";
        let moved = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.item()))
            .update_expression("SET due = :due, reached = :here")
            .condition_expression(free)
            .expression_attribute_values(":due", n(held_until(now)))
            .expression_attribute_values(":here", s(keys::members_after(job.after.as_ref()).0))
            .expression_attribute_values(":goal", n(job.goal))
            .expression_attribute_values(":now", n(now.as_millisecond()))
            .send()
            .await;
        if held(moved)? {
            return Ok(Turn::Held);
        }
        let row: Option<OutboxRow> = self.get(&key).await?;
        Ok(if row.is_some_and(|row| row.upto > job.goal) { Turn::MovedOn } else { Turn::Over })
    }

    /// The fan-out up to `upto` of the row's thread is complete: the row goes, unless it has been
    /// given more to do.
    pub async fn finish(&self, key: &Key, upto: u64) -> Result<(), Error> {
        let unraised =
            if mistake!(RaisedRowDeleted) { "attribute_exists(pk) OR upto = :upto" } else { "upto = :upto" };
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key.item()))
            .condition_expression(unraised)
            .expression_attribute_values(":upto", n(upto))
            .send()
            .await;
        held(deleted).map(|_| ())
    }
}

fn held_until(now: Timestamp) -> i64 {
    now.as_millisecond() + millis(limits::OUTBOX_HOLD)
}
