//! The list of a user's threads: the user row first, then the views, with the row's entries folded over them in memory by
//! the code of the fold (rule 13).

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::Select;
use domain::{
    cursor::Cursor,
    event::Settings,
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    limits,
    user_row::UserRow,
    view::{Facts, View},
    wire::{self, Message, ThreadState},
};
use futures_util::future::try_join;

use super::Image;
use crate::{
    table::{
        EdgeTable, Table,
        error::Error,
        keys::{self, Key},
        tx::s,
    },
    visibility::{looked_at, settled_cursor},
};

/// Rows that are read at a time: the most that `BatchGetItem` takes.
const BATCH: usize = 100;
/// What a view has that was not left and is not pending: see [`View::is_pending`].
const COUNTED: &str = "attribute_not_exists(left_tseq) AND \
    (attribute_not_exists(unasked) OR seen > unasked OR accepted_tseq >= joined_tseq)";

impl Table {
    /// The threads that `user` is a member of, as of `image` or later, the one with the latest activity first.
    ///
    /// Of those that count the latest [`limits::USER_THREADS`], and apart from them as many that others have begun, or the
    /// latest [`limits::INVITATIONS_SHOWN`] where those are invitations: what strangers begin takes no place from the rest.
    pub async fn views(&self, user: &UserId, image: &Image) -> Result<Vec<View>, Error> {
        let mut views = self.partition(keys::user_pk(user), keys::VIEWS, usize::MAX).await?;
        views.extend(self.called_for(user, &views, &image.row).await?);
        Ok(self.shown(View::with_row(views, user, &image.row)).0)
    }

    /// Those of a user's views that a list shows, and the rest; the latest first.
    pub(super) fn shown(&self, mut views: Vec<View>) -> (Vec<View>, Vec<View>) {
        views.sort_unstable_by(|a, b| (b.activity, &b.thread).cmp(&(a.activity, &a.thread)));
        let mut counts = [0; 3];
        views.into_iter().partition(|view| {
            if view.left_tseq.is_some() {
                // It must not crowd others out.
                return false;
            }
            let (class, most) = match (view.is_pending(), view.is_invited()) {
                (false, _) => (0, limits::USER_THREADS),
                (true, false) => (1, limits::USER_THREADS),
                (true, true) => (2, self.invitations_shown),
            };
            counts[class] += 1;
            counts[class] <= most
        })
    }

    /// The views on the shelf with which the row goes on. The row was read before the places, so the shelf has what was not
    /// there.
    async fn called_for(&self, user: &UserId, views: &[View], row: &UserRow) -> Result<Vec<View>, Error> {
        let mut first: BTreeMap<&ThreadId, &InboxEntry> = BTreeMap::new();
        for entry in &row.entries {
            first.entry(entry.thread()).or_insert(entry);
        }
        for view in views {
            first.remove(&view.thread);
        }
        // What begins a membership needs no view of an earlier one.
        let begins = |entry: &InboxEntry| entry.logged().is_some_and(|logged| logged.effect.is_beginning());
        first.retain(|_, entry| !begins(entry));
        let pairs: Vec<_> = first.into_keys().map(|thread| (user, thread)).collect();
        let mut views = Vec::new();
        for pairs in pairs.chunks(BATCH) {
            // A damaged one is passed over, as in its place.
            let found = self.with_shelf(pairs, HashMap::new(), true).await?.into_iter().flatten();
            views.extend(found.filter_map(|found| found.view));
        }
        Ok(views)
    }

    /// Up to 100 views as a list of threads shows them, each with the beginning of its latest message; and the cursor of
    /// `image` up to which the list shows everything.
    pub async fn listed(
        &self,
        user: &UserId,
        views: Vec<View>,
        image: &Image,
    ) -> Result<(Vec<wire::Thread>, Cursor), Error> {
        let preview = |view: &View| view.preview.map(|tseq| keys::entry(&view.thread, tseq));
        let last = image.row.last_of_each();
        let mut wanted: BTreeMap<Key, &ThreadId> = looked_at(last.iter().map(|(_, logged)| *logged));
        wanted.extend(views.iter().filter_map(|view| Some((preview(view)?, &view.thread))));
        let lacking: Vec<&ThreadId> =
            views.iter().filter(|view| view.facts.is_none()).map(|view| &view.thread).collect();
        let (found, mut facts) = try_join(self.entries_at(&wanted), self.facts_of(&lacking)).await?;
        let cursor = settled_cursor(image, &found);
        let message = |view: &View| preview(view).and_then(|key| found.get(&key)?.message_for(user));
        let is_changed = |view: &&View| message(view).is_some_and(|message| message.changed.is_some());
        // What may be later than a leaving is shown to those alone who are members after it was read.
        let changed = views.iter().filter(is_changed).map(|view| &view.thread);
        let later = changed.chain(lacking).filter(|thread| !thread.is_direct()).cloned();
        let reaches = self.reaches(user, later.collect()).await?;
        let listed = views.iter().filter_map(|view| {
            let reach = reaches.get(&view.thread);
            if reach.is_some_and(|reach| reach.left.is_some()) {
                return None;
            }
            let last = message(view).filter(|last| reach.is_none_or(|reach| last.tseq >= reach.from));
            let last = last.map(Message::preview);
            let facts = view.facts.clone().or_else(|| facts.remove(&view.thread))?;
            Some(as_listed(view.clone(), facts, last))
        });
        Ok((listed.collect(), cursor))
    }

    /// Whether `user` has [`limits::USER_THREADS`]. Pending threads do not count: strangers make them.
    ///
    /// The count is eventually consistent, and two writers may count concurrently. So a user may exceed the limit by a
    /// few threads, and by as many pending ones as they write in. The user's list then shows the latest ones.
    pub(crate) async fn is_full(&self, user: &UserId) -> Result<bool, Error> {
        let (mut count, mut from) = (0, None);
        loop {
            let found = self
                .client
                .query()
                .table_name(&self.name)
                .select(Select::Count)
                .key_condition_expression("pk = :pk AND begins_with(sk, :views)")
                .filter_expression(COUNTED)
                .expression_attribute_values(":pk", s(keys::user_pk(user)))
                .expression_attribute_values(":views", s(keys::VIEWS))
                .set_exclusive_start_key(from)
                .send()
                .await?;
            count += usize::try_from(found.count).unwrap_or_default();
            from = found.last_evaluated_key;
            if from.is_none() || count >= limits::USER_THREADS {
                return Ok(count >= limits::USER_THREADS);
            }
        }
    }
}

impl EdgeTable {
    /// A user's view of a thread as of `image` or later, without its facts; none of one who never was a member.
    pub(crate) async fn view_of(
        &self,
        user: &UserId,
        thread: &ThreadId,
        image: &Image,
    ) -> Result<Option<View>, Error> {
        let view = self.view_at(user, thread).await?.view;
        let entries = image.row.entries.iter().filter(|entry| entry.thread() == thread);
        Ok(View::fold(view, user, entries, None))
    }
}

/// The thread as its owner sees it, with the message that [`View::preview`] names.
pub(crate) fn as_listed(view: View, facts: Facts, last: Option<Message>) -> wire::Thread {
    let state = if view.is_invited() { ThreadState::Invited } else { ThreadState::Active };
    let Settings { history, adds } = facts.settings;
    wire::Thread {
        id: view.thread,
        kind: facts.kind,
        title: facts.title,
        members: facts.members,
        created_at: facts.created,
        history,
        adds,
        state,
        number: view.message_count,
        seen: view.seen,
        unread: view.message_count - view.seen,
        last,
        seen_by: None,
        users: None,
    }
}
