//! Deliveries not yet known complete (rule 11).
//!
//! No decision compares the clocks of two machines. Each write to a row, and each claim, changes its `claim`. An observer
//! that has seen a row unchanged for long enough by its own clock takes it.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    event::Entry,
    ids::{ThreadId, UserId},
    job::Job,
    limits,
    wire::Seen,
};
use jiff::Timestamp;
use mistakes::mistake;

use crate::table::{
    Table,
    error::Error,
    keys::{self, Key},
    retry::retry,
    rows::OutboxRow,
    tx::{Tx, n, s},
};

/// Whether a link has claimed the outbox row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The link has claimed the row.
    Acquired,
    /// A later write has raised the target, and has a chain of its own. This chain continues without the claim.
    /// Otherwise a thread with constant writes would never reach its last members.
    Superseded,
    /// Nothing is left to do: the row is gone, or its target is below the job's. Or another chain at the same position or
    /// further on holds the claim.
    Nothing,
}

impl OutboxRow {
    /// A delivery to be done: of a thread's log, or of how far `reader` has read.
    pub fn new(thread: ThreadId, reader: Option<UserId>, target: u64, now: Timestamp) -> Self {
        let since = now.as_millisecond();
        Self { thread, reader, target, since, claim: 0, claimed: false, claimed_through: None }
    }

    /// Its key.
    pub fn key(&self) -> Key {
        match &self.reader {
            None => keys::outbox(&self.thread),
            Some(reader) => keys::seen_outbox(&self.thread, reader),
        }
    }

    /// How long a row must stay unchanged before an observer may claim it. A writer delivers for seconds, a claim holder
    /// longer.
    pub fn patience(&self) -> std::time::Duration {
        if self.claimed { limits::OUTBOX_HOLD } else { limits::OUTBOX_GRACE }
    }
}

impl Table {
    /// The rows of one shard.
    pub async fn outbox(&self, shard: u8) -> Result<Vec<OutboxRow>, Error> {
        self.partition(keys::outbox_pk(shard), "", usize::MAX).await
    }

    /// One row, if it is still there.
    pub async fn outbox_row(&self, key: &Key) -> Result<Option<OutboxRow>, Error> {
        self.get(key).await
    }

    /// Claims a row that an observer has seen unchanged; false if it has changed meanwhile.
    pub async fn claim_unchanged(&self, row: &OutboxRow) -> Result<bool, Error> {
        let claim = "SET claim = claim + :one, claimed = :true REMOVE claimed_through";
        let values = vec![(":one", n(1)), (":true", AttributeValue::Bool(true)), (":was", n(row.claim))];
        self.update_if(&row.key(), claim, "claim = :was", values).await
    }

    /// Claims the row for one link of a chain. The claim fails if another chain holds the row at the same position or
    /// further on. Of two chains with one goal, the leading chain has passed every member that the other chain has
    /// passed. So duplicate jobs end here, and a long backlog does not multiply chains.
    ///
    /// The claim only saves work: two links that deliver to the same members do no harm. A chain that dies leaves its
    /// claim. An observer takes the row when the claim has not changed for long, and begins a chain anew.
    pub async fn claim(&self, job: &Job) -> Result<Claim, Error> {
        let key = keys::outbox(&job.thread);
        let free = "target = :goal AND (attribute_not_exists(claimed_through) OR claimed_through < :here)";
        let claim = "SET claim = claim + :one, claimed = :true, claimed_through = :here";
        let values = vec![
            (":one", n(1)),
            (":true", AttributeValue::Bool(true)),
            (":here", s(keys::members_after(job.after.as_ref()).0)),
            (":goal", n(job.goal)),
        ];
        if self.update_if(&key, claim, free, values).await? {
            return Ok(Claim::Acquired);
        }
        let row: Option<OutboxRow> = self.get(&key).await?;
        Ok(if row.is_some_and(|row| row.target > job.goal.0) { Claim::Superseded } else { Claim::Nothing })
    }

    /// Puts an outbox row for a delivery whose post has failed, or raises its target.
    pub async fn owe(&self, row: &OutboxRow) -> Result<(), Error> {
        let (raise, values) = &raise(row);
        let key = &row.key();
        retry(|_| async move { Ok(self.update_if(key, raise, NOT_BEYOND, values.clone()).await.map(drop)?) })
            .await
    }

    /// The delivery up to `target` of the row's thread is complete: the row goes, unless it has been given more to do.
    pub async fn complete(&self, key: &Key, target: u64) -> Result<(), Error> {
        let unraised = if mistake!(RaisedRowDeleted) {
            "attribute_exists(pk) OR target = :target"
        } else {
            "target = :target"
        };
        self.delete_if(key, unraised, vec![(":target", n(target))]).await
    }
}

/// Adds the outbox row of an entry to the transaction that commits it.
pub(crate) fn enqueue(tx: &mut Tx<'_>, entry: &Entry, now: Timestamp) {
    let row = OutboxRow::new(entry.thread.clone(), None, entry.tseq.0, now);
    let (raise, values) = raise(&row);
    tx.update(&row.key(), &raise, None, values);
}

/// Adds the outbox row of a mark to the transaction that commits it, unless a later mark is owed.
pub(crate) fn enqueue_seen(tx: &mut Tx<'_>, seen: &Seen, now: Timestamp) {
    let row = OutboxRow::new(seen.thread.clone(), Some(seen.user.clone()), seen.number.0, now);
    let (raise, values) = raise(&row);
    tx.update(&row.key(), &raise, Some(NOT_BEYOND), values);
}

/// That a row's target is not beyond the one it is given.
const NOT_BEYOND: &str = "attribute_not_exists(target) OR target <= :target";

/// The update that puts a row or raises its target, and its values.
fn raise(row: &OutboxRow) -> (String, Vec<(&'static str, AttributeValue)>) {
    let mut values = vec![
        (":target", n(row.target)),
        (":thread", s(row.thread.as_str())),
        (":now", n(row.since)),
        (":zero", n(0)),
        (":one", n(1)),
    ];
    values.extend(row.reader.as_ref().map(|reader| (":reader", s(reader.as_str()))));
    let target = if mistake!(OutboxNotRaised) { "if_not_exists(target, :target)" } else { ":target" };
    let reader = if row.reader.is_some() { ", reader = :reader" } else { "" };
    let update = format!(
        "SET target = {target}, thread = :thread{reader}, since = if_not_exists(since, :now), \
         claim = if_not_exists(claim, :zero) + :one REMOVE claimed, claimed_through"
    );
    (update, values)
}
