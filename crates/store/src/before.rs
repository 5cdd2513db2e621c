//! What a write to a thread stands on, read side by side: any of it may be older than the rest, so what
//! must still be so when it commits, the transaction says itself.

use domain::{event::Entry, ids::ThreadId};
use futures_util::future::try_join;
use mistakes::mistake;

use crate::{
    commit::{Known, Origin, known},
    error::Error,
    keys,
    retry::Tried,
    rows::ThreadRow,
    table::{Item, Table, take},
};

/// What was there before a write.
#[derive(Debug)]
pub(crate) struct Before {
    /// The last entry of the thread.
    pub(crate) tail: Entry,
    /// The thread.
    pub(crate) thread: ThreadRow,
    /// The entry that the write is about, if it is about one, and that is there. As it was found: one that
    /// is damaged is an error for members only.
    pub(crate) about: Option<Item>,
}

/// How a request ends that has nothing left to write.
#[derive(Debug)]
pub(crate) enum Over {
    /// It had been accepted before.
    Known(Entry),
    /// It had been accepted before, and had nothing to write.
    Unchanged,
    /// The key belongs to another request.
    KeyReused,
    /// No such thread, or none of the sender's.
    NotMember,
}

impl Table {
    /// Reads what the key is known for, the tail of `thread`, the thread, and its entry `about`; or
    /// says how the try ends already.
    ///
    /// Whether the sender is a member is for the caller to look at, after this. So the entry is read for
    /// those too who are not, and must not be shown to them.
    pub(crate) async fn before<T: From<Over>>(
        &self,
        origin: &Origin,
        thread: &ThreadId,
        about: Option<u64>,
    ) -> Result<Result<Before, Tried<T>>, Error> {
        let (key, row) = (keys::idempotency(&origin.by, &origin.key), keys::thread(thread));
        let about = about.map(|tseq| keys::entry(thread, tseq));
        let wanted: Vec<_> = [&key, &row].into_iter().chain(&about).cloned().collect();
        let (tail, mut found) = try_join(self.tail(thread), self.get_many(&wanted, true)).await?;
        if mistake!(MemberBeforeKey)
            && let Some(tail) = &tail
            && !self.is_member_at(tail, &origin.by).await?
        {
            return Ok(Err(Tried::Done(Over::NotMember.into())));
        }
        match known(origin, take(&mut found, &key)?) {
            Some(Known::Same { thread, tseq }) => {
                let entry = self.entry(&thread, tseq).await?;
                return Ok(Err(entry.map_or(Tried::InVain, |entry| Tried::Done(Over::Known(entry).into()))));
            }
            Some(Known::Nothing) => return Ok(Err(Tried::Done(Over::Unchanged.into()))),
            Some(Known::Other) => return Ok(Err(Tried::Done(Over::KeyReused.into()))),
            None => {}
        }
        let Some((tail, row)) = tail.zip(take(&mut found, &row)?) else {
            return Ok(Err(Tried::Refused(Over::NotMember.into())));
        };
        Ok(Ok(Before { tail, thread: row, about: about.and_then(|key| found.remove(&key)) }))
    }
}
