//! A member accepts an invitation: a register in the member's inbox (rule 14).

use domain::{
    ids::{ThreadId, UserId},
    inbox_entry::{Accepted, InboxEntry},
    sequence::ThreadSeq,
    view::View,
};
use jiff::Timestamp;

use super::{Rejection, WriteError};
use crate::{
    inbox::{Image, delivery::Delivered},
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
        // The row of a member who was just added may not be visible yet (rule 18).
        let row = self.applied(&key).await?.map(|item| read::<MemberRow>(&key, item)).transpose()?;
        let row = row.ok_or(WriteError::Rejected(Rejection::NotMember))?;
        if row.left_tseq.is_some() {
            return self.allow(thread, &row).await.map(|()| None);
        }
        let (image, view) = retry(|_| self.joined_view(user, thread, row.joined_tseq)).await?;
        let accepted = Accepted { thread: thread.clone(), joined_tseq: row.joined_tseq };
        let accepted = InboxEntry::Accepted(accepted);
        if view.is_pending() {
            if self.is_full(user).await? {
                return Err(WriteError::Rejected(Rejection::UserFull));
            }
            return Ok(Some(self.register(user, accepted, now).await?));
        }
        // The request that registered it may have died before its post.
        let is_registered = image.row.entries.contains(&accepted);
        Ok(is_registered.then(|| Delivered::hint(user, image)))
    }

    /// The row of `user`, and the view of the membership that has begun at `joined_tseq`, or of a later one.
    async fn joined_view(
        &self,
        user: &UserId,
        thread: &ThreadId,
        joined_tseq: ThreadSeq,
    ) -> Result<(Image, View), Stop> {
        let image = self.image(user).await?;
        let view = self.view_of(user, thread, &image).await?;
        // Without it its delivery is still under way, and a register before it would be lost.
        let view = view.filter(|view| view.joined_tseq >= joined_tseq).ok_or(Stop::Conflict)?;
        Ok((image, view))
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
