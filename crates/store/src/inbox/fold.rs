//! Folding (rule 5): moves the first entries of a user row into a page and into the views.
//!
//! The page is put first, the views are written next, and the entries are cut last. After a crash the next fold repeats
//! every step. Each step is conditional or idempotent.

use std::collections::{BTreeMap, HashMap};

use domain::{
    event::{Member, Role},
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    limits,
    sequence::InboxSeq,
    user_row::UserRow,
    view::{Facts, View},
};
use futures_util::future::{try_join, try_join_all};
use jiff::Timestamp;
use mistakes::mistake;

use super::{Change, shelf::Found};
use crate::{
    table::{
        EdgeTable, Table,
        error::Error,
        keys::{self, Key},
        retry::retry,
        rows::ThreadRow,
        take,
        tx::n,
        user_row,
    },
    visibility::{is_settled, looked_at},
};

impl Table {
    /// Folds the first entries of a user row. False if there are too few, or if one is not settled: a reader of a page
    /// does not check the log again.
    pub async fn fold(&self, user: &UserId, row: &UserRow, now: Timestamp) -> Result<bool, Error> {
        let Some(page) = row.next_page() else { return Ok(false) };
        if !self.is_settled(row, page).await? && !mistake!(FoldUnsettled) {
            return Ok(false);
        }
        if mistake!(CutBeforePage) {
            self.cut(user, row, page).await?;
        }
        self.put_page(user, row, page, now).await?;
        if mistake!(CutBeforeViews) {
            self.cut(user, row, page).await?;
        }
        self.fold_views(user, page).await?;
        self.cut(user, row, page).await?;
        let end = row.folded + page.len() as u64;
        if self.is_tidied_between(row.folded, end)
            && let Err(error) = self.tidy(user).await
        {
            // A later fold does it.
            tracing::warn!(user.id = %user, "cannot shelve the views that no list shows: {error}");
        }
        Ok(true)
    }

    /// Whether the last entry of each thread that the page would take is settled. The others are: only a thread's last
    /// entry can be unsettled.
    async fn is_settled(&self, row: &UserRow, page: &[InboxEntry]) -> Result<bool, Error> {
        let last = row.last_of_each();
        let end = row.folded + page.len() as u64;
        let last = last.iter().filter(|(seq, _)| *seq <= end).map(|(_, logged)| *logged);
        let found = self.entries_at(&looked_at(last.clone())).await?;
        Ok(last.into_iter().all(|logged| is_settled(logged, &found)))
    }

    /// Puts the page. It is a function of the generation and of `folded`, but for its end.
    async fn put_page(
        &self,
        user: &UserId,
        row: &UserRow,
        page: &[InboxEntry],
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut item = keys::page(user, row.folded + page.len() as u64).item();
        item.insert("entries".into(), user_row::list(page));
        item.insert("exp".into(), n(now.as_second().saturating_add(self.inbox_seconds)));
        self.client.put_item().table_name(&self.name).set_item(Some(item)).send().await?;
        Ok(())
    }

    /// Whether an inbox is tidied between these places. It is once for as many events as a list shows invitations: then a list
    /// reads at most twice as many as it shows.
    fn is_tidied_between(&self, first: InboxSeq, last: InboxSeq) -> bool {
        let every = self.invitations_shown as u64;
        first.0 / every < last.0 / every
    }

    /// Brings each view of the page's threads forward.
    async fn fold_views(&self, user: &UserId, page: &[InboxEntry]) -> Result<(), Error> {
        let mut threads: BTreeMap<&ThreadId, Vec<&InboxEntry>> = BTreeMap::new();
        for entry in page {
            threads.entry(entry.thread()).or_default().push(entry);
        }
        let pairs: Vec<(&UserId, &ThreadId)> = threads.keys().map(|thread| (user, *thread)).collect();
        let found = self.views_at(&pairs, true).await?;
        let folds = threads
            .into_iter()
            .zip(found)
            .map(async |((thread, entries), first)| self.fold_view(user, thread, entries, first?).await);
        try_join_all(folds).await.map(drop)
    }

