//! Writes to a thread: one transaction each (rule 1), and for a thread of two the one that appends to both user rows too
//! (rule 2).

use std::sync::Mutex;

use domain::{
    content::TooMany,
    event::{Entry, Role},
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    rate::Usage,
    sequence::ThreadSeq,
};
use futures_util::future::join;
use mistakes::mistake;

use crate::{
    blocks::blocks,
    inbox::delivery::{Delivered, Position},
    outbox::enqueue,
    table::{
        Table,
        error::Error,
        retry::{Attempt, Stop, retry},
    },
};

pub mod accept;
pub mod command;
pub mod commit;
pub mod members;
mod preconditions;
pub mod request;
pub mod seen;
pub mod threads;

use command::{Command, PlannedWrite, plan};
use commit::{Known, commit};
use request::WriteRequest;

/// What an accepted write has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its entry is in the thread log, and an outbox row has the delivery. With the entry before it, if it is known.
    Logged(Entry, Option<Entry>),
    /// Its entry is in the thread log and in both inboxes of a direct thread.
    LoggedAndDelivered(Entry, Vec<Delivered>),
    /// Its entry is in the thread log by an attempt of this request whose answer was lost. The delivery may still be pending.
    Recovered(Entry),
    /// Its entry was written before, under the same key or for the same thread. The delivery may still be pending.
    Replayed(Entry),
    /// Everything is as the command asks already. Nothing was logged.
    Unchanged,
}

