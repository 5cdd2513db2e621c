//! The one commit of a write (P1): idempotency row, log entry and outbox row, or nothing.

use domain::{event::Entry, ids::ThreadId, limits, sequence::ThreadSeq};
use jiff::Timestamp;
use mistakes::mistake;

use super::{Early, Outcome, request::WriteRequest};
use crate::{
    log,
    table::{
        Table,
        error::{Error, held},
        keys::{self, Key},
        retry::Stop,
        rows::KeyRow,
        tx::{ABSENT, ALWAYS, Tx, n, s},
        write,
    },
};

/// What an idempotency key is known for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// The same request has been accepted before.
    Same {
        /// Where it wrote.
        thread: ThreadId,
        /// What it wrote.
        tseq: ThreadSeq,
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
    /// What the key of `request` is known for, if it is.
    pub(crate) async fn known(&self, request: &WriteRequest) -> Result<Option<Known>, Error> {
        Ok(known(request, self.get(&keys::idempotency(&request.sender, &request.idempotency_key)).await?))
    }

    /// Begins a P1 transaction: the idempotency row and the entry, both only if absent.
    pub(crate) fn begin<'a>(&'a self, request: &WriteRequest, entry: &Entry) -> Result<Tx<'a>, Error> {
        let mut tx = Tx::new(self);
        let (key, row) = key_row(request, &entry.thread, entry.tseq);
        if !mistake!(NoIdempotencyRow) {
            tx.put_if(&key, &row, KEY_ABSENT, vec![(":now", n(request.now.as_second()))])?;
        }
        let condition = if mistake!(EntryReplaced) { ALWAYS } else { ABSENT };
        tx.put_if(
            &keys::entry(&entry.thread, entry.tseq),
            &log::row(entry, Some((&request.idempotency_key, &request.fingerprint))),
            condition,
            Vec::new(),
        )?;
        Ok(tx)
    }

    /// Completes a write that has nothing to log, and still stores the key of a client. After a lost response the
    /// client retries, and the retry must not undo later changes of other members.
    pub(crate) async fn unchanged(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
    ) -> Result<Outcome, Early> {
        if !request.key_from_client {
            return Ok(Outcome::Unchanged);
        }
        let (key, row) = key_row(request, thread, ThreadSeq(0));
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(write(&key, &row)?))
            .condition_expression(KEY_ABSENT)
            .expression_attribute_values(":now", n(request.now.as_second()))
            .send()
            .await;
        // The key may have been used meanwhile.
        if held(put)? { Ok(Outcome::Unchanged) } else { Err(Stop::Conflict.into()) }
    }
}

/// What `row`, read at its key, says of the request of `request`.
pub(crate) fn known(request: &WriteRequest, row: Option<KeyRow>) -> Option<Known> {
    let row = row.filter(|row| row.exp > request.now.as_second())?;
    Some(if row.hash != request.fingerprint {
        Known::Other
    } else if row.tseq == ThreadSeq(0) {
        Known::Nothing
    } else {
        Known::Same { thread: row.thread, tseq: row.tseq }
    })
}

fn key_row(request: &WriteRequest, thread: &ThreadId, tseq: ThreadSeq) -> (Key, KeyRow) {
    let (hash, exp) = (request.fingerprint.clone(), key_end(request.now));
    let row = KeyRow { hash, thread: thread.clone(), tseq, exp };
    (keys::idempotency(&request.sender, &request.idempotency_key), row)
}

/// Until when the key of a write at `at` is known, in seconds since 1970.
pub(crate) fn key_end(at: Timestamp) -> i64 {
    let life = i64::try_from(limits::KEY_LIFE.as_secs()).unwrap_or(i64::MAX);
    at.as_second().saturating_add(life)
}

/// Adds the outbox row of `entry`: the delivery that is not known to be complete.
pub(crate) fn enqueue(tx: &mut Tx<'_>, entry: &Entry, now: Timestamp) {
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