    /// Folds entries into one view. A view that another fold has written meanwhile is read again.
    async fn fold_view(
        &self,
        user: &UserId,
        thread: &ThreadId,
        entries: Vec<&InboxEntry>,
        first: Found,
    ) -> Result<(), Error> {
        let (entries, first) = (&entries, &first);
        retry(|attempt| async move {
            let found = match attempt.number {
                0 => first.clone(),
                _ => self.view_at(user, thread).await?,
            };
            let was = &found.view;
            let needs_facts = View::needs_facts(was.as_ref(), entries.iter().copied());
            let facts = if needs_facts { self.facts(user, thread).await? } else { None };
            let folded = View::fold(was.clone(), user, entries.iter().copied(), facts.as_ref());
            let Some(folded) = folded.filter(|folded| Some(folded) != was.as_ref()) else { return Ok(()) };
            self.put_view(user, &found, folded).await
        })
        .await
    }

    /// Takes the page's entries out of the row, if no other fold has done so.
    async fn cut(&self, user: &UserId, row: &UserRow, page: &[InboxEntry]) -> Result<(), Error> {
        let mut change =
            Change::new().set("folded = :folded", [(":folded", n(row.folded + page.len() as u64))]);
        // From the last one, so that it is the same whether a removal moves the others at once or not.
        for place in (0..page.len()).rev() {
            change = change.remove(format!("entries[{place}]"));
        }
        let was = [(":was", n(row.folded)), (":gen", n(row.r#gen.unwrap_or_default()))];
        let change = match row.folded.0 {
            _ if mistake!(CutTwice) => change,
            0 => change.only_if("gen = :gen AND (attribute_not_exists(folded) OR folded = :was)").values(was),
            _ => change.only_if("gen = :gen AND folded = :was").values(was),
        };
        self.update(user, &change).await.map(drop)
    }
}

impl EdgeTable {
    /// Title, members and kind of a thread, for a view of `user`'s. None for a former member, who must not see later
    /// changes. Never older than an entry that is in an inbox, because each delivery settles its goal first.
    pub(crate) async fn facts(&self, user: &UserId, thread: &ThreadId) -> Result<Option<Facts>, Error> {
        let facts = self.facts_of(&[thread]).await?.remove(thread);
        // After the rest: who is a member still may see all of it.
        let may_see = thread.is_direct() || self.is_member(thread, user).await?;
        Ok(facts.filter(|_| may_see))
    }

    /// The same of up to 100 threads, whoever may see them.
    pub(crate) async fn facts_of(&self, threads: &[&ThreadId]) -> Result<HashMap<ThreadId, Facts>, Error> {
        let keys: Vec<Key> = threads.iter().map(|thread| keys::thread(thread)).collect();
        let members = threads.iter().map(|thread| async move {
            if thread.is_direct() {
                Ok(Vec::new())
            } else {
                self.first_members(thread, limits::LISTED_MEMBERS).await
            }
        });
        let (mut rows, members) = try_join(self.get_many(&keys, true), try_join_all(members)).await?;
        let mut facts = HashMap::with_capacity(threads.len());
        for ((thread, key), members) in threads.iter().zip(&keys).zip(members) {
            if let Some(row) = take::<ThreadRow>(&mut rows, key)? {
                facts.insert((*thread).clone(), facts_as_of(row, members));
            }
        }
        Ok(facts)
    }
}

pub(crate) fn facts_as_of(row: ThreadRow, members: Vec<Member>) -> Facts {
    let members = match row.pair {
        Some((a, b)) => [a, b].map(|user| Member { user, role: Role::Member }).into(),
        None => members,
    };
    Facts { kind: row.kind, title: row.title, created: row.created, members, settings: row.settings }
}