impl Outcome {
    /// Whether this request, and no earlier one, has changed something.
    pub fn is_new(&self) -> bool {
        matches!(self, Self::Logged(..) | Self::LoggedAndDelivered(..) | Self::Recovered(_))
    }
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
    /// Only its author edits a message, and only the author or a moderator deletes it.
    NotAuthor,
    /// The message has been deleted.
    Deleted,
    /// The message to reply to is none, or the sender may not read it.
    NoReply,
    /// A user whom the message mentions is no member.
    MentionsStranger(UserId),
    /// The edit leaves nothing of the message.
    Blank,
    /// The edit makes the message larger than one may be.
    TooLong,
    /// The message or thread is not as the sender expects it.
    Changed,
    /// There is no room for the reaction.
    TooMany(TooMany),
    /// A direct thread has no title.
    DirectTitle,
    /// The members of a direct thread never change.
    DirectMembers,
    /// The thread keeps the adding of members to holders of this role, and greater ones.
    MayNotAdd(Role),
    /// Only the owner gives roles.
    NotOwner,
    /// Only the owner and moderators remove members, and moderators only those who are neither.
    NotModerator,
    /// A thread is handed over to a member only.
    NotYetMember,
    /// The owner of a thread hands it over before taking another role.
    LastOwner,
    /// The thread has [`THREAD_MEMBERS`](domain::limits::THREAD_MEMBERS).
    ThreadFull,
    /// The sender has [`USER_THREADS`](domain::limits::USER_THREADS).
    UserFull,
    /// A user has left the group and does not want to be added again, or has blocked the sender. The answer does not say which.
    Unwilling,
    /// The other member of the direct thread has blocked the sender.
    Closed,
    /// The user has blocked [`BLOCKS`](domain::limits::BLOCKS).
    BlocksFull,
    /// Only a back end creates threads and adds members.
    ServiceOnly,
    /// The sender has used all of this policy for now.
    TooFast(Usage),
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
    /// As the rows are now, the write is rejected.
    Rejected(Rejection),
    /// The idempotency key of the request is in use.
    KeyTaken,
    /// The transaction with the entry at this place is not known to be committed.
    Uncommitted(ThreadId, ThreadSeq, Stop),
    /// The attempt is void.
    Stopped(Stop),
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
        self.decide(request, |attempt| async move {
            self.enter(request, thread, attempt).await?;
            if thread.is_direct() {
                self.write_direct(request, thread, command, attempt).await
            } else {
                self.write_to_group(request, thread, command).await
            }
        })
        .await
    }

    /// Repeats attempts of a write until its result is final.
    ///
    /// Before a rejection, the idempotency key is read: an earlier attempt or an earlier request may have committed. The
    /// reason of the rejection may be newer than that commit: for example, the sender has left meanwhile. A write
    /// without a client's key is known by its place in the log.
    pub(crate) async fn decide<F>(
        &self,
        request: &WriteRequest,
        once: impl Fn(Attempt) -> F,
    ) -> Result<Outcome, WriteError>
    where
        F: Future<Output = Result<Outcome, Early>>,
    {
        if let Some(usage) = request.permit.refusal()
            && !(request.key_from_client
                && !mistake!(CopyRefused)
                && self.may_repeat(&request.sender, request.now))
        {
            return Err(WriteError::Rejected(Rejection::TooFast(usage)));
        }
        let (once, doubted) = (&once, &Mutex::new(None::<(ThreadId, ThreadSeq)>));
        let doubt = || doubted.lock().ok().and_then(|doubted| doubted.clone());
        let decided = retry(|attempt| async move {
            if let Some((thread, tseq)) = doubt()
                && let Some(entry) = self.committed(request, &thread, tseq).await?
            {
                return Ok(Ok(Outcome::Recovered(entry)));
            }
            let tried = match request.permit.refusal() {
                // An earlier attempt or request may have been accepted all the same: its key says so.
                Some(usage) => Err(Rejection::TooFast(usage).into()),
                None => once(attempt).await,
            };
            match tried {
                Ok(outcome) => Ok(Ok(outcome)),
                Err(Early::Stopped(stop)) => Err(stop),
                Err(Early::Uncommitted(thread, tseq, stop)) => {
                    if let (Stop::Indeterminate(_), Ok(mut doubted)) = (&stop, doubted.lock()) {
                        *doubted = Some((thread, tseq));
                    }
                    Err(stop)
                }
                Err(Early::Rejected(rejection)) if !request.key_from_client => Ok(Err(rejection)),
                Err(Early::Rejected(rejection)) => match self.known(request).await? {
                    Some(known) => self.answer_known(request, known).await,
                    None => Ok(Err(rejection)),
                },
                Err(Early::KeyTaken) => match self.known(request).await? {
                    Some(known) => self.answer_known(request, known).await,
                    None => Err(Stop::Conflict),
                },
            }
        });
        // The sender is counted while the rows are read.
        let (_, decided) = join(request.permit.granted(), decided).await;
        decided?.map_err(WriteError::Rejected)
    }

    /// The first answer of a known key. Its entry may not be visible yet: then once more, and never another answer.
    /// It does not count again.
    async fn answer_known(
        &self,
        request: &WriteRequest,
        known: Known,
    ) -> Result<Result<Outcome, Rejection>, Stop> {
        let outcome = match known {
            Known::Same { thread, tseq } => match self.entry(&thread, tseq).await? {
                Some(entry) => Outcome::Replayed(entry),
                None => return Err(Stop::Conflict),
            },
            Known::Nothing => Outcome::Unchanged,
            Known::Other => return Ok(Err(Rejection::KeyReused)),
        };
        request.permit.give_back(self, &request.sender, request.now).await;
        Ok(Ok(outcome))
    }

    async fn write_to_group(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        command: Command<'_>,
    ) -> Result<Outcome, Early> {
        let before = self.read_preconditions(request, thread, command.about()).await?;
        let is_hidden = command.about().is_some_and(|message| message < before.reads_from);
        // Moderators and the author may delete a message that they may not read. For every other sender it is absent.
        let is_deletion = matches!(command, Command::Delete { .. });
        let about = before.about.as_ref().filter(|_| !is_hidden || is_deletion);
        let group = Some((&before.thread, before.role));
        let planned = match plan(request, (&before.tail, group), about, command) {
            Err(Early::Rejected(_)) if is_hidden && !matches!(command, Command::Message(_)) => {
                return Err(Rejection::NoMessage.into());
            }
            planned => planned?,
        };
        self.refuse_strangers(thread, command.mentions()).await?;
        let Some(planned) = planned else { return self.unchanged(request, thread).await };
        self.commit_with_outbox(request, planned, before.tail).await
    }

    async fn write_direct(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        command: Command<'_>,
        attempt: Attempt,
    ) -> Result<Outcome, Early> {
        let pair = self.pair(thread).await?.ok_or(Rejection::NotMember)?;
        let users = [&pair.0, &pair.1];
        let other = match users {
            [a, b] if *a == request.sender => b,
            [a, b] if *b == request.sender => a,
            _ => return Err(Rejection::NotMember.into()),
        };
        let read = self.read_direct(thread, command.about());
        let (read, positions) = if attempt.number == 0 {
            let (read, positions) = join(read, self.positions(&users, thread)).await;
            (read, Some(positions))
        } else {
            (read.await, None)
        };
        let (tail, about) = read?;
        let Some(planned) = plan(request, (&tail, None), about.as_ref(), command)? else {
            return self.unchanged(request, thread).await;
        };
        if let Some(stranger) = command.mentions().iter().find(|user| !users.contains(user)) {
            return Err(Rejection::MentionsStranger(stranger.clone()).into());
        }
        match positions {
            Some(positions) => {
                let positions = positions.map_err(Stop::in_doubt)?;
                self.commit_direct(request, planned, (&tail, users), positions).await
            }
            None if self.any_blocks(std::slice::from_ref(other), &request.sender).await? => {
                Err(Rejection::Closed.into())
            }
            None => self.commit_with_outbox(request, planned, tail).await,
        }
    }

    /// {idempotency row, entry, outbox row, the row that changes with them}.
    async fn commit_with_outbox(
        &self,
        request: &WriteRequest,
        planned: PlannedWrite,
        tail: Entry,
    ) -> Result<Outcome, Early> {
        let mut tx = self.begin(request, &planned.entry)?;
        if !mistake!(NoOutboxRow) {
            enqueue(&mut tx, &planned.entry, request.now);
        }
        planned.add_to(&mut tx);
        commit(tx, request, &planned.entry).await?;
        Ok(Outcome::Logged(planned.entry, Some(tail)))
    }

    /// {idempotency row, entry, both user rows, the message that changes}, if neither member has blocked the sender and both
    /// inboxes have everything before it. Otherwise the next attempt takes the general path, on fresh reads.
    async fn commit_direct(
        &self,
        request: &WriteRequest,
        planned: PlannedWrite,
        (tail, users): (&Entry, [&UserId; 2]),
        positions: Vec<Option<Position>>,
    ) -> Result<Outcome, Early> {
        let entry = &planned.entry;
        let mut tx = self.begin(request, entry)?;
        let mut delivered = Vec::with_capacity(users.len());
        for (user, position) in users.into_iter().zip(positions) {
            let position = position.ok_or(Stop::Conflict)?;
            if blocks(&position.row, &request.sender) {
                return Err(Rejection::Closed.into());
            }
            let is_behind = position.through(&entry.thread, ThreadSeq::FIRST) != tail.tseq;
            if is_behind && !mistake!(WholeBehindGap) {
                return Err(Stop::Conflict.into());
            }
            delivered.push(self.append_in(
                &mut tx,
                user,
                position.row,
                InboxEntry::of(entry, user, ThreadSeq::FIRST),
            )?);
        }
        planned.add_to(&mut tx);
        commit(tx, request, entry).await?;
        Ok(Outcome::LoggedAndDelivered(planned.entry, delivered))
    }
}
