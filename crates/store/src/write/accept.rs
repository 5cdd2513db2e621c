//! A member accepts an invitation: a register of the member's own row (`docs/DELIVERY.md`).

use domain::{
    ids::{ThreadId, UserId},
    inbox_entry::{Accepted, InboxEntry},
};
use jiff::Timestamp;

use super::{Rejection, WriteError};
use crate::{
    inbox::delivery::Delivered,
    table::{
        Table, keys, read,
        retry::{Stop, retry},
        rows::{LeftBy, MemberRow},
        tx::{n, s},
    },
};

impl Table {
    /// Accepts the invitation of `user` to `thread`. A user who has left a group allows its members to add them again.
    /// None if there is nothing to accept any more.
    ///
    /// # Errors
    /// [`Rejection::NotMember`], and [`Rejection::UserFull`] of a user who has the most threads.
    pub async fn accept(
        &self,
        user: &UserId,
        thread: &ThreadId,
        now: Timestamp,
    ) -> Result<Option<Delivered>, WriteError> {
        let key = keys::member(thread, user);
        // The row of somebody who was just added may not be visible yet (rule 18).
        let row = self.applied(&key).await?.map(|item| read::<MemberRow>(&key, item)).transpose()?;
        let row = row.ok_or(WriteError::Rejected(Rejection::NotMember))?;
        if row.left_tseq.is_some() {
            return self.allow(thread, &row).await.map(|()| None);
        }
        if !retry(|_| self.is_invited(user, thread)).await? {
            return Ok(None);
        }
        if self.is_full(user).await? {
            return Err(WriteError::Rejected(Rejection::UserFull));
        }
        let accepted = Accepted { thread: thread.clone(), joined_tseq: row.joined_tseq };
        Ok(Some(self.register(user, InboxEntry::Accepted(accepted), now).await?))
    }

    /// Whether the view of `user` is still that of an invitation.
    async fn is_invited(&self, user: &UserId, thread: &ThreadId) -> Result<bool, Stop> {
        let image = self.image(user).await?;
        let view = self.view_of(user, thread, &image).await?;
        // Without a view its delivery is still under way, and a register before it would be lost.
        view.map(|view| view.is_invited()).ok_or(Stop::Conflict)
    }

    /// Notes that a user who has left may be added again.
    async fn allow(&self, thread: &ThreadId, row: &MemberRow) -> Result<(), WriteError> {
        let (Some(left), Some(LeftBy::Member | LeftBy::Allowed)) = (row.left_tseq, row.left_by) else {
            return Err(WriteError::Rejected(Rejection::NotMember));
        };
        let values = vec![(":allowed", s("allowed")), (":left", n(left))];
        let key = keys::member(thread, &row.user);
        self.update_if(&key, "SET left_by = :allowed", "left_tseq = :left", values).await?;
        Ok(())
    }
}
