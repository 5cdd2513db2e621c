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

/// Whether a link has claimed the outbox row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The link has claimed the row for [`limits::OUTBOX_HOLD`].
    Acquired,
    /// A later write has raised the goal, and has a chain of its own. This chain continues without the claim. Otherwise
    /// a thread with constant writes would never reach its last members.
    Superseded,
    /// Nothing is left to do: the row is gone, or its goal is below the job's. Or another chain at the same position or
    /// further on holds the claim.
    Nothing,
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
    pub async fn outbox_row(&self, key: &Key) -> Result<Option<OutboxRow>, Error> {
        self.get(key).await
    }

    /// Claims a due row for [`limits::OUTBOX_HOLD`]; false if another process was faster.
    pub async fn claim_due(&self, row: &OutboxRow, now: Timestamp) -> Result<bool, Error> {
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

    /// Claims the row for one link of a chain, for [`limits::OUTBOX_HOLD`]. The claim fails if another chain holds the
    /// row at the same position or further on. Of two chains with one goal, the leading chain has passed every member
    /// that the other chain has passed. So duplicate jobs end here, and a long backlog does not multiply chains.
    ///
    /// The claim only saves work: two links that deliver to the same members do no harm.
    pub async fn claim(&self, job: &Job, now: Timestamp) -> Result<Claim, Error> {
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
            return Ok(Claim::Acquired);
        }
        let row: Option<OutboxRow> = self.get(&key).await?;
        Ok(if row.is_some_and(|row| row.upto > job.goal.0) { Claim::Superseded } else { Claim::Nothing })
    }

    /// The fan-out up to `upto` of the row's thread is complete: the row goes, unless it has been
    /// given more to do.
    pub async fn complete(&self, key: &Key, upto: u64) -> Result<(), Error> {
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
