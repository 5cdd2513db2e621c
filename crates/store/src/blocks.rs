//! Whom a user has blocked: a row for each, for the user to read, and a mark in the user row, which every write to the user
//! has read anyway.

use domain::{ids::UserId, limits, mark::Mark, user_row::UserRow, wire::Block};
use jiff::Timestamp;
use mistakes::mistake;

use crate::{
    inbox::Change,
    table::{
        Table,
        error::Error,
        keys,
        retry::{Stop, retry},
        rows::BlockRow,
        tx::{Tx, n},
        user_row,
    },
    write::{Rejection, WriteError},
};

impl Table {
    /// Has `user` block `other`. What `other` writes behind the answer no longer reaches `user`: on return, every consistent
    /// read of the user row shows the mark (rule 18). Presence and typing read it a moment late.
    ///
    /// # Errors
    /// [`Rejection::BlocksFull`]
    pub async fn block(&self, user: &UserId, other: &UserId, now: Timestamp) -> Result<(), WriteError> {
        let mark = Mark::of(other.as_str());
        let change = &Change::new()
            .add("blocks :added", [(":added", user_row::mark_set(&[mark]))])
            .only_if("(attribute_not_exists(blocks) OR size(blocks) < :most OR contains(blocks, :mark))")
            .values([(":most", n(limits::BLOCKS)), (":mark", user_row::mark(mark))]);
        let is_blocked = retry(|_| async move {
            let mut tx = Tx::new(self);
            tx.update_user_row(user, change);
            tx.put(&keys::block(user, other), &BlockRow { user: other.clone(), at: now })?;
            match tx.commit().await {
                Err(cancelled) if cancelled.failed_at(0) => Ok(false),
                committed => committed.map(|()| true).map_err(Stop::from),
            }
        });
        if !is_blocked.await? {
            return Err(WriteError::Rejected(Rejection::BlocksFull));
        }
        Ok(self.await_mark(user, other, true).await?)
    }

    /// Ends a block. What `other` asks for behind the answer is no longer refused.
    pub async fn unblock(&self, user: &UserId, other: &UserId) -> Result<(), Error> {
        let mark = user_row::mark_set(&[Mark::of(other.as_str())]);
        let change = &Change::new().delete("blocks :removed", [(":removed", mark)]);
        retry(|_| async move {
            let mut tx = Tx::new(self);
            tx.update_user_row(user, change);
            tx.delete(&keys::block(user, other));
            Ok(tx.commit().await?)
        })
        .await?;
        self.await_mark(user, other, false).await
    }

    /// Waits until the user row shows whether `user` has blocked `other`. A row that shows it has been applied.
    async fn await_mark(&self, user: &UserId, other: &UserId, is_blocked: bool) -> Result<(), Error> {
        if self.row(user).await?.has_blocked(other) == is_blocked {
            Ok(())
        } else {
            self.await_row(user).await
        }
    }

    /// Whether any of up to 100 users has blocked `sender`. A row that cannot be read blocks nobody.
    pub(crate) async fn any_blocks(&self, users: &[UserId], sender: &UserId) -> Result<bool, Error> {
        let images = self.images(users, true).await?;
        Ok(images.values().any(|image| blocks(&image.row, sender)))
    }

    /// Whom `user` has blocked, in the order of their ids.
    pub async fn blocks(&self, user: &UserId) -> Result<Vec<Block>, Error> {
        let rows: Vec<BlockRow> = self.partition(keys::user_pk(user), keys::BLOCKS, limits::BLOCKS).await?;
        Ok(rows.into_iter().map(|BlockRow { user, at }| Block { user, at }).collect())
    }
}

/// Whether the user whose row this is has blocked `sender`.
pub(crate) fn blocks(row: &UserRow, sender: &UserId) -> bool {
    row.has_blocked(sender) && !mistake!(BlockedHeard)
}
