//! From a thread's log to one member's inbox (P3): in order, without a gap, each entry once.

use domain::{
    cursor::Cursor,
    event::Entry,
    ids::{ThreadId, UserId},
    limits,
    sequence::{InboxSeq, ThreadSeq},
    wire::Seen,
};
use jiff::Timestamp;
use mistakes::mistake;

use crate::table::{
    Table,
    error::Error,
    keys,
    retry::{Attempt, Stop, retry},
    rows::{HeadRow, ViewRow},
    tx::Tx,
};

/// One member whose inbox has got as far as it should, and whose queues may be posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Who.
    pub user: UserId,
    /// Where their inbox ends.
    pub cursor: Cursor,
    /// Whether the delivered event is the one at `cursor`. If not, the edge must read the inbox.
    pub exact: bool,
    /// The tseq of the member's leaving, if the inbox contains every entry up to it.
    pub left: Option<ThreadSeq>,
}

impl Table {
    /// Appends the log of `thread` up to `goal` to the inbox of `user`, a member since `joined`. The append includes
    /// entries that an earlier delivery has left out because it crashed or is slower. `fresh` is the entry at `goal` if
    /// the caller has it.
    ///
    /// A delivery that reads the log also appends the entries after `goal`. So with many writers to one inbox, one
    /// transaction does the work of the writers that lost the race.
    ///
    /// # Errors
    /// [`Error::Contended`] if the inbox changes too often, or if the view of this membership is not visible yet. The
    /// outbox row stays. No view is ever deleted, except by a repair.
    pub async fn deliver_to_inbox(
        &self,
        (user, joined): (&UserId, ThreadSeq),
        thread: &ThreadId,
        goal: ThreadSeq,
        fresh: Option<&Entry>,
        now: Timestamp,
    ) -> Result<Delivered, Error> {
        let _lock = self.locks.of(user).await;
        loop {
            let append = |attempt: Attempt| {
                // The first attempt uses `fresh`. After a lost race, an attempt reads the entries that other writers
                // have added.
                let fresh = fresh.filter(|_| attempt.number == 0);
                self.deliver_some((user, joined), thread, goal, fresh, now)
            };
            if let Some(delivered) = retry(append).await? {
                return Ok(delivered);
            }
        }
    }

    /// Appends the next entries up to `goal`; none if more remain.
    async fn deliver_some(
        &self,
        (user, joined): (&UserId, ThreadSeq),
        thread: &ThreadId,
        goal: ThreadSeq,
        fresh: Option<&Entry>,
        now: Timestamp,
    ) -> Result<Option<Delivered>, Stop> {
        // A transaction becomes visible item by item. If a listed member's view is missing or belongs to an earlier
        // membership, retry; never skip the member.
        let found = self.view_and_head(user, thread).await?.filter(|(view, _)| view.joined >= joined);
        let (view, head) = found.ok_or(Stop::Conflict)?;
        let until = view.goal(goal);
        if view.fan >= until {
            // Read again: the HEAD that came with the view may be older than the view.
            let head = self.head_row(user).await?;
            return Ok(Some(self.delivered_to(user, (&view, view.fan), (&head, head.seq), false)));
        }
        let is_next = view.fan + 1 == until || mistake!(OwnEntryOnly);
        let entries = match fresh.filter(|entry| is_next && entry.tseq == until) {
            Some(entry) => vec![entry.clone()],
            None => {
                self.entries(thread, view.fan + 1, view.goal(ThreadSeq::MAX), limits::APPEND_BATCH).await?
            }
        };
        // Without an entry, it is not visible yet.
        let fan = entries.last().map(|entry| entry.tseq).ok_or(Stop::Conflict)?;
        let mut tx = Tx::new(self);
        let seq = self.append(&mut tx, user, (&view, &head), &entries, now)?;
        tx.commit().await?;
        Ok((fan >= until).then(|| self.delivered_to(user, (&view, fan), (&head, seq), fan == goal)))
    }

    fn delivered_to(
        &self,
        user: &UserId,
        (view, fan): (&ViewRow, ThreadSeq),
        (head, seq): (&HeadRow, InboxSeq),
        exact: bool,
    ) -> Delivered {
        let left = view.left.filter(|left| *left <= fan);
        Delivered { user: user.clone(), cursor: self.cursor(head, seq), exact, left }
    }

    /// Adds {inbox rows, HEAD, view} for `entries` to a transaction; answers with the last seq.
    pub(crate) fn append(
        &self,
        tx: &mut Tx<'_>,
        user: &UserId,
        (view, head): (&ViewRow, &HeadRow),
        entries: &[Entry],
        now: Timestamp,
    ) -> Result<InboxSeq, Error> {
        let rows = entries.iter().map(|entry| self.logged_row(entry, now)).collect();
        let seq = Self::grow(tx, user, head, rows)?;
        view.advance(tx, user, &view.after(user, entries));
        Ok(seq)
    }

    /// Appends seen to the inbox of `user`. It may come to be there twice: clients take the
    /// maximum.
    pub async fn deliver_seen(&self, user: &UserId, seen: &Seen, now: Timestamp) -> Result<Delivered, Error> {
        let _lock = self.locks.of(user).await;
        retry(|_| async move {
            let head = self.head_row(user).await?;
            let mut tx = Tx::new(self);
            let seq = Self::grow(&mut tx, user, &head, vec![self.seen_row(seen, now)])?;
            tx.commit().await?;
            Ok(Delivered { user: user.clone(), cursor: self.cursor(&head, seq), exact: true, left: None })
        })
        .await
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
