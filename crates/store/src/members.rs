//! Who belongs to a thread, and how that changes (P12).

use domain::{
    event::{Body, Change, Entry, Member, Role},
    ids::{ThreadId, UserId},
    limits,
};
use futures_util::future::try_join;
use mistakes::mistake;

use crate::{
    before::{Before, Over},
    commit::{Origin, owe},
    error::{Error, held},
    keys::{self, Key},
    retry::Tried,
    rows::{MemberRow, ViewRow},
    table::{Table, read_good},
    tx::{Tx, n, s},
};

/// How a change of membership fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// In the thread log; the fan-out is owed.
    Committed(Entry),
    /// It had been accepted before; the fan-out may still be owed.
    Known(Entry),
    /// It is as asked for already.
    Unchanged,
    /// The key belongs to another request.
    KeyReused,
    /// No such thread, or none of the asker's.
    NotMember,
    /// Only the owner takes others out.
    NotAllowed,
    /// Nobody joins or leaves a direct thread.
    Direct,
    /// The thread has [`limits::THREAD_MEMBERS`].
    Full,
    /// The user has [`limits::USER_THREADS`].
    UserFull,
}

/// Some of the members of a thread.
#[derive(Debug, Clone)]
pub struct MemberPage {
    /// Who.
    pub members: Vec<MemberRow>,
    /// The last of them, if there are more.
    pub next: Option<UserId>,
}

impl From<Over> for Changed {
    fn from(over: Over) -> Self {
        match over {
            Over::Known(entry) => Self::Known(entry),
            Over::Unchanged => Self::Unchanged,
            Over::KeyReused => Self::KeyReused,
            Over::NotMember => Self::NotMember,
        }
    }
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
        // A page may be short, and is the last one only if it says so: whoever is passed over here
        // would never be told.
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

    /// Whether `user` is a member as of `tail`, the last entry of the thread as it was just read.
    ///
    /// The items of a transaction become visible one by one, so the member row may lag behind the
    /// very entry that changed it; then the entry counts. A transaction on top of `tail` commits
    /// only if nothing has followed it, a leaving included: a condition on the member row, two
    /// more write units with every message, would add nothing.
    pub(crate) async fn is_member_at(&self, tail: &Entry, user: &UserId) -> Result<bool, Error> {
        match &tail.body {
            Body::Member { user: changed, change } if changed == user => Ok(*change == Change::Added),
            _ => self.is_member(&tail.thread, user).await,
        }
    }

    /// Puts `user` into `thread`.
    pub async fn add_member(
        &self,
        origin: &Origin,
        thread: &ThreadId,
        user: &UserId,
    ) -> Result<Changed, Error> {
        self.decide(origin, |attempt| self.add_once(origin, thread, user, attempt)).await
    }

    async fn add_once(
        &self,
        origin: &Origin,
        thread: &ThreadId,
        user: &UserId,
        attempt: u32,
    ) -> Result<Tried<Changed>, Error> {
        let (before, members) = match self.before_change(origin, thread).await? {
            Ok(before) => before,
            Err(tried) => return Ok(tried),
        };
        let current = members.iter().filter(|m| m.left.is_none());
        if current.clone().any(|m| &m.user == user) {
            return self.unchanged(origin, thread).await;
        }
        if current.count() >= limits::THREAD_MEMBERS {
            return Ok(Tried::Refused(Changed::Full));
        }
        // On a later try they may be full by the try before.
        if attempt == 0 && self.full_user(std::slice::from_ref(user)).await?.is_some() {
            return Ok(Tried::Refused(Changed::UserFull));
        }
        // Re-adding first finishes the old fan-out: its end is in the view that is replaced.
        let old = self.view(user, thread).await?;
        if let Some(left) = old.as_ref().and_then(|view| view.left)
            && !mistake!(RejoinerNotTold)
        {
            self.fan((user, 0), thread, left, None, origin.now).await?;
        }
        let entry = next(origin, &before.tail, user, Change::Added);
        let mut tx = self.begin(origin, &entry)?;
        owe(&mut tx, &entry, origin.now);
        // Whoever joins behind a new title is never told of it: the view has to begin with it.
        let (titled, title) = match &before.thread.title {
            Some(title) => ("title = :title", vec![(":title", s(title.as_str()))]),
            None => ("attribute_not_exists(title)", Vec::new()),
        };
        tx.check(&keys::thread(thread), titled, title);
        join(&mut tx, (&before, &members), &entry, user, old.as_ref())?;
        Ok(tx.answer(Changed::Committed(entry)).await)
    }

