//! The thread log: what happened in a thread, in the order that counts.

use std::collections::{BTreeMap, HashMap};

use domain::{
    content::{MessageContent, Told},
    event::{Body, Entry},
    ids::ThreadId,
    sequence::ThreadSeq,
};

use crate::{
    table::{
        EdgeTable,
        error::Error,
        keys::{self, Key},
        read, read_all,
        rows::EntryRow,
        tx::s,
    },
    write::request::WriteRequest,
};

/// Rows that are read at a time: the most that `BatchGetItem` takes.
const BATCH: usize = 100;

impl EdgeTable {
    /// The last entry of a thread; none if there is no such thread.
    pub async fn tail(&self, thread: &ThreadId) -> Result<Option<Entry>, Error> {
        Ok(self.latest(thread, ThreadSeq::MAX, 1).await?.pop())
    }

    /// One entry.
    pub async fn entry(&self, thread: &ThreadId, tseq: ThreadSeq) -> Result<Option<Entry>, Error> {
        let row: Option<EntryRow> = self.get(&keys::entry(thread, tseq)).await?;
        let Some(mut found) = row.map(|row| entry(thread, row)).transpose()? else { return Ok(None) };
        let Body::Edit { message, .. } = found.body else { return Ok(Some(found)) };
        let row: Option<EntryRow> = self.get(&keys::entry(thread, message)).await?;
        let target = row.map(|row| entry(thread, row)).transpose()?;
        Ok(retell(&mut found, target.as_ref()).then_some(found))
    }

    /// The entries behind these keys, edits without their text; some may be absent.
    pub(crate) async fn entries_at(
        &self,
        wanted: &BTreeMap<Key, &ThreadId>,
    ) -> Result<HashMap<Key, Entry>, Error> {
        let keys: Vec<Key> = wanted.keys().cloned().collect();
        let mut found = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(BATCH) {
            for (key, item) in self.get_many(keys, true).await? {
                if let Some(thread) = wanted.get(&key) {
                    let entry = entry(thread, read(&key, item)?)?;
                    found.insert(key, entry);
                }
            }
        }
        Ok(found)
    }

    /// The entries `from ..= to`, at most `limit`, in order, edits without their text. The result ends before the first
    /// gap, because the items of a transaction become visible one by one.
    pub(crate) async fn entries(
        &self,
        thread: &ThreadId,
        from: ThreadSeq,
        to: ThreadSeq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let rows = self.between(thread, from, to, limit, true).await?;
        let unbroken =
            rows.into_iter().zip((from.0..).map(ThreadSeq)).take_while(|(row, tseq)| row.tseq == *tseq);
        unbroken.map(|(row, _)| entry(thread, row)).collect()
    }

    /// Up to `limit` entries with a tseq of at most `to`, the latest first, edits without their text.
    pub async fn latest(&self, thread: &ThreadId, to: ThreadSeq, limit: usize) -> Result<Vec<Entry>, Error> {
        let rows = self.between(thread, ThreadSeq(0), to, limit, false).await?;
        rows.into_iter().map(|row| entry(thread, row)).collect()
    }

    /// The rows `from ..= to`, at most `limit`, in order; or the last of them first.
    pub(crate) async fn between(
        &self,
        thread: &ThreadId,
        from: ThreadSeq,
        to: ThreadSeq,
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
}

/// The row of an entry. It has the key of its request, by which a repetition is known; and the fingerprint, if the key
/// has a row of its own.
pub(crate) fn row(entry: &Entry, request: Option<&WriteRequest>) -> EntryRow {
    EntryRow {
        tseq: entry.tseq,
        number: entry.number,
        by: entry.by.clone(),
        via: request.and_then(|request| request.via.clone()),
        at: entry.at,
        body: json(&entry.body),
        key: request.map(|request| request.idempotency_key.clone()),
        request: request.filter(|request| request.key_from_client).map(|request| request.fingerprint.clone()),
    }
}

/// Takes out of an entry what its reader may not have: what the message says.
pub(crate) fn withhold(entry: &mut Entry) {
    match &mut entry.body {
        Body::Message(content) => **content = MessageContent::default(),
        Body::Edit { told, .. } => *told = Told::Nothing,
        _ => {}
    }
}

/// A body as rows have it.
pub(crate) fn json(body: &Body) -> String {
    serde_json::to_string(body).expect("ids, numbers and strings always serialise")
}

/// Fills an edit with what its message says now. False if the message does not contain the edit yet, because the
/// items of a transaction become visible one by one. A client would keep what it said before the edit.
pub(crate) fn retell(edit: &mut Entry, target: Option<&Entry>) -> bool {
    let Body::Edit { told, .. } = &mut edit.body else { return true };
    let Some(Body::Message(content)) = target.map(|target| &target.body) else { return false };
    *told = content.said().map_or(Told::Deleted, Told::Said);
    content.changed.is_some_and(|changed| changed >= edit.tseq)
}

/// The entry of a row.
pub(crate) fn entry(thread: &ThreadId, row: EntryRow) -> Result<Entry, Error> {
    let body: Body = serde_json::from_str(&row.body).map_err(|e| {
        let key: Key = keys::entry(thread, row.tseq);
        Error::Corrupt { key: key.to_string(), source: Box::new(e) }
    })?;
    // Beside a key that was made for a request lies no fingerprint.
    let key = row.key.filter(|_| row.request.is_some());
    Ok(Entry {
        thread: thread.clone(),
        tseq: row.tseq,
        number: row.number,
        by: row.by,
        at: row.at,
        key,
        body,
    })
}

#[cfg(test)]
mod tests {
    use domain::{ids::UserId, sequence::MessageNumber};
    use jiff::Timestamp;

    use super::*;

    fn at(tseq: u64, body: Body) -> Entry {
        let by = UserId::parse("alice").unwrap();
        let thread = ThreadId::parse("t_a").unwrap();
        let (tseq, number, at) = (ThreadSeq(tseq), MessageNumber(1), Timestamp::UNIX_EPOCH);
        Entry { thread, tseq, number, by, at, key: None, body }
    }

    #[test]
    fn an_edit_is_told_with_the_text_of_now_and_not_before_that_is_there() {
        let before = MessageContent::new("before");
        let now = before.edited("now".into(), ThreadSeq(3), Timestamp::UNIX_EPOCH);
        let later = now.edited("later".into(), ThreadSeq(4), Timestamp::UNIX_EPOCH);
        let told = |said: MessageContent| {
            let mut edit = at(3, Body::Edit { message: ThreadSeq(2), told: Told::Nothing });
            let good = retell(&mut edit, Some(&at(2, Body::Message(Box::new(said)))));
            let Body::Edit { told, .. } = edit.body else { panic!("{edit:?}") };
            (good, told)
        };
        assert!(!told(before).0, "the message is still as it was");
        assert_eq!(told(now), (true, Told::Said("now".into())));
        assert_eq!(told(later), (true, Told::Said("later".into())));
        assert_eq!(told(MessageContent::deleted(ThreadSeq(4))), (true, Told::Deleted));
    }

    #[test]
    fn an_edit_is_stored_without_what_it_says() {
        let row = row(&at(3, Body::Edit { message: ThreadSeq(2), told: Told::Said("secret".into()) }), None);
        assert_eq!(row.body, r#"{"kind":"edit","message":2}"#);
    }
}
