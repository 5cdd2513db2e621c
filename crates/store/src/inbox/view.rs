//! A member's view of a thread: what a list of threads shows, and how far the member's inbox has
//! got in the thread's log (`fan`).

use aws_sdk_dynamodb::types::Select;
use domain::{
    event::{Body, Change, Entry, Member, Role},
    ids::{ThreadId, UserId},
    limits,
    sequence::ThreadSeq,
    wire::{self, Message},
};
use futures_util::future::try_join_all;
use mistakes::mistake;

use crate::table::{
    Table,
    error::Error,
    keys,
    rows::ViewRow,
    tx::{Tx, Values, n, s, value},
};

impl Table {
    /// The threads that `user` is a member of, the one with the latest activity first; at most
    /// [`limits::USER_THREADS`], the latest.
    pub async fn views(&self, user: &UserId) -> Result<Vec<ViewRow>, Error> {
        // The views of threads that were left are still there, and must not crowd others out.
        let mut views: Vec<ViewRow> = self.partition(keys::user_pk(user), keys::VIEWS, usize::MAX).await?;
        views.retain(|view| view.left.is_none());
        views.sort_unstable_by(|a, b| (b.activity, &b.thread).cmp(&(a.activity, &a.thread)));
        views.truncate(limits::USER_THREADS);
        Ok(views)
    }

    /// Up to 100 views as a list of threads shows them, each with the beginning of its latest message.
    pub async fn listed(&self, views: Vec<ViewRow>) -> Result<Vec<wire::Thread>, Error> {
        let last = |view: &ViewRow| view.preview.map(|tseq| keys::entry(&view.thread, tseq));
        let wanted = views.iter().filter_map(|view| Some((last(view)?, &view.thread))).collect();
        let mut messages = self.entries_at(&wanted).await?;
        let listed = |view: ViewRow| {
            let entry = last(&view).and_then(|key| messages.remove(&key));
            view.listed(entry.and_then(|entry| entry.message()).map(Message::preview))
        };
        Ok(views.into_iter().map(listed).collect())
    }

    /// The first of `users` who has [`limits::USER_THREADS`], if one has.
    ///
    /// The count is eventually consistent, and two writers may count concurrently. So a user may exceed the limit by a
    /// few threads. The user's list then shows the latest ones.
    pub(crate) async fn full_user(&self, users: &[UserId]) -> Result<Option<UserId>, Error> {
        let counts = try_join_all(users.iter().map(|user| self.count_views(user))).await?;
        let full = users.iter().zip(counts).find(|(_, count)| *count >= limits::USER_THREADS);
        Ok(full.map(|(user, _)| user.clone()))
    }

    async fn count_views(&self, user: &UserId) -> Result<usize, Error> {
        let (mut count, mut from) = (0, None);
        loop {
            let found = self
                .client
                .query()
                .table_name(&self.name)
                .select(Select::Count)
                .key_condition_expression("pk = :pk AND begins_with(sk, :views)")
                .filter_expression("attribute_not_exists(left_at)")
                .expression_attribute_values(":pk", s(keys::user_pk(user)))
                .expression_attribute_values(":views", s(keys::VIEWS))
                .set_exclusive_start_key(from)
                .send()
                .await?;
            count += usize::try_from(found.count).unwrap_or_default();
            from = found.last_evaluated_key;
            if from.is_none() || count >= limits::USER_THREADS {
                return Ok(count);
            }
        }
    }

    /// The view that `user` has, or once had, of `thread`.
    pub async fn view(&self, user: &UserId, thread: &ThreadId) -> Result<Option<ViewRow>, Error> {
        self.get(&keys::view(user, thread)).await
    }
}

impl ViewRow {
    /// The last tseq that its owner is to be told of, when the thread has got to `goal`.
    pub(crate) fn goal(&self, goal: ThreadSeq) -> ThreadSeq {
        let left = self.left.filter(|_| !mistake!(LeaverToldMore));
        left.map_or(goal, |left| goal.min(if mistake!(LeaverNotTold) { left.previous() } else { left }))
    }

    /// The view once `entries`, which follow `fan` without a hole, are in its owner's inbox.
    pub(crate) fn after(&self, owner: &UserId, entries: &[Entry]) -> Self {
        let mut view = self.clone();
        for entry in entries {
            view.fan = entry.tseq;
            view.number = entry.number;
            match &entry.body {
                Body::Message(_) => {
                    view.activity = entry.at.as_millisecond();
                    view.preview = Some(entry.tseq);
                    if &entry.by == owner {
                        view.seen = view.seen.max(entry.number);
                    }
                }
                Body::Member { user, change: Change::Added } => {
                    let listed = view.members.iter().any(|m| &m.user == user);
                    if !listed && view.members.len() < limits::LISTED_MEMBERS {
                        view.members.push(Member { user: user.clone(), role: Role::Member });
                    }
                }
                Body::Member { user, .. } => view.members.retain(|m| &m.user != user),
                Body::Title { title } => view.title = Some(title.clone()),
                Body::Thread { .. } | Body::Edit { .. } | Body::Delete { .. } | Body::Reaction { .. } => {}
            }
        }
        view
    }

    /// Adds the step from this view to `next` to a transaction: only if nobody else has taken it.
    pub(crate) fn advance(&self, tx: &mut Tx<'_>, owner: &UserId, next: &Self) {
        let mut update =
            String::from("SET fan = :fan, messages = :number, activity = :activity, members = :members");
        let mut condition = String::from("fan = :was AND joined = :joined");
        let mut values: Values<'_> = vec![
            (":fan", n(next.fan)),
            (":was", n(self.fan)),
            (":joined", n(self.joined)),
            (":number", n(next.number)),
            (":activity", n(next.activity)),
            (":members", value(&next.members)),
        ];
        if let Some(preview) = next.preview {
            update.push_str(", preview = :preview");
            values.push((":preview", n(preview)));
        }
        if let Some(title) = next.title.as_ref().filter(|title| self.title.as_ref() != Some(title)) {
            update.push_str(", title = :title");
            values.push((":title", s(title.as_str())));
        }
        // Whoever has left meanwhile is told no more.
        if self.left.is_none() {
            condition.push_str(" AND attribute_not_exists(left_at)");
        }
        // A message counts as seen by its author, and the new value is computed from the view as read. The condition
        // keeps seen from going back if another device of the author has marked more meanwhile.
        if next.seen != self.seen {
            update.push_str(", seen = :seen");
            if !mistake!(SeenTakenBack) {
                condition.push_str(" AND seen = :unseen");
            }
            values.push((":seen", n(next.seen)));
            values.push((":unseen", n(self.seen)));
        }
        tx.update(&keys::view(owner, &self.thread), &update, Some(&condition), values);
    }

    /// The thread as its owner sees it, with the message that [`ViewRow::preview`] names.
    pub fn listed(self, last: Option<wire::Message>) -> wire::Thread {
        wire::Thread {
            id: self.thread,
            kind: self.kind,
            title: self.title,
            members: self.members,
            created_at: self.created,
            number: self.number,
            seen: self.seen,
            unread: self.number - self.seen,
            last,
            seen_by: None,
        }
    }
}