    /// Takes `user` out of `thread`; they are told of it, and of nothing after.
    pub async fn remove_member(
        &self,
        origin: &Origin,
        thread: &ThreadId,
        user: &UserId,
    ) -> Result<Changed, Error> {
        self.decide(origin, |_| self.remove_once(origin, thread, user)).await
    }

    async fn remove_once(
        &self,
        origin: &Origin,
        thread: &ThreadId,
        user: &UserId,
    ) -> Result<Tried<Changed>, Error> {
        let (before, members) = match self.before_change(origin, thread).await? {
            Ok(before) => before,
            Err(tried) => return Ok(tried),
        };
        let role = |who: &UserId| members.iter().find(|m| &m.user == who && m.left.is_none()).map(|m| m.role);
        if role(user).is_none() {
            return self.unchanged(origin, thread).await;
        }
        let change = if user == &origin.by { Change::Left } else { Change::Removed };
        if change == Change::Removed && role(&origin.by) != Some(Role::Owner) {
            return Ok(Tried::Refused(Changed::NotAllowed));
        }
        let entry = next(origin, &before.tail, user, change);
        let mut tx = self.begin(origin, &entry)?;
        owe(&mut tx, &entry, origin.now);
        for key in [keys::member(thread, user), keys::view(user, thread)] {
            let here = "attribute_exists(pk) AND attribute_not_exists(left_at)";
            tx.update(&key, "SET left_at = :left", Some(here), vec![(":left", n(entry.tseq))]);
        }
        Ok(tx.answer(Changed::Committed(entry)).await)
    }

    async fn unchanged(&self, origin: &Origin, thread: &ThreadId) -> Result<Tried<Changed>, Error> {
        let noted = self.nothing_to_write(origin, thread).await?;
        Ok(if noted { Tried::Done(Changed::Unchanged) } else { Tried::InVain })
    }

    /// Takes one who left, and has been told so, off the list, unless they have come back.
    pub async fn forget_member(&self, thread: &ThreadId, user: &UserId, left: u64) -> Result<(), Error> {
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

    /// What comes before a change, and the members, read after it; or how the try ends already.
    async fn before_change(
        &self,
        origin: &Origin,
        thread: &ThreadId,
    ) -> Result<Result<(Before, Vec<MemberRow>), Tried<Changed>>, Error> {
        let before = match self.before(origin, thread, None).await? {
            Ok(before) => before,
            Err(tried) => return Ok(Err(tried)),
        };
        let (members, member) =
            try_join(self.members(thread), self.is_member_at(&before.tail, &origin.by)).await?;
        Ok(match (member, before.thread.pair.is_some()) {
            (false, _) => Err(Tried::Refused(Changed::NotMember)),
            (true, true) => Err(Tried::Done(Changed::Direct)),
            (true, false) => Ok((before, members)),
        })
    }
}

/// The entry that follows `tail`.
fn next(origin: &Origin, tail: &Entry, user: &UserId, change: Change) -> Entry {
    Entry {
        thread: tail.thread.clone(),
        tseq: tail.tseq + 1,
        number: tail.number,
        by: origin.by.clone(),
        at: origin.now,
        body: Body::Member { user: user.clone(), change },
    }
}

/// Adds both rows of a new member, if membership is still as `old` says.
fn join(
    tx: &mut Tx<'_>,
    (before, members): (&Before, &[MemberRow]),
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
        fan: if mistake!(JoinerToldAll) { 0 } else { entry.tseq - u64::from(!mistake!(JoinerNotTold)) },
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
