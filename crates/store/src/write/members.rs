//! Who belongs to a thread, and how that changes (P12).

use domain::{
    event::{Body, Change, Entry, Member, Role},
    ids::{ThreadId, UserId},
    limits,
    sequence::ThreadSeq,
};
use futures_util::future::try_join;
use mistakes::mistake;

use super::{
    Early, Outcome, Rejection, WriteError, commit::enqueue, preconditions::Preconditions,
    request::WriteRequest,
};
use crate::table::{
    Table,
    error::{Error, held},
    keys::{self, Key},
    read_good,
    retry::Attempt,
    rows::{MemberRow, ViewRow},
    tx::{Tx, n, s},
};

/// Some of the members of a thread.
#[derive(Debug, Clone)]
pub struct MemberPage {
    /// Who.
    pub members: Vec<MemberRow>,
    /// The last of them, if there are more.
    pub next: Option<UserId>,
}

impl Table {
    /// The members of a thread, and those who left but have not been told of it yet.
    pub async fn members(&self, thread: &ThreadId) -> Result<Vec<MemberRow>, Error> {
        self.partition(keys::thread_pk(thread), keys::MEMBERS, usize::MAX).await
    }

    /// The first `limit` of the members after `after`, in key order, leavers who have not been told
    /// included.
    pub async fn members_after(
        &self,
        thread: &ThreadId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<MemberPage, Error> {
        let (from, to) = keys::members_after(after);
        let (mut items, mut start) = (Vec::new(), None);
        // A short page is the last one only if DynamoDB says so. A member skipped here would never get the entry.
        while items.len() <= limit {
            let found = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                .expression_attribute_values(":pk", s(keys::thread_pk(thread)))
                .expression_attribute_values(":from", s(from.as_str()))
                .expression_attribute_values(":to", s(to.as_str()))
                .limit(i32::try_from(limit + 1 - items.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .consistent_read(true)
                .send()
                .await?;
            items.extend(found.items.unwrap_or_default());
            start = found.last_evaluated_key;
            if mistake!(MembersCutShort) || start.is_none() {
                break;
            }
        }
        let more = items.len() > limit;
        items.truncate(limit);
        // By its key: the row may be one that cannot be read.
        let last = items
            .last()
            .and_then(Key::of)
            .and_then(|key| key.sk.strip_prefix(keys::MEMBERS).map(str::to_owned));
        let members: Vec<MemberRow> = read_good(Some(items));
        let last = last.and_then(|user| UserId::parse(&user).ok());
        let last = last.or_else(|| members.last().map(|member| member.user.clone()));
        Ok(MemberPage { members, next: last.filter(|_| more) })
    }

    /// The members of a thread.
    pub async fn current_members(&self, thread: &ThreadId) -> Result<Vec<MemberRow>, Error> {
        let mut members = self.members(thread).await?;
        members.retain(|m| m.left.is_none());
        Ok(members)
    }

    /// Whether `user` is a member of `thread` now.
    pub async fn is_member(&self, thread: &ThreadId, user: &UserId) -> Result<bool, Error> {
        let row: Option<MemberRow> = self.get(&keys::member(thread, user)).await?;
        Ok(row.is_some_and(|row| row.left.is_none()))
    }

    /// Whether `user` is a member as of `tail`, the last entry of the thread as just read.
    ///
    /// The items of a transaction become visible one by one. So the member row may lag behind the entry that changed
    /// it, and then the entry decides. A transaction on top of `tail` commits only if no entry has followed, a leaving
    /// included. A condition on the member row would add two write units to every message, and no safety.
    pub(crate) async fn is_member_at(&self, tail: &Entry, user: &UserId) -> Result<bool, Error> {
        match &tail.body {
            Body::Member { user: changed, change } if changed == user => Ok(*change == Change::Added),
            _ => self.is_member(&tail.thread, user).await,
        }
    }

    /// Adds `user` to `thread`.
    pub async fn add_member(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        user: &UserId,
    ) -> Result<Outcome, WriteError> {
        self.decide(request, |attempt| self.add_once(request, thread, user, attempt)).await
    }

    async fn add_once(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        user: &UserId,
        attempt: Attempt,
    ) -> Result<Outcome, Early> {
        let (before, members) = self.read_membership(request, thread).await?;
        let current = members.iter().filter(|m| m.left.is_none());
        if current.clone().any(|m| &m.user == user) {
            return self.unchanged(request, thread).await;
        }
        if current.count() >= limits::THREAD_MEMBERS {
            return Err(Rejection::ThreadFull.into());
        }
        // A later attempt skips this check, because an earlier attempt may have committed and reached the limit.
        if attempt.number == 0
            && let Some(full) = self.full_user(std::slice::from_ref(user)).await?
        {
            return Err(Rejection::UserFull(full).into());
        }
        // Re-adding first completes the old delivery, because the new view replaces the row with the last tseq of that
        // delivery.
        let old = self.view(user, thread).await?;
        if let Some(left) = old.as_ref().and_then(|view| view.left)
            && !mistake!(RejoinerNotTold)
        {
            self.deliver_to_inbox((user, ThreadSeq(0)), thread, left, None, request.now).await?;
        }
        let entry = next(request, &before.tail, user, Change::Added);
        let mut tx = self.begin(request, &entry)?;
        enqueue(&mut tx, &entry, request.now);
        // A new member gets no event for an earlier title, so the view must start with the current one.
        let (titled, title) = match &before.thread.title {
            Some(title) => ("title = :title", vec![(":title", s(title.as_str()))]),
            None => ("attribute_not_exists(title)", Vec::new()),
        };
        tx.check(&keys::thread(thread), titled, title);
        join(&mut tx, (&before, &members), &entry, user, old.as_ref())?;
        tx.commit().await?;
        Ok(Outcome::Logged(entry))
    }

    /// Removes `user` from `thread`. The user is told of the removal, and of nothing later.
    pub async fn remove_member(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        user: &UserId,
    ) -> Result<Outcome, WriteError> {
        self.decide(request, |_| self.remove_once(request, thread, user)).await
    }

    async fn remove_once(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        user: &UserId,
    ) -> Result<Outcome, Early> {
        let (before, members) = self.read_membership(request, thread).await?;
        let role = |who: &UserId| members.iter().find(|m| &m.user == who && m.left.is_none()).map(|m| m.role);
        if role(user).is_none() {
            return self.unchanged(request, thread).await;
        }
        let change = if user == &request.sender { Change::Left } else { Change::Removed };
        if change == Change::Removed && role(&request.sender) != Some(Role::Owner) {
            return Err(Rejection::NotOwner.into());
        }
        let entry = next(request, &before.tail, user, change);
        let mut tx = self.begin(request, &entry)?;
        enqueue(&mut tx, &entry, request.now);
        for key in [keys::member(thread, user), keys::view(user, thread)] {
            let here = "attribute_exists(pk) AND attribute_not_exists(left_at)";
            tx.update(&key, "SET left_at = :left", Some(here), vec![(":left", n(entry.tseq))]);
        }
        tx.commit().await?;
        Ok(Outcome::Logged(entry))
    }

    /// Takes one who left, and has been told so, off the list, unless they have come back.
    pub async fn forget_member(
        &self,
        thread: &ThreadId,
        user: &UserId,
        left: ThreadSeq,
    ) -> Result<(), Error> {
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(keys::member(thread, user).item()))
            .condition_expression("left_at = :left")
            .expression_attribute_values(":left", n(left))
            .send()
            .await;
        held(deleted).map(|_| ())
    }

    /// The rows a change of membership depends on, and the members, read after them.
    async fn read_membership(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
    ) -> Result<(Preconditions, Vec<MemberRow>), Early> {
        let before = self.read_preconditions(request, thread, None).await?;
        let (members, is_member) =
            try_join(self.members(thread), self.is_member_at(&before.tail, &request.sender)).await?;
        if !is_member {
            return Err(Rejection::NotMember.into());
        }
        if before.thread.pair.is_some() {
            return Err(Early::decided(Err(Rejection::DirectMembers)));
        }
        Ok((before, members))
    }
}

/// The entry that follows `tail`.
fn next(request: &WriteRequest, tail: &Entry, user: &UserId, change: Change) -> Entry {
    Entry {
        thread: tail.thread.clone(),
        tseq: tail.tseq + 1,
        number: tail.number,
        by: request.sender.clone(),
        at: request.now,
        body: Body::Member { user: user.clone(), change },
    }
}

/// Adds both rows of a new member, if membership is still as `old` says.
fn join(
    tx: &mut Tx<'_>,
    (before, members): (&Preconditions, &[MemberRow]),
    entry: &Entry,
    user: &UserId,
    old: Option<&ViewRow>,
) -> Result<(), Error> {
    let role = if &before.thread.creator == user { Role::Owner } else { Role::Member };
    let member = MemberRow { user: user.clone(), role, joined: entry.tseq, left: None };
    let absent = "attribute_not_exists(pk) OR attribute_exists(left_at)";
    tx.put_if(&keys::member(&entry.thread, user), &member, absent, Vec::new())?;
    let listed = members.iter().filter(|m| m.left.is_none()).take(limits::LISTED_MEMBERS);
    let view = ViewRow {
        thread: entry.thread.clone(),
        kind: before.thread.kind,
        title: before.thread.title.clone(),
        created: before.thread.created,
        joined: entry.tseq,
        left: None,
        fan: match (mistake!(JoinerToldAll), mistake!(JoinerNotTold)) {
            (true, _) => ThreadSeq(0),
            (_, true) => entry.tseq,
            _ => entry.tseq.previous(),
        },
        seen: before.tail.number,
        number: before.tail.number,
        activity: entry.at.as_millisecond(),
        preview: None,
        members: listed.map(|m| Member { user: m.user.clone(), role: m.role }).collect(),
    };
    let key = keys::view(user, &entry.thread);
    let told = if mistake!(RejoinerNotTold) { "left_at = :left" } else { "left_at = :left AND fan >= :left" };
    match old.and_then(|old| old.left) {
        None => tx.put_new(&key, &view),
        Some(left) => tx.put_if(&key, &view, told, vec![(":left", n(left))]),
    }
}
