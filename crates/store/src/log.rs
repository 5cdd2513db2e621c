//! The thread log: what happened in a thread, in the order that counts.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    event::{Body, Entry},
    ids::ThreadId,
};

use crate::{
    error::Error,
    keys::{self, Key},
    rows::EntryRow,
    table::{Table, read_all, read_good},
    tx::s,
};

impl Table {
    /// The last entry of a thread; none if there is no such thread.
    pub async fn tail(&self, thread: &ThreadId) -> Result<Option<Entry>, Error> {
        Ok(self.latest(thread, u64::MAX, 1).await?.pop())
    }

    /// One entry.
    pub async fn entry(&self, thread: &ThreadId, tseq: u64) -> Result<Option<Entry>, Error> {
        let row: Option<EntryRow> = self.get(&keys::entry(thread, tseq)).await?;
        row.map(|row| entry(thread, row)).transpose()
    }

    /// The entries `from ..= to`, at most `limit`, in order and without a hole: the items of a
    /// transaction become visible one by one, so what follows a hole is not returned.
    pub(crate) async fn entries(
        &self,
        thread: &ThreadId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let rows = self.between(thread, from, to, limit, true).await?;
        let unbroken = rows.into_iter().zip(from..).take_while(|(row, tseq)| row.tseq == *tseq);
        unbroken.map(|(row, _)| entry(thread, row)).collect()
    }

    /// Up to `limit` entries with a tseq of at most `to`, the latest first.
    pub async fn latest(&self, thread: &ThreadId, to: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        let rows = self.between(thread, 0, to, limit, false).await?;
        rows.into_iter().map(|row| entry(thread, row)).collect()
    }

    async fn between(
        &self,
        thread: &ThreadId,
        from: u64,
        to: u64,
        limit: usize,
        forward: bool,
    ) -> Result<Vec<EntryRow>, Error> {
        let found = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", s(keys::thread_pk(thread)))
            .expression_attribute_values(":from", s(keys::entry_sk(from)))
            .expression_attribute_values(":to", s(keys::entry_sk(to)))
            .scan_index_forward(forward)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .consistent_read(true)
            .send()
            .await?;
        read_all(found.items)
    }

    /// The rows of one partition whose sort key begins with `prefix`, at most `cap` of them;
    /// damaged ones are passed over.
    pub(crate) async fn partition<T: serde::de::DeserializeOwned>(
        &self,
        pk: String,
        prefix: &str,
        cap: usize,
    ) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        let mut from = None;
        loop {
            let condition =
                if prefix.is_empty() { "pk = :pk" } else { "pk = :pk AND begins_with(sk, :prefix)" };
            let mut query = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression(condition)
                .expression_attribute_values(":pk", AttributeValue::S(pk.clone()))
                .set_exclusive_start_key(from.take())
                .consistent_read(true);
            if !prefix.is_empty() {
                query = query.expression_attribute_values(":prefix", s(prefix));
            }
            let found = query.send().await?;
            rows.extend(read_good(found.items));
            from = found.last_evaluated_key;
            if from.is_none() || rows.len() >= cap {
                rows.truncate(cap);
                return Ok(rows);
            }
        }
    }
}

/// The row of an entry.
pub(crate) fn row(entry: &Entry, origin: String) -> EntryRow {
    EntryRow {
        tseq: entry.tseq,
        number: entry.number,
        by: entry.by.clone(),
        at: entry.at,
        body: serde_json::to_string(&entry.body).expect("ids, numbers and strings always serialise"),
        origin,
    }
}

/// The entry of a row.
pub(crate) fn entry(thread: &ThreadId, row: EntryRow) -> Result<Entry, Error> {
    let body: Body = serde_json::from_str(&row.body).map_err(|e| {
        let key: Key = keys::entry(thread, row.tseq);
        Error::Corrupt { key: key.to_string(), source: Box::new(e) }
    })?;
    Ok(Entry { thread: thread.clone(), tseq: row.tseq, number: row.number, by: row.by, at: row.at, body })
}
