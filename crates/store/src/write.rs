//! Writes to a thread: one transaction each (P1), and for a thread of two the one that appends to both inboxes too (P1b).

use domain::{
    content::TooMany,
    event::Entry,
    ids::{ThreadId, UserId},
};
use mistakes::mistake;

use crate::{
    inbox::delivery::Delivered,
    table::{
        Table,
        error::Error,
        keys,
        retry::{Attempt, Stop, pause, retry},
        rows::{HeadRow, ThreadRow, ViewRow},
        take,
    },
};

pub mod command;
pub mod commit;
pub mod members;
mod preconditions;
pub mod request;
pub mod seen;
pub mod threads;

use command::{Command, PlannedWrite, plan};
use commit::enqueue;
use request::WriteRequest;

/// What an accepted write has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its entry is in the thread log, and an outbox row has the delivery.
    Logged(Entry),
    /// Its entry is in the thread log and in both inboxes of a direct thread.
    LoggedAndDelivered(Entry, Vec<Delivered>),
    /// Its entry was written before, under the same key or for the same thread. The delivery may still be pending.
    Replayed(Entry),
    /// Everything is as the command asks already. Nothing was logged.
    Unchanged,
}

/// Why a write is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The idempotency key belongs to another request.
    KeyReused,
    /// There is no such thread, or the sender is not a member.
    NotMember,
    /// There is no such message.
    NoMessage,
    /// Only its author changes a message.
    NotAuthor,
    /// The message has been deleted.
    Deleted,
    /// There is no room for the reaction.
    TooMany(TooMany),
    /// A direct thread has no title.
    DirectTitle,
    /// The members of a direct thread never change.
    DirectMembers,
    /// Only the owner removes other members.
    NotOwner,
    /// The thread has [`THREAD_MEMBERS`](domain::limits::THREAD_MEMBERS).
    ThreadFull,
    /// A user has [`USER_THREADS`](domain::limits::USER_THREADS).
    UserFull(UserId),
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The write is not accepted.
    #[error("the write is rejected: {0:?}")]
    Rejected(Rejection),
    /// The table has failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Why an attempt of a write has ended early.
#[derive(Debug)]
pub(crate) enum Early {
    /// The write is decided, whatever attempts come.
    Decided(Box<Result<Outcome, Rejection>>),
    /// As the rows are now, the write is rejected.
    Rejected(Rejection),
    /// The attempt is void.
    Stopped(Stop),
}

impl Early {
    pub(crate) fn decided(decided: Result<Outcome, Rejection>) -> Self {
        Self::Decided(Box::new(decided))
    }
}

impl From<Rejection> for Early {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl<E: Into<Stop>> From<E> for Early {
    fn from(stop: E) -> Self {
        Self::Stopped(stop.into())
    }
}

impl Table {
    /// Writes to `thread`: one entry of its log, and the row that changes with it.
    ///
    /// # Errors
    /// [`WriteError::Rejected`]. [`Error::Contended`] in a thread with too many writers, [`Error::Unavailable`] and
    /// [`Error::Throttled`] if the outcome is not known: in all three cases the same key may be used again.
    pub async fn write(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        command: Command<'_>,
    ) -> Result<Outcome, WriteError> {
        self.decide(request, |attempt| self.write_once(request, thread, command, attempt)).await
    }

    /// Repeats attempts of a write until its result is final.
    ///
    /// Before a rejection, the idempotency key is read again: an earlier attempt may have committed. The reason of the
    /// rejection may be newer than that commit: for example, the sender has left meanwhile. The first attempt skips the
    /// read if the client sent no key, because no earlier attempt exists.
    pub(crate) async fn decide<F>(
        &self,
        request: &WriteRequest,
        once: impl Fn(Attempt) -> F,
    ) -> Result<Outcome, WriteError>
    where
        F: Future<Output = Result<Outcome, Early>>,
    {
        let once = &once;
        let decided = retry(|attempt| async move {
            match once(attempt).await {
                Ok(outcome) => Ok(Ok(outcome)),
                Err(Early::Decided(decided)) => Ok(*decided),
                Err(Early::Stopped(stop)) => Err(stop),
                Err(Early::Rejected(rejection)) => {
                    let is_first = attempt.number == 0 && !request.key_from_client;
                    let is_new = is_first || self.known(request).await.map_err(Stop::Failed)?.is_none();
                    if is_new { Ok(Err(rejection)) } else { Err(Stop::Conflict) }
                }
            }
        });
        decided.await?.map_err(WriteError::Rejected)
    }

