//! Repairs the rows of users: views, HEAD and idempotency keys. Also deletes the outbox rows of threads without a log.

use std::collections::BTreeSet;

use domain::{
    event::{Body, Change},
    ids::{ThreadId, UserId},
    sequence::{InboxSeq, ThreadSeq},
};
use mistakes::mistake;

use super::Repair;
use crate::{
    log::entry,
    table::{
        Item,
        error::Error,
        keys::{self, Key},
        read,
        rows::{EntryRow, HeadRow, KeyRow, ViewRow},
        tx::s,
    },
};

/// Rows that are read at a time: a `BatchGetItem` takes 100 keys.
const PAGE: i32 = 100;

impl Repair<'_> {
    /// A thread without a log can never be delivered: its outbox row would stay for ever.
    pub(super) async fn outbox(&self, thread: &ThreadId) -> Result<(), Error> {
        if self.table.tail(thread).await?.is_none() {
            self.delete(&keys::outbox(thread)).await?;
        }
        Ok(())
    }

    /// Repairs the rows of a user. Deletes the views of threads that the user never joined. Gives HEAD a new
    /// generation, and a seq that is not below the last event.
    pub(super) async fn user(&self, user: &UserId) -> Result<(), Error> {
        let (mut from, mut views) = (None, 0);
        loop {
            let (items, next) = self.page(keys::user_pk(user), keys::VIEWS, from).await?;
            // A view is unreadable here only if its thread could not be repaired, and the first scan has reported that
            // thread.
            let page = items.into_iter().filter_map(|(key, item)| Some((read(&key, item).ok()?, key)));
            let page: Vec<(ViewRow, Key)> = page.collect();
            let joined = page.iter().map(|(view, _)| keys::entry(&view.thread, view.joined));
            let entries = self.rows::<EntryRow>(joined).await?;
            for (view, key) in &page {
                let joined = entries.get(&keys::entry(&view.thread, view.joined));
                if joined.is_some_and(|row| joins(&view.thread, row.as_ref(), user)) {
                    views += 1;
                } else {
                    self.delete(key).await?;
                }
            }
            from = next;
            if from.is_none() {
                return self.head(user, views > 0).await;
            }
        }
    }

    async fn head(&self, user: &UserId, views: bool) -> Result<(), Error> {
        let key = keys::head(user);
        let was: Option<HeadRow> = self.table.get(&key).await?;
        let last = self.last(user).await?;
        if was.is_none() && last == InboxSeq(0) && !views {
            return Ok(());
        }
        let least = if mistake!(RepairBelowEvent) { InboxSeq(0) } else { last };
        let seq = was.as_ref().map_or(least, |was| was.seq.max(least));
        let old = was.as_ref().filter(|_| mistake!(RepairKeepsGeneration));
        let r#gen = old.map_or_else(rng::random, |was| was.r#gen);
        let head = HeadRow { r#gen, seq, authv: was.as_ref().and_then(|was| was.authv) };
        self.set(&key, was.as_ref(), &head).await
    }

    /// The largest seq in the inbox of `user`, told by its key: the row may be damaged.
    async fn last(&self, user: &UserId) -> Result<InboxSeq, Error> {
        let found = self
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .key_condition_expression("pk = :pk AND begins_with(sk, :inbox)")
            .expression_attribute_values(":pk", s(keys::user_pk(user)))
            .expression_attribute_values(":inbox", s(keys::INBOX))
            .scan_index_forward(false)
            .limit(1)
            .consistent_read(true)
            .send()
            .await?;
        let key = found.items.unwrap_or_default().first().and_then(Key::of);
        let seq = key.and_then(|key| key.sk.strip_prefix(keys::INBOX)?.parse().ok());
        Ok(seq.unwrap_or_default())
    }

    /// Deletes the idempotency keys of `sender` whose entries are lost, so that a retry of the request commits again.
    /// The key of a write without an entry stays.
    pub(super) async fn sender(&self, sender: &UserId) -> Result<(), Error> {
        let mut from = None;
        loop {
            let (items, next) = self.page(keys::sender_pk(sender), keys::IDEMPOTENCY, from).await?;
            let mut page: Vec<(Key, Key)> = Vec::with_capacity(items.len());
            for (key, item) in items {
                let row: KeyRow = read(&key, item)?;
                if row.tseq > ThreadSeq(0) {
                    page.push((key, keys::entry(&row.thread, row.tseq)));
                }
            }
            let wanted: BTreeSet<Key> = page.iter().map(|(_, entry)| entry.clone()).collect();
            let entries = self.rows::<EntryRow>(wanted).await?;
            for (key, entry) in page {
                let own = |row: &EntryRow| {
                    let own = row.key.as_ref().filter(|_| &row.by == sender);
                    own.map(|own| keys::idempotency(sender, own)).as_ref() == Some(&key)
                };
                // One that cannot be read may carry it.
                if !entries.get(&entry).is_some_and(|row| row.as_ref().is_none_or(own)) {
                    self.delete(&key).await?;
                }
            }
            from = next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Some rows of a partition, and where to go on.
    async fn page(
        &self,
        pk: String,
        prefix: &str,
        from: Option<Item>,
    ) -> Result<(Vec<(Key, Item)>, Option<Item>), Error> {
        let found = self
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", s(pk))
            .expression_attribute_values(":prefix", s(prefix))
            .set_exclusive_start_key(from)
            .limit(PAGE)
            .consistent_read(true)
            .send()
            .await?;
        let items = found.items.unwrap_or_default();
        let items = items.into_iter().filter_map(|item| Key::of(&item).map(|key| (key, item))).collect();
        Ok((items, found.last_evaluated_key))
    }
}

/// Whether this entry made `user` a member; one that cannot be read may have.
fn joins(thread: &ThreadId, row: Option<&EntryRow>, user: &UserId) -> bool {
    match row.and_then(|row| entry(thread, row.clone()).ok()).map(|entry| entry.body) {
        None => true,
        Some(Body::Thread { members, .. }) => members.iter().any(|member| &member.user == user),
        Some(Body::Member { user: changed, change }) => &changed == user && change == Change::Added,
        Some(_) => false,
    }
}
