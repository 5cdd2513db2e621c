//! Writing to a thread: P1, and P1b for a thread of two.

use domain::{
    event::Entry,
    ids::{ThreadId, UserId},
    limits,
};
use mistakes::mistake;

use crate::{
    before::Over,
    changes::{Asked, Draft, Refusal, draft},
    commit::{Origin, owe},
    error::Error,
    fan::Told,
    keys,
    retry::{Tried, pause},
    rows::{HeadRow, ThreadRow, ViewRow},
    table::{Table, take},
};

/// How a write fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// In the thread log; the fan-out is owed.
    Committed(Entry),
    /// In the thread log and in both inboxes of a direct thread.
    Whole(Entry, Vec<Told>),
    /// It had been accepted before; the fan-out may still be owed.
    Known(Entry),
    /// It is as asked for already; nothing was logged.
    Unchanged,
    /// Not for this member, or not any more.
    Refused(Refusal),
    /// The key belongs to another request.
    KeyReused,
    /// No such thread, or none of the writer's.
    NotMember,
}

impl From<Over> for Sent {
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
    /// Sends `text` to `thread`.
    ///
    /// # Errors
    /// Those of [`Table::write`].
    pub async fn send(&self, origin: &Origin, thread: &ThreadId, text: &str) -> Result<Sent, Error> {
        self.write(origin, thread, Asked::Message { text }).await
    }

    /// Writes to `thread`: one entry of its log, and what changes with it.
    ///
    /// # Errors
    /// [`Error::Contended`] in a thread with too many writers, [`Error::Unavailable`] and [`Error::Throttled`] if
    /// the outcome is not known: in all three cases the same key may be used again.
    pub async fn write(&self, origin: &Origin, thread: &ThreadId, asked: Asked<'_>) -> Result<Sent, Error> {
        self.decide(origin, |attempt| self.write_once(origin, thread, asked, attempt)).await
    }

    async fn write_once(
        &self,
        origin: &Origin,
        thread: &ThreadId,
        asked: Asked<'_>,
        attempt: u32,
    ) -> Result<Tried<Sent>, Error> {
        let early = mistake!(MemberBeforeTail) && self.is_member(thread, &origin.by).await?;
        if early {
            pause(limits::FUTILE_TRIES).await;
        }
        let before = match self.before(origin, thread, asked.about()).await? {
            Ok(before) => before,
            Err(tried) => return Ok(tried),
        };
        // Membership is looked at after the tail, on every try: on top of a tail that counts a leaving
        // nobody may write whose membership was read before it.
        if !early && !self.may_write(&before.tail, &before.thread, &origin.by).await? {
            return Ok(Tried::Refused(Sent::NotMember));
        }
        let draft = match draft(origin, &before, asked)? {
            Ok(Some(draft)) => draft,
            Ok(None) => {
                let noted = self.nothing_to_write(origin, thread).await?;
                return Ok(if noted { Tried::Done(Sent::Unchanged) } else { Tried::InVain });
            }
            Err(refusal) => return Ok(Tried::Refused(Sent::Refused(refusal))),
        };
        match before.thread.pair.filter(|_| attempt == 0) {
            Some(pair) => self.commit_whole(origin, draft, &pair).await,
            None => self.commit_logged(origin, draft).await,
        }
    }

    /// Whether `user` may write to the thread whose last entry is `tail`. Nobody joins or leaves a
    /// direct one.
    async fn may_write(&self, tail: &Entry, row: &ThreadRow, user: &UserId) -> Result<bool, Error> {
        match &row.pair {
            Some((a, b)) => Ok(user == a || user == b),
            None => self.is_member_at(tail, user).await,
        }
    }

    /// P1: {idempotency row, entry, outbox row, what changes with it}.
    async fn commit_logged(&self, origin: &Origin, draft: Draft) -> Result<Tried<Sent>, Error> {
        let mut tx = self.begin(origin, &draft.entry)?;
        if !mistake!(NoOutboxRow) {
            owe(&mut tx, &draft.entry, origin.now);
        }
        draft.add_to(&mut tx);
        Ok(tx.answer(Sent::Committed(draft.entry)).await)
    }

    /// P1b: P1 and both P3 in one transaction of 8 items (with a changed message 9), if both
    /// inboxes have all before it. If not, the general path has to be taken, on fresh reads.
    async fn commit_whole(
        &self,
        origin: &Origin,
        draft: Draft,
        pair: &(UserId, UserId),
    ) -> Result<Tried<Sent>, Error> {
        let entry = &draft.entry;
        let users = [&pair.0, &pair.1];
        let views = users.map(|user| keys::view(user, &entry.thread));
        let heads = users.map(keys::head);
        let mut found = match self.get_many(&[views.as_slice(), heads.as_slice()].concat(), true).await {
            // The general path does without them.
            Err(error) if error.passes() => return Ok(Tried::Unknown(error)),
            found => found?,
        };
        let mut tx = self.begin(origin, entry)?;
        draft.add_to(&mut tx);
        let mut told = Vec::with_capacity(users.len());
        for (user, key) in users.into_iter().zip(views) {
            let view: Option<ViewRow> = take(&mut found, &key)?;
            let head: Option<HeadRow> = take(&mut found, &keys::head(user))?;
            let (Some(view), Some(head)) = (view, head) else { return Ok(Tried::InVain) };
            if !mistake!(WholeBehindGap) && view.fan + 1 != entry.tseq {
                return Ok(Tried::InVain);
            }
            let seq = self.copy(&mut tx, user, (&view, &head), std::slice::from_ref(entry), origin.now)?;
            let cursor = self.cursor(&head, seq);
            told.push(Told { user: user.clone(), cursor, exact: true, left: None });
        }
        Ok(tx.answer(Sent::Whole(draft.entry, told)).await)
    }
}
