//! The one commit of a write (rule 1): idempotency row, log entry, outbox row and the row that changes with them, or
//! nothing.

use domain::{event::Entry, ids::ThreadId, limits, sequence::ThreadSeq};
use jiff::Timestamp;
use mistakes::mistake;

use super::{Early, Outcome, Rejection, request::WriteRequest};
use crate::{
    log,
    table::{
        Table,
        error::{Error, held},
        keys::{self, Key},
        read,
        retry::Stop,
        rows::{EntryRow, KeyRow},
        tx::{ABSENT, ALWAYS, Cancelled, Tx, n},
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
/// [`Known`] does not count it either.
const KEY_ABSENT: &str = "attribute_not_exists(pk) OR exp <= :now";

impl Table {
    /// What the key of `request` is known for, if it is. A transaction under way with the key is waited for (rule 18).
    pub(crate) async fn known(&self, request: &WriteRequest) -> Result<Option<Known>, Stop> {
        let key = request.key();
        let mut found = if mistake!(KeyReadPlainly) {
            self.get_many(std::slice::from_ref(&key), true).await?
        } else {
            self.get_applied(std::slice::from_ref(&key)).await?
        };
        let row: Option<KeyRow> = found.remove(&key).map(|item| read(&key, item)).transpose()?;
        let row = row.filter(|row| row.exp > request.now.as_second());
        Ok(row.map(|row| {
            if row.hash != request.fingerprint {
                Known::Other
            } else if row.tseq == ThreadSeq(0) {
                Known::Nothing
            } else {
                Known::Same { thread: row.thread, tseq: row.tseq }
            }
        }))
    }

    /// Whether an earlier attempt of `request`, whose outcome is unknown, has written the entry at `tseq`. Its place is
    /// taken once: whatever stands there keeps the attempt from being committed later.
    pub(crate) async fn committed(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        tseq: ThreadSeq,
    ) -> Result<Option<Entry>, Stop> {
        let key = keys::entry(thread, tseq);
        let mut found = self.get_applied(std::slice::from_ref(&key)).await?;
        let row: Option<EntryRow> = found.remove(&key).map(|item| read(&key, item)).transpose()?;
        let is_own = |row: EntryRow| {
            let is_senders = (&row.by, &row.via) == (&request.sender, &request.via);
            is_senders && row.key.as_ref() == Some(&request.idempotency_key)
        };
        if !row.is_some_and(is_own) {
            return Ok(None);
        }
        // Read as members are told of it: the row of an edit has no text.
        self.entry(thread, tseq).await?.ok_or(Stop::Conflict).map(Some)
    }

    /// Begins a transaction: the idempotency row, if the request brought a key, and the entry, both only if absent.
    pub(crate) fn begin<'a>(&'a self, request: &WriteRequest, entry: &Entry) -> Result<Tx<'a>, Error> {
        let mut tx = Tx::new(self);
        if request.key_from_client && !mistake!(NoIdempotencyRow) {
            let (key, row) = key_row(request, &entry.thread, entry.tseq);
            tx.put_if(&key, &row, KEY_ABSENT, vec![(":now", n(request.now.as_second()))])?;
        }
        let condition = if mistake!(EntryReplaced) { ALWAYS } else { ABSENT };
        let row = log::row(entry, Some(request));
        tx.put_if(&keys::entry(&entry.thread, entry.tseq), &row, condition, Vec::new())?;
        Ok(tx)
    }

    /// Completes a write that has nothing to log, and still stores the key of a client. After a lost response the
    /// client retries, and the retry must not undo later changes of other members.
    pub(crate) async fn unchanged(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
    ) -> Result<Outcome, Early> {
        request.permit.granted().await.map_err(Rejection::TooFast)?;
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
        if held(put)? { Ok(Outcome::Unchanged) } else { Err(Early::KeyTaken) }
    }
}

/// Commits what [`Table::begin`] has begun.
pub(crate) async fn commit(tx: Tx<'_>, request: &WriteRequest, entry: &Entry) -> Result<(), Early> {
    request.permit.granted().await.map_err(Rejection::TooFast)?;
    tx.commit().await.map_err(|cancelled: Cancelled| {
        if request.key_from_client && cancelled.failed_at(0) {
            return Early::KeyTaken;
        }
        Early::Uncommitted(entry.thread.clone(), entry.tseq, cancelled.stop)
    })
}

fn key_row(request: &WriteRequest, thread: &ThreadId, tseq: ThreadSeq) -> (Key, KeyRow) {
    let (hash, exp) = (request.fingerprint.clone(), key_end(request.now));
    let row = KeyRow { hash, thread: thread.clone(), tseq, exp };
    (request.key(), row)
}

/// Until when the key of a write at `at` is known, in seconds since 1970.
pub(crate) fn key_end(at: Timestamp) -> i64 {
    let life = i64::try_from(limits::KEY_LIFE.as_secs()).unwrap_or(i64::MAX);
    at.as_second().saturating_add(life)
}
