//! Repairs the rows of users: views, the user row and its pages, and idempotency keys.

use std::collections::BTreeSet;

use domain::{
    event::Body,
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    mark::Mark,
    sequence::{InboxSeq, ProfileVersion, ThreadSeq},
    view::View,
};
use mistakes::mistake;

use super::Repair;
use crate::{
    log::entry,
    table::{
        Item,
        error::Error,
        keys::{self, Key, Sender},
        read,
        rows::{EntryRow, KeyRow, ProfileRow},
        tx::{n, s},
        user_row, write,
    },
};

/// Rows that are read at a time: a `BatchGetItem` takes 100 keys.
const PAGE: i32 = 100;

impl Repair<'_> {
    /// Folds what the row and the pages of `user` say into the views: the row and the pages go later. No log has how far
    /// a user has read, and the thread of a view may be one that cannot be repaired.
    pub(super) async fn folded(&self, user: &UserId) -> Result<(), Error> {
        self.unshelved(user).await?;
        let (mut entries, mut from) = (Vec::new(), None);
        loop {
            let (items, next) = self.page(keys::user_pk(user), keys::PAGES, from).await?;
            for (key, item) in &items {
                // An expired page has its entries all the same.
                entries.extend(user_row::page(key, item, i64::MIN)?.unwrap_or_default());
            }
            from = next;
            if from.is_none() {
                break;
            }
        }
        entries.extend(self.table.row(user).await?.entries);
        let threads: BTreeSet<&ThreadId> = entries.iter().map(InboxEntry::thread).collect();
        for thread in threads {
            let of_thread = entries.iter().filter(|entry| entry.thread() == thread);
            let key = keys::view(user, thread);
            let was = self.rows::<View>([key.clone()]).await?.remove(&key).flatten();
            let facts = if View::needs_facts(was.as_ref(), of_thread.clone()) {
                self.table.facts(user, thread).await
            } else {
                Ok(None)
            };
            let facts = match facts {
                Err(Error::Corrupt { .. }) => None,
                facts => facts?,
            };
            if let Some(view) = View::fold(was.clone(), user, of_thread, facts.as_ref()) {
                self.set(&key, was.as_ref(), &view).await?;
            }
        }
        Ok(())
    }

    /// Puts the views of a user from the shelf into their places. A backup may have a view in both, and then the later one
    /// counts. Of a view that is lost or damaged, the log makes another one.
    async fn unshelved(&self, user: &UserId) -> Result<(), Error> {
        let mut from = None;
        loop {
            let (items, next) = self.page(keys::user_pk(user), keys::SHELF, from).await?;
            for (key, item) in items {
                if let Ok(shelved) = read::<View>(&key, item) {
                    let place = keys::view(user, &shelved.thread);
                    let there = self.table.get_item(&place).await?;
                    let there = there.and_then(|item| read::<View>(&place, item).ok());
                    if there.is_none_or(|view| view.version < shelved.version) {
                        self.put_item(&place, write(&place, &shelved)?).await?;
                    }
                }
                self.delete(&key).await?;
            }
            from = next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Repairs the rows of a user. Deletes the views of threads that the user never joined, and empties the row: every
    /// client lists again, and the views have everything.
    pub(super) async fn user(&self, user: &UserId) -> Result<(), Error> {
        let (mut from, mut views) = (None, 0);
        loop {
            let (items, next) = self.page(keys::user_pk(user), keys::VIEWS, from).await?;
            // A view is unreadable here only if its thread could not be repaired, and the first scan has reported that
            // thread.
            let page = items.into_iter().filter_map(|(key, item)| Some((read(&key, item).ok()?, key)));
            let page: Vec<(View, Key)> = page.collect();
            let joined = page.iter().map(|(view, _)| keys::entry(&view.thread, view.joined_tseq));
            let entries = self.rows::<EntryRow>(joined).await?;
            for (view, key) in &page {
                let joined = entries.get(&keys::entry(&view.thread, view.joined_tseq));
                if joined.is_some_and(|row| joins(&view.thread, row.as_ref(), user)) {
                    views += 1;
                } else {
                    self.delete(key).await?;
                }
            }
            from = next;
            if from.is_none() {
                return self.empty(user, views > 0).await;
            }
        }
    }

    /// Gives the user row a new generation without entries and leases, and drops the pages.
    async fn empty(&self, user: &UserId, views: bool) -> Result<(), Error> {
        let key = keys::user_row(user);
        let row = self.table.row(user).await.unwrap_or_default();
        let (mut last, mut from) = (InboxSeq(0), None);
        loop {
            let (items, next) = self.page(keys::user_pk(user), keys::PAGES, from).await?;
            for (key, _) in items {
                let seq = key.sk.strip_prefix(keys::PAGES).and_then(|seq| seq.parse().ok());
                last = last.max(seq.unwrap_or_default());
                self.delete(&key).await?;
            }
            from = next;
            if from.is_none() {
                break;
            }
        }
        // A backup may have a block without its mark, or the mark without the block.
        let blocks = self.table.blocks(user).await?;
        // The same of a profile and its version.
        let profile = match self.table.get::<ProfileRow>(&keys::profile(user)).await {
            Err(Error::Corrupt { .. }) => None,
            profile => profile?,
        };
        let version = profile.map_or_else(ProfileVersion::default, |profile| profile.version);
        if row.r#gen.is_none() && last == InboxSeq(0) && !views && blocks.is_empty() && version.0 == 0 {
            return Ok(());
        }
        let seq = row.seq.max(last);
        let old = row.r#gen.filter(|_| mistake!(RepairKeepsGeneration));
        let mut item = key.item();
        item.insert("gen".into(), n(old.unwrap_or_else(rng::random)));
        item.insert("seq".into(), n(seq));
        item.insert("folded".into(), n(seq));
        if let Some(from) = row.cutoff.valid_from {
            item.insert("tokens_valid_from".into(), n(from.as_second()));
        }
        if !row.cutoff.ended.is_empty() {
            item.insert("ended".into(), user_row::mark_set(&row.cutoff.ended));
        }
        if !blocks.is_empty() {
            let marks: Vec<Mark> = blocks.iter().map(|block| Mark::of(block.user.as_str())).collect();
            item.insert("blocks".into(), user_row::mark_set(&marks));
        }
        if version.0 > 0 {
            item.insert("profile_version".into(), n(version));
        }
        self.put_item(&key, item).await
    }

    /// Deletes the idempotency keys of `sender` whose entries are lost, so that a retry of the request commits again.
    /// The key of a write without an entry stays.
    pub(super) async fn sender(&self, sender: &Sender) -> Result<(), Error> {
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
                    let own = row.key.as_ref().filter(|_| &Sender::of(&row.by, row.via.as_ref()) == sender);
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
    let Some(entry) = row.and_then(|row| entry(thread, row.clone()).ok()) else { return true };
    match &entry.body {
        Body::Thread { members, .. } => members.iter().any(|member| &member.user == user),
        _ => entry.adds(user),
    }
}
