//! The rows a write depends on. They are not a snapshot; the transaction re-checks every precondition.

use domain::{
    event::{Entry, Role},
    ids::{ThreadId, UserId},
    sequence::ThreadSeq,
};
use mistakes::mistake;

use super::{Early, Rejection, request::WriteRequest};
use crate::table::{
    Item, Table,
    error::Error,
    keys::{self, Key},
    read,
    retry::{Attempt, Stop},
    rows::{MemberRow, ThreadRow},
    take,
};

/// The rows a write to a group depends on.
#[derive(Debug)]
pub(crate) struct Preconditions {
    /// The last entry of the thread.
    pub(crate) tail: Entry,
    /// The thread.
    pub(crate) thread: ThreadRow,
    /// The role of the sender.
    pub(crate) role: Role,
    /// The tseq of the earliest message that the sender may read.
    pub(crate) reads_from: ThreadSeq,
    /// The entry that the command is about, if there is one. Not parsed yet: a damaged entry is an error for members only.
    pub(crate) about: Option<Item>,
}

impl Table {
    /// Turns a stranger away before anything of the thread is read.
    pub(crate) async fn enter(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        attempt: Attempt,
    ) -> Result<(), Early> {
        if attempt.number == 0 && !self.lets_in(thread, &request.sender).await? {
            return Err(Rejection::NotMember.into());
        }
        Ok(())
    }

    /// Reads and settles the tail of `thread`; then the thread, the sender's membership and the entry `about`. In this
    /// order, at each attempt: a sender whose leaving is the tail must not write on top of it.
    ///
    /// # Errors
    /// [`Early`], if the attempt ends with these rows.
    pub(crate) async fn read_preconditions(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        about: Option<ThreadSeq>,
    ) -> Result<Preconditions, Early> {
        let (row, member) = (keys::thread(thread), keys::member(thread, &request.sender));
        let about_key = about.map(|tseq| (keys::entry(thread, tseq), tseq));
        let about = about_key.iter().map(|(key, _)| key);
        let wanted: Vec<Key> = [&row, &member].into_iter().chain(about).cloned().collect();
        let early = if mistake!(MemberBeforeTail) { Some(self.get_many(&wanted, true).await?) } else { None };
        let tail = self.tail(thread).await?.ok_or(Rejection::NotMember)?;
        let mut found = self.settled_rows(&tail, &wanted).await?;
        if let Some(early) = early {
            found = early;
        }
        let member: Option<MemberRow> = take(&mut found, &member)?;
        let Some(member) = member.filter(|member| member.left_tseq.is_none()) else {
            self.turn_out(thread, &request.sender);
            return Err(Rejection::NotMember.into());
        };
        let thread = take(&mut found, &row)?.ok_or(Rejection::NotMember)?;
        let about = match about_key {
            Some((key, tseq)) => {
                let item = found.remove(&key);
                if item.is_none() {
                    self.await_about(&tail, &key, tseq).await?;
                }
                item
            }
            None => None,
        };
        Ok(Preconditions { tail, thread, role: member.role, reads_from: member.reads_from(), about })
    }

    /// Refuses a message that mentions a user who is no member. Without mentions nothing is read.
    pub(crate) async fn refuse_strangers(&self, thread: &ThreadId, mentions: &[UserId]) -> Result<(), Early> {
        if mentions.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = mentions.iter().map(|user| keys::member(thread, user)).collect();
        let mut found = self.get_many(&keys, true).await?;
        for (user, key) in mentions.iter().zip(&keys) {
            let is_current = |member: &MemberRow| member.left_tseq.is_none();
            if take(&mut found, key)?.as_ref().is_some_and(is_current) {
                continue;
            }
            // One who was added a moment ago may not be visible yet, nor the tail that added them (rule 18).
            let row = self.applied(key).await?.map(|item| read(key, item)).transpose()?;
            if row.as_ref().is_some_and(is_current) {
                return Err(Stop::Conflict.into());
            }
            return Err(Rejection::MentionsStranger(user.clone()).into());
        }
        Ok(())
    }

    /// The entry that a command is about, where a plain read does not show it. One that was acknowledged a moment ago may
    /// not be visible yet, nor be the tail (rule 18): then the attempt is void. Else there is none.
    async fn await_about(&self, tail: &Entry, about: &Key, tseq: ThreadSeq) -> Result<(), Early> {
        if tseq > tail.tseq && self.applied(about).await?.is_some() {
            return Err(Stop::Conflict.into());
        }
        Ok(())
    }

    /// The two members of a direct thread; none if there is no such thread. They never change, so they are read once.
    pub(crate) async fn pair(&self, thread: &ThreadId) -> Result<Option<(UserId, UserId)>, Error> {
        if let Some(pair) = self.pairs.get(thread) {
            return Ok(Some(pair));
        }
        let row: Option<ThreadRow> = self.get(&keys::thread(thread)).await?;
        let pair = row.and_then(|row| row.pair);
        if let Some(pair) = &pair {
            self.pairs.put(thread.clone(), pair.clone());
        }
        Ok(pair)
    }

    /// The tail of a direct thread, settled, and the entry `about`.
    pub(crate) async fn read_direct(
        &self,
        thread: &ThreadId,
        about: Option<ThreadSeq>,
    ) -> Result<(Entry, Option<Item>), Early> {
        let key = about.map(|tseq| keys::entry(thread, tseq));
        let tail = self.tail(thread).await?.ok_or(Rejection::NotMember)?;
        let mut found = self.settled_rows(&tail, key.as_slice()).await?;
        let (Some(key), Some(tseq)) = (key, about) else { return Ok((tail, None)) };
        let item = found.remove(&key);
        if item.is_none() {
            self.await_about(&tail, &key, tseq).await?;
        }
        Ok((tail, item))
    }
}