    async fn write_once(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        command: Command<'_>,
        attempt: Attempt,
    ) -> Result<Outcome, Early> {
        let early = mistake!(MemberBeforeTail) && self.is_member(thread, &request.sender).await?;
        if early {
            pause(domain::limits::FUTILE_TRIES).await;
        }
        let before = self.read_preconditions(request, thread, command.about()).await?;
        // Membership is read after the tail, at every attempt: a sender whose membership was read before a tail that counts
        // their leaving must not write on top of it.
        if !early && !self.may_write(&before.tail, &before.thread, &request.sender).await? {
            return Err(Rejection::NotMember.into());
        }
        let Some(planned) = plan(request, &before, command)? else {
            return self.unchanged(request, thread).await;
        };
        match before.thread.pair.filter(|_| attempt.number == 0) {
            Some(pair) => self.commit_direct(request, planned, &pair).await,
            None => self.commit_with_outbox(request, planned).await,
        }
    }

    /// Whether `user` may write to the thread whose last entry is `tail`. The members of a direct thread never change.
    async fn may_write(&self, tail: &Entry, row: &ThreadRow, user: &UserId) -> Result<bool, Error> {
        match &row.pair {
            Some((a, b)) => Ok(user == a || user == b),
            None => self.is_member_at(tail, user).await,
        }
    }

    /// P1: {idempotency row, entry, outbox row, the row that changes with it}.
    async fn commit_with_outbox(
        &self,
        request: &WriteRequest,
        planned: PlannedWrite,
    ) -> Result<Outcome, Early> {
        let mut tx = self.begin(request, &planned.entry)?;
        if !mistake!(NoOutboxRow) {
            enqueue(&mut tx, &planned.entry, request.now);
        }
        planned.add_to(&mut tx);
        tx.commit().await?;
        Ok(Outcome::Logged(planned.entry))
    }

    /// P1b: P1 and both P3 in one transaction of 8 items, with a changed message 9, if both inboxes have everything
    /// before it. Otherwise the next attempt takes the general path, on fresh reads.
    async fn commit_direct(
        &self,
        request: &WriteRequest,
        planned: PlannedWrite,
        pair: &(UserId, UserId),
    ) -> Result<Outcome, Early> {
        let entry = &planned.entry;
        let users = [&pair.0, &pair.1];
        let views = users.map(|user| keys::view(user, &entry.thread));
        let heads = users.map(keys::head);
        // The general path does without these rows.
        let found = self.get_many(&[views.as_slice(), heads.as_slice()].concat(), true).await;
        let mut found = found.map_err(Stop::in_doubt)?;
        let mut tx = self.begin(request, entry)?;
        planned.add_to(&mut tx);
        let mut delivered = Vec::with_capacity(users.len());
        for (user, key) in users.into_iter().zip(views) {
            let view: Option<ViewRow> = take(&mut found, &key)?;
            let head: Option<HeadRow> = take(&mut found, &keys::head(user))?;
            let (Some(view), Some(head)) = (view, head) else { return Err(Stop::Conflict.into()) };
            if !mistake!(WholeBehindGap) && view.fan + 1 != entry.tseq {
                return Err(Stop::Conflict.into());
            }
            let seq = self.append(&mut tx, user, (&view, &head), std::slice::from_ref(entry), request.now)?;
            let cursor = self.cursor(&head, seq);
            delivered.push(Delivered { user: user.clone(), cursor, exact: true, left: None });
        }
        tx.commit().await?;
        Ok(Outcome::LoggedAndDelivered(planned.entry, delivered))
    }
}
