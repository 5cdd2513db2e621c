//! What is visible of a transaction that has committed (delivery protocol, rule 18).
//!
//! DynamoDB applies a transaction's rows one by one. Until a row is applied, a plain read returns its old image, and a
//! write or a `TransactGetItems` of that row is refused. AWS promises no moment at which all rows are applied. So:
//!
//! - A refusal says nothing of the outcome, and is tried again (`table/retry.rs`).
//! - An image that shows a change proves that its row is applied; one that does not proves nothing.
//! - *Settled* means: the entry and the rows that its transaction wrote beside it in the thread are applied.
//!
//! Each function here is the only one of its kind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::{
    operation::transact_get_items::TransactGetItemsError,
    types::{Get, TransactGetItem},
};
use domain::{
    cursor::Cursor,
    event::{Body, Change, Entry, Role},
    ids::{ThreadId, UserId},
    inbox_entry::{Effect, Logged},
    sequence::ThreadSeq,
};
use mistakes::mistake;

use crate::{
    inbox::Image,
    log,
    table::{
        EdgeTable, Item, Table,
        error::{Error, cancelled},
        keys::{self, Key},
        read,
        retry::{Stop, retry},
        rows::{EntryRow, MemberRow, ThreadRow},
    },
};

impl Table {
    /// Settles the last entry of a thread: on return, every row that its transaction wrote in the thread is applied. A
    /// writer settles the tail before it decides from any other row of the thread. So only a thread's last entry can be
    /// unsettled.
    ///
    /// After a message there is nothing to settle.
    pub async fn settle(&self, tail: &Entry) -> Result<(), Error> {
        self.settled_rows(tail, &[]).await.map(drop)
    }

    /// Settles the last entry of a thread, and reads up to ten rows of the thread as they are from then on.
    ///
    /// The rows that the entry's transaction did not write were settled before it, so that one read serves both.
    pub(crate) async fn settled_rows(
        &self,
        tail: &Entry,
        wanted: &[Key],
    ) -> Result<HashMap<Key, Item>, Error> {
        let written = written_beside(tail);
        let both: BTreeSet<&Key> = written.iter().chain(wanted).collect();
        let found = self.get_many(&both.into_iter().cloned().collect::<Vec<_>>(), true).await?;
        if written.iter().all(|key| found.get(key).is_some_and(|item| shows(tail, key, item))) {
            return Ok(found);
        }
        self.await_rows(&written).await?;
        self.get_many(wanted, true).await
    }

    /// Waits until no transaction that has committed has the row of `user` in hand.
    pub async fn await_row(&self, user: &UserId) -> Result<(), Error> {
        self.await_rows(&[keys::user_row(user)]).await
    }

    /// A row once no transaction has it in hand.
    pub(crate) async fn applied(&self, key: &Key) -> Result<Option<Item>, Error> {
        let keys = std::slice::from_ref(key);
        let mut found = retry(|_| async move { self.get_applied(keys).await }).await?;
        Ok(found.remove(key))
    }

    async fn await_rows(&self, keys: &[Key]) -> Result<(), Error> {
        retry(|_| async move { self.get_applied(keys).await.map(drop) }).await
    }

    /// Rows that no transaction has in hand: one that has committed is applied to all of them.
    ///
    /// # Errors
    /// [`Stop::Conflict`] while a transaction has one of them in hand.
    pub(crate) async fn get_applied(&self, keys: &[Key]) -> Result<HashMap<Key, Item>, Stop> {
        let get = |key: &Key| {
            let get = Get::builder().table_name(&self.name).set_key(Some(key.item())).build();
            TransactGetItem::builder().get(get.expect("a get has a table and a key")).build()
        };
        let wanted: Vec<TransactGetItem> = keys.iter().map(get).collect();
        let got = match self.client.transact_get_items().set_transact_items(Some(wanted)).send().await {
            Ok(got) => got.responses.unwrap_or_default(),
            Err(error) => {
                let reasons = match error.as_service_error() {
                    Some(TransactGetItemsError::TransactionCanceledException(cancelled)) => {
                        cancelled.cancellation_reasons().to_vec()
                    }
                    _ => return Err(Stop::Failed(error.into())),
                };
                return Err(cancelled(&reasons, error).map_or(Stop::Conflict, Stop::Failed));
            }
        };
        let found = keys.iter().cloned().zip(got);
        Ok(found.filter_map(|(key, response)| Some((key, response.item?))).collect())
    }
}

