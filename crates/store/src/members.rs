//! The members of a thread: who they are, and who is let in.

use domain::{
    event::Member,
    ids::{ThreadId, UserId},
};
use mistakes::mistake;

use crate::table::{
    EdgeTable, Table,
    error::Error,
    keys::{self, Key},
    read, read_good,
    rows::MemberRow,
    tx::s,
};

/// Some of the members of a thread.
#[derive(Debug, Clone)]
pub struct MemberPage {
    /// Who.
    pub members: Vec<MemberRow>,
    /// The last of them, if there are more.
    pub next: Option<UserId>,
}

impl EdgeTable {
    /// The first `limit` of the rows of members after `after`, in key order, former members included.
    pub(crate) async fn member_rows(
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

    /// The first `limit` members of a thread.
    pub(crate) async fn first_members(&self, thread: &ThreadId, limit: usize) -> Result<Vec<Member>, Error> {
        let (mut members, mut after) = (Vec::new(), None);
        loop {
            let page = self.member_rows(thread, after.as_ref(), limit).await?;
            let current = page.members.into_iter().filter(|member| member.left_tseq.is_none());
            members.extend(current.map(|member| Member { user: member.user, role: member.role }));
            after = page.next;
            if members.len() >= limit || after.is_none() {
                members.truncate(limit);
                return Ok(members);
            }
        }
    }

    /// Whether `user` is a member of `thread` now: read it after what only members may see.
    pub async fn is_member(&self, thread: &ThreadId, user: &UserId) -> Result<bool, Error> {
        let row: Option<MemberRow> = self.get(&keys::member(thread, user)).await?;
        Ok(row.is_some_and(|row| row.left_tseq.is_none()))
    }
}

impl Table {
    /// Whether `user` is a member of `thread`, or was one when this process met them. Ask it before anything else of the
    /// thread is read: so a stranger's request costs what one for an absent thread does.
    ///
    /// It proves nothing. Membership is read again after what only members may see.
    pub async fn lets_in(&self, thread: &ThreadId, user: &UserId) -> Result<bool, Error> {
        let guest = (thread.clone(), user.clone());
        if self.guests.get(&guest).is_some() {
            return Ok(true);
        }
        let key = keys::member(thread, user);
        let is_current = |row: &MemberRow| row.left_tseq.is_none();
        let mut row: Option<MemberRow> = self.get(&key).await?;
        if !row.as_ref().is_some_and(is_current) {
            // The row of a user who was just added may not be visible yet (rule 18).
            row = self.applied(&key).await?.map(|item| read(&key, item)).transpose()?;
        }
        let is_in = row.as_ref().is_some_and(is_current);
        if is_in {
            self.guests.put(guest, ());
        }
        Ok(is_in)
    }

    /// Forgets that `user` was let into `thread`, because they are no member any more.
    pub fn turn_out(&self, thread: &ThreadId, user: &UserId) {
        self.guests.remove(&(thread.clone(), user.clone()));
    }

    /// The members of a thread, and its former ones.
    pub async fn members(&self, thread: &ThreadId) -> Result<Vec<MemberRow>, Error> {
        self.partition(keys::thread_pk(thread), keys::MEMBERS, usize::MAX).await
    }

    /// The first `limit` of those after `after`, in key order, who may lack entries of the thread.
    pub async fn members_after(
        &self,
        thread: &ThreadId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<MemberPage, Error> {
        let mut found = MemberPage { members: Vec::new(), next: after.cloned() };
        loop {
            let page = self.member_rows(thread, found.next.as_ref(), limit).await?;
            found.members.extend(page.members.into_iter().filter(|member| !member.is_told));
            found.next = page.next;
            if found.next.is_none() && found.members.len() <= limit {
                return Ok(found);
            }
            if found.members.len() >= limit {
                found.members.truncate(limit);
                found.next = found.members.last().map(|member| member.user.clone());
                return Ok(found);
            }
        }
    }

    /// The members of a thread.
    pub async fn current_members(&self, thread: &ThreadId) -> Result<Vec<MemberRow>, Error> {
        let mut members = self.members(thread).await?;
        members.retain(|member| member.left_tseq.is_none());
        Ok(members)
    }
}
