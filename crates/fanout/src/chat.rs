//! Writes, each followed by the delivery of what it has logged: the service that the API's handlers use.

use domain::{
    event::{Role, Settings},
    ids::{ThreadId, UserId},
    sequence::MessageNumber,
    wire::{Me, Seen, ThreadState},
};
use store::{
    table::error::Error,
    write::{Outcome, WriteError, command::Command, request::WriteRequest, seen::Marked},
};

use crate::deliver::Fanout;

/// Writes to threads, and delivers to their members. Cheap to clone.
///
/// A failed delivery never fails its write. The outbox row keeps a missing append; the head check finds a missing post.
#[derive(Debug, Clone)]
pub struct Chat(Fanout);

impl Chat {
    /// A service over a table and queues.
    pub fn new(fanout: Fanout) -> Self {
        Self(fanout)
    }

    /// Writes to `thread`.
    ///
    /// # Errors
    /// Those of [`Table::write`](store::table::Table::write).
    pub async fn write(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        command: Command<'_>,
    ) -> Result<Outcome, WriteError> {
        self.then_deliver(self.0.table.write(request, thread, command)).await
    }

    /// Creates the direct thread of the sender and `other`, or finds it.
    pub async fn create_direct(&self, request: &WriteRequest, other: &UserId) -> Result<Outcome, WriteError> {
        self.then_deliver(self.0.table.create_direct(request, other)).await
    }

    /// Creates the group `id` with its creator and `others`.
    pub async fn create_group(
        &self,
        request: &WriteRequest,
        id: ThreadId,
        (title, settings): (Option<String>, Settings),
        others: &[UserId],
    ) -> Result<Outcome, WriteError> {
        self.then_deliver(self.0.table.create_group(request, id, (title, settings), others)).await
    }

    /// Adds `user` to `thread`, or gives a member another role.
    pub async fn put_member(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        user: &UserId,
        role: Option<Role>,
    ) -> Result<Outcome, WriteError> {
        self.then_deliver(self.0.table.put_member(request, thread, user, role)).await
    }

    /// Adds users to `thread`.
    pub async fn add_members(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        users: &[UserId],
    ) -> Result<Outcome, WriteError> {
        self.then_deliver(self.0.table.add_members(request, thread, users)).await
    }

    /// Removes `user` from `thread`.
    pub async fn remove_member(
        &self,
        request: &WriteRequest,
        thread: &ThreadId,
        user: &UserId,
    ) -> Result<Outcome, WriteError> {
        self.then_deliver(self.0.table.remove_member(request, thread, user)).await
    }

    /// Marks `thread` as read by `reader` up to message `number`. None if the reader is not a member.
    pub async fn mark_seen(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        number: MessageNumber,
    ) -> Result<Option<Seen>, Error> {
        Ok(match self.0.table.mark_seen(reader, thread, number, self.0.clock.now()).await? {
            Marked::Delivered(seen, delivered) => {
                self.0.tell_seen(&seen, delivered).await;
                Some(seen)
            }
            Marked::Committed(seen) => {
                self.0.seen(&seen).await;
                Some(seen)
            }
            Marked::Already(seen) => Some(seen),
            Marked::Owed { known, owed } => {
                self.0.seen(&owed).await;
                Some(known)
            }
            Marked::NotMember => None,
        })
    }

    /// Accepts the invitation of `user` to `thread`.
    pub async fn accept(&self, user: &UserId, thread: &ThreadId) -> Result<(), WriteError> {
        if let Some(delivered) = self.0.table.accept(user, thread, self.0.clock.now()).await? {
            let me = Me { thread: thread.clone(), state: ThreadState::Active };
            self.0.tell_me(&me, delivered).await;
        }
        Ok(())
    }

    /// Awaits a write, and delivers what it has logged. Boxed, because the future of a write is large.
    async fn then_deliver(
        &self,
        write: impl Future<Output = Result<Outcome, WriteError>>,
    ) -> Result<Outcome, WriteError> {
        let outcome = Box::pin(write).await?;
        match &outcome {
            Outcome::LoggedAndDelivered(entry, delivered) => self.0.tell(entry, delivered.clone()).await,
            Outcome::Logged(entry, before) => self.0.logged(entry, before.as_ref()).await,
            Outcome::Recovered(entry) | Outcome::Replayed(entry) => self.0.replayed(entry).await,
            Outcome::Unchanged => {}
        }
        Ok(outcome)
    }
}