/// The rows of its thread that the transaction of an entry wrote beside it.
fn written_beside(entry: &Entry) -> Vec<Key> {
    let thread = &entry.thread;
    match &entry.body {
        Body::Message(_) => Vec::new(),
        _ if mistake!(TailUnsettled) => Vec::new(),
        Body::Edit { message, .. } | Body::Delete { message } | Body::Reaction { message, .. } => {
            vec![keys::entry(thread, *message)]
        }
        Body::Member { user, others, owner, .. } => {
            let changed = std::iter::once(user).chain(others).chain(owner);
            changed.map(|user| keys::member(thread, user)).collect()
        }
        Body::Title { .. } => vec![keys::thread(thread)],
        Body::Thread { members, .. } => {
            let members = members.iter().map(|member| keys::member(thread, &member.user));
            std::iter::once(keys::thread(thread)).chain(members).collect()
        }
    }
}

/// Whether a row shows what the transaction of `tail` wrote into it. A row that does not may be older or newer.
fn shows(tail: &Entry, key: &Key, item: &Item) -> bool {
    match &tail.body {
        Body::Edit { .. } | Body::Delete { .. } | Body::Reaction { .. } => {
            let row: Result<EntryRow, Error> = read(key, item.clone());
            row.and_then(|row| log::entry(&tail.thread, row))
                .is_ok_and(|message| has_change(&message, tail.tseq))
        }
        Body::Member { owner, change, role, .. } => {
            let row: Result<MemberRow, Error> = read(key, item.clone());
            row.is_ok_and(|row| match owner {
                Some(heir) if heir == &row.user => row.role == Role::Owner,
                // A change of role is one, so the image before it has another.
                _ if *change == Change::Role => Some(row.role) == *role,
                _ => row.joined_tseq == tail.tseq || row.left_tseq == Some(tail.tseq),
            })
        }
        Body::Title { title } => {
            let row: Result<ThreadRow, Error> = read(key, item.clone());
            row.is_ok_and(|row| row.title.as_ref() == Some(title))
        }
        // What it wrote was not there before.
        Body::Thread { .. } | Body::Message(_) => true,
    }
}

/// Whether a message's row shows the change that is logged at `tseq`, or a later one.
pub(crate) fn has_change(message: &Entry, tseq: ThreadSeq) -> bool {
    let Body::Message(content) = &message.body else { return false };
    content.changed.is_some_and(|changed| changed >= tseq)
}

impl EdgeTable {
    /// The last cursor before which every event is visible. It is the cursor to send without its events: in a list, in
    /// hello, in a reset, in a poll.
    ///
    /// Nothing waits: the stream tells the rest.
    pub async fn settled_cursor(&self, image: &Image) -> Result<Cursor, Error> {
        let last = image.row.last_of_each();
        let found = self.entries_at(&looked_at(last.iter().map(|(_, logged)| *logged))).await?;
        Ok(settled_cursor(image, &found))
    }
}

/// The settled cursor of an image, from the rows that [`looked_at`] names for the last entry of each thread in it, read
/// after it.
pub(crate) fn settled_cursor(image: &Image, found: &HashMap<Key, Entry>) -> Cursor {
    let last = image.row.last_of_each();
    let unsettled = last.iter().find(|(_, logged)| !is_settled(logged, found));
    let seq = match unsettled {
        Some((seq, _)) if !mistake!(UnsettledCursor) => seq.previous(),
        _ => image.row.seq,
    };
    Cursor { seq, ..image.cursor }
}

/// The rows of the log that show whether these entries are settled.
pub(crate) fn looked_at<'a>(logged: impl IntoIterator<Item = &'a Logged>) -> BTreeMap<Key, &'a ThreadId> {
    let mut keys = BTreeMap::new();
    for logged in logged {
        keys.insert(keys::entry(&logged.thread, logged.tseq), &logged.thread);
        if let Effect::Changed(message) = logged.effect {
            keys.insert(keys::entry(&logged.thread, message), &logged.thread);
        }
    }
    keys
}

/// Whether an entry, and the message that it changes, were seen among the rows that [`looked_at`] names.
pub(crate) fn is_settled(logged: &Logged, found: &HashMap<Key, Entry>) -> bool {
    let is_logged = found.contains_key(&keys::entry(&logged.thread, logged.tseq));
    is_logged
        && match logged.effect {
            Effect::Changed(message) => found
                .get(&keys::entry(&logged.thread, message))
                .is_some_and(|message| has_change(message, logged.tseq)),
            _ => true,
        }
}
