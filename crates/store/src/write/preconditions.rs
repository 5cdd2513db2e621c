//! The rows a write depends on, read concurrently. They are not a snapshot; the transaction re-checks every precondition.

use domain::{event::Entry, ids::ThreadId, sequence::ThreadSeq};
use futures_util::future::try_join;
use mistakes::mistake;

use super::{
    Early, Outcome, Rejection,
    commit::{Known, known},
    request::WriteRequest,
};
use crate::table::{Item, Table, error::Error, keys, retry::Stop, rows::ThreadRow, take};

/// The rows a write depends on.
#[derive(Debug)]
pub(crate) struct Preconditions {
    /// The last entry of the thread.
    pub(crate) tail: Entry,
    /// The thread.
    pub(crate) thread: ThreadRow,
    /// The entry that the command is about, if there is one. Not parsed yet: a damaged entry is an error for members only.
    pub(crate) about: Option<Item>,
}

impl Table {
    /// Reads the idempotency key, the tail of `thread`, the thread, and its entry `about`.
    ///
    /// The caller judges afterwards whether the sender is a member. So the entry is read for senders who are not members
    /// too, and must not be shown to them.
    ///
    /// # Errors
    /// [`Early`], if the attempt ends with these rows.
    pub(crate) async fn read_preconditions(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        about: Option<ThreadSeq>,
    ) -> Result<Preconditions, Early> {
        let (key, row) = (keys::idempotency(&request.sender, &request.idempotency_key), keys::thread(thread));
        let about = about.map(|tseq| keys::entry(thread, tseq));
        let wanted: Vec<_> = [&key, &row].into_iter().chain(&about).cloned().collect();
        let (tail, mut found) = try_join(self.tail(thread), self.get_many(&wanted, true)).await?;
        if mistake!(MemberBeforeKey)
            && let Some(tail) = &tail
            && !self.is_member_at(tail, &request.sender).await?
        {
            return Err(Early::decided(Err(Rejection::NotMember)));
        }
        if let Some(known) = known(request, take(&mut found, &key)?) {
            return Err(self.answer_known(known).await?);
        }
        let Some((tail, row)) = tail.zip(take(&mut found, &row)?) else {
            return Err(Rejection::NotMember.into());
        };
        Ok(Preconditions { tail, thread: row, about: about.and_then(|key| found.remove(&key)) })
    }

    /// The first answer of a known key.
    pub(crate) async fn answer_known(&self, known: Known) -> Result<Early, Error> {
        Ok(match known {
            Known::Same { thread, tseq } => match self.entry(&thread, tseq).await? {
                Some(entry) => Early::decided(Ok(Outcome::Replayed(entry))),
                None => Stop::Conflict.into(),
            },
            Known::Nothing => Early::decided(Ok(Outcome::Unchanged)),
            Known::Other => Early::decided(Err(Rejection::KeyReused)),
        })
    }
}
