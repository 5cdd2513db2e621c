//! The one commit of a write (P1): idempotency row, log entry and outbox row, or nothing.

use domain::{
    event::Entry,
    ids::{IdempotencyKey, ThreadId, UserId},
    limits,
};
use jiff::Timestamp;
use mistakes::mistake;

use crate::{
    error::{Error, held},
    keys::{self, Key},
    log,
    rows::KeyRow,
    table::{Table, write},
    tx::{ABSENT, ALWAYS, Tx, n, s},
};

/// Who writes, with which idempotency key, and when.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The sender.
    pub by: UserId,
    /// The key that the request came with, or one made for it.
    pub key: IdempotencyKey,
    /// Whether it came with the request: one that was made for it never comes again.
    pub repeatable: bool,
    /// A hash of what was asked for: the same key with another request is refused.
    pub hash: String,
    /// The writer's time.
    pub now: Timestamp,
}

/// What an idempotency key is known for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// The same request has been accepted before.
    Same {
        /// Where it wrote.
        thread: ThreadId,
        /// What it wrote.
        tseq: u64,
    },
    /// The same request has been accepted before, and had nothing to write.
    Nothing,
    /// Another request has used the key.
    Other,
}

/// When a row of an idempotency key that exists already counts as absent: TTL deletes late, and
/// [`known`] does not count it either.
const KEY_ABSENT: &str = "attribute_not_exists(pk) OR exp <= :now";

impl Table {
    /// What the key of `origin` is known for, if it is.
    pub(crate) async fn known(&self, origin: &Origin) -> Result<Option<Known>, Error> {
        Ok(known(origin, self.get(&keys::idempotency(&origin.by, &origin.key)).await?))
    }

    /// Begins a P1 transaction: the idempotency row and the entry, both only if absent.
    pub(crate) fn begin<'a>(&'a self, origin: &Origin, entry: &Entry) -> Result<Tx<'a>, Error> {
        let mut tx = Tx::new(self);
        let (key, row) = key_row(origin, &entry.thread, entry.tseq);
        if !mistake!(NoIdempotencyRow) {
            tx.put_if(&key, &row, KEY_ABSENT, vec![(":now", n(origin.now.as_second()))])?;
        }
        let condition = if mistake!(EntryReplaced) { ALWAYS } else { ABSENT };
        tx.put_if(
            &keys::entry(&entry.thread, entry.tseq),
            &log::row(entry, Some(origin)),
            condition,
            Vec::new(),
        )?;
        Ok(tx)
    }

    /// Makes the key of `origin` known for a request that is as asked for already: if its answer is
    /// lost and it comes again, it must not undo what others have done since. False if the key has
    /// been used meanwhile.
    pub(crate) async fn nothing_to_write(&self, origin: &Origin, thread: &ThreadId) -> Result<bool, Error> {
        if !origin.repeatable {
            return Ok(true);
        }
        let (key, row) = key_row(origin, thread, 0);
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(write(&key, &row)?))
            .condition_expression(KEY_ABSENT)
            .expression_attribute_values(":now", n(origin.now.as_second()))
            .send()
            .await;
        held(put)
    }
}

/// What `row`, read at its key, says of the request of `origin`.
pub(crate) fn known(origin: &Origin, row: Option<KeyRow>) -> Option<Known> {
    let row = row.filter(|row| row.exp > origin.now.as_second())?;
    Some(if row.hash != origin.hash {
        Known::Other
    } else if row.tseq == 0 {
        Known::Nothing
    } else {
        Known::Same { thread: row.thread, tseq: row.tseq }
    })
}

fn key_row(origin: &Origin, thread: &ThreadId, tseq: u64) -> (Key, KeyRow) {
    let (hash, exp) = (origin.hash.clone(), key_end(origin.now));
    let row = KeyRow { hash, thread: thread.clone(), tseq, exp };
    (keys::idempotency(&origin.by, &origin.key), row)
}

/// Until when the key of a write at `at` is known, in seconds since 1970.
pub(crate) fn key_end(at: Timestamp) -> i64 {
    let life = i64::try_from(limits::KEY_LIFE.as_secs()).unwrap_or(i64::MAX);
    at.as_second().saturating_add(life)
}

/// Adds the outbox row that keeps the fan-out of `entry` from being forgotten.
pub(crate) fn owe(tx: &mut Tx<'_>, entry: &Entry, now: Timestamp) {
    let due = now.as_millisecond() + millis(limits::OUTBOX_GRACE);
    let upto = if mistake!(OutboxNotRaised) { "if_not_exists(upto, :upto)" } else { ":upto" };
    tx.update(
        &keys::outbox(&entry.thread),
        &format!("SET upto = {upto}, thread = :thread, since = if_not_exists(since, :now), due = :due REMOVE reached"),
        None,
        vec![
            (":upto", n(entry.tseq)),
            (":thread", s(entry.thread.as_str())),
            (":now", n(now.as_millisecond())),
            (":due", n(due)),
        ],
    );
}

pub(crate) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
