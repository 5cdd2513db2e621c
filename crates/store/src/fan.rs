//! Copying a thread's log into one member's inbox (P3): in order, without a hole, each once.

use domain::{
    cursor::Cursor,
    event::Entry,
    ids::{ThreadId, UserId},
    limits,
    wire::Seen,
};
use jiff::Timestamp;
use mistakes::mistake;

use crate::{
    error::Error,
    keys,
    retry::{pause, tries},
    rows::{HeadRow, ViewRow},
    table::Table,
    tx::{Outcome, Tx},
};

/// One member whose inbox has got as far as it should, and whose queues may be posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who.
    pub user: UserId,
    /// Where their inbox ends.
    pub cursor: Cursor,
    /// Whether the event in hand is the one at `cursor`; if not, the inbox has to be read.
    pub exact: bool,
    /// The tseq at which they left the thread, if all that they are to be told is in their inbox.
    pub left: Option<u64>,
}

impl Table {
    /// Makes sure that the log of `thread` up to `goal` is in the inbox of `user`, a member since
    /// `joined`, appending whatever an earlier, crashed or slower fan-out left behind. `fresh` is
    /// the entry at `goal` if the caller has it.
    ///
    /// Whoever has to read the log appends all that is there, beyond `goal` too: where many write
    /// to one inbox, one transaction does the work of those that lost against it.
    ///
    /// # Errors
    /// [`Error::Contended`] where the user's inbox grows too fast, or their view of this membership
    /// cannot be seen yet: the outbox row stays. No view is ever deleted, but by a repair.
    pub async fn fan(
        &self,
        (user, joined): (&UserId, u64),
        thread: &ThreadId,
        goal: u64,
        fresh: Option<&Entry>,
        now: Timestamp,
    ) -> Result<Told, Error> {
        let _turn = self.turns.of(user).await;
        let (mut attempt, mut failure) = (0, Error::Contended);
        while attempt < limits::FUTILE_TRIES {
            pause(attempt).await;
            let found = self.view_and_head(user, thread).await?;
            // The items of a transaction become visible one by one. Whoever was listed by it is not
            // to be passed over for want of a view, or for that of a membership that is over.
            let Some((view, head)) = found.filter(|(view, _)| view.joined >= joined) else {
                attempt += 1;
                continue;
            };
            let until = view.goal(goal);
            if view.fan >= until {
                // Read again: the HEAD that came with the view may be the older of the two.
                let head = self.head_row(user).await?;
                return Ok(self.told(user, (&view, view.fan), (&head, head.seq), false));
            }
            // The first try trusts what it was given; whoever has lost a race reads what others
            // have added to the log meanwhile.
            let is_next = view.fan + 1 == until || mistake!(OwnEntryOnly);
            let next = fresh.filter(|entry| attempt == 0 && is_next && entry.tseq == until);
            let entries = match next {
                Some(entry) => vec![entry.clone()],
                None => self.entries(thread, view.fan + 1, view.goal(u64::MAX), limits::APPEND_BATCH).await?,
            };
            let Some(fan) = entries.last().map(|entry| entry.tseq) else {
                // Not visible yet.
                attempt += 1;
                continue;
            };
            let mut tx = Tx::new(self);
            let seq = self.copy(&mut tx, user, (&view, &head), &entries, now)?;
            match tx.commit().await {
                Ok(Outcome::Done) if fan >= until => {
                    return Ok(self.told(user, (&view, fan), (&head, seq), fan == goal));
                }
                // More to copy: that is progress, not a lost race.
                Ok(Outcome::Done) => attempt = 0,
                Ok(Outcome::Cancelled) => attempt += 1,
                // It may have happened; the view, read again, says.
                Err(error) if error.passes() => (attempt, failure) = (attempt + 1, error),
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    fn told(
        &self,
        user: &UserId,
        (view, fan): (&ViewRow, u64),
        (head, seq): (&HeadRow, u64),
        exact: bool,
    ) -> Told {
        let left = view.left.filter(|left| *left <= fan);
        Told { user: user.clone(), cursor: self.cursor(head, seq), exact, left }
    }

    /// Adds {inbox rows, HEAD, view} for `entries` to a transaction; answers with the last seq.
    pub(crate) fn copy(
        &self,
        tx: &mut Tx<'_>,
        user: &UserId,
        (view, head): (&ViewRow, &HeadRow),
        entries: &[Entry],
        now: Timestamp,
    ) -> Result<u64, Error> {
        let rows = entries.iter().map(|entry| self.logged_row(entry, now)).collect();
        let seq = Self::grow(tx, user, head, rows)?;
        view.advance(tx, user, &view.after(user, entries));
        Ok(seq)
    }

    /// Appends seen to the inbox of `user`. It may come to be there twice: clients take the
    /// maximum.
    pub async fn fan_seen(&self, user: &UserId, seen: &Seen, now: Timestamp) -> Result<Told, Error> {
        let _turn = self.turns.of(user).await;
        let mut failure = Error::Contended;
        for attempt in tries() {
            pause(attempt).await;
            let head = self.head_row(user).await?;
            let mut tx = Tx::new(self);
            let seq = Self::grow(&mut tx, user, &head, vec![self.seen_row(seen, now)])?;
            match tx.commit().await {
                Ok(Outcome::Done) => {
                    let cursor = self.cursor(&head, seq);
                    return Ok(Told { user: user.clone(), cursor, exact: true, left: None });
                }
                Ok(Outcome::Cancelled) => {}
                Err(error) if error.passes() => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    async fn view_and_head(
        &self,
        user: &UserId,
        thread: &ThreadId,
    ) -> Result<Option<(ViewRow, HeadRow)>, Error> {
        let (view, head) = self.get_both::<ViewRow, _>(&keys::view(user, thread), &keys::head(user)).await?;
        let Some(view) = view else { return Ok(None) };
        let head = match head {
            Some(head) => head,
            // HEAD is always put on its own, before the first append.
            None => self.head_row(user).await?,
        };
        Ok(Some((view, head)))
    }
}
