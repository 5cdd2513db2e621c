//! How far a member has read: a maximum (rule 14).

use domain::{
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    limits,
    sequence::MessageNumber,
    user_row::UserRow,
    view::seen_by,
    wire::Seen,
};
use futures_util::future::{try_join, try_join3};
use jiff::Timestamp;
use mistakes::mistake;

use crate::{
    blocks::blocks,
    inbox::delivery::{Delivered, append},
    outbox::enqueue_seen,
    table::{
        Table,
        error::Error,
        keys::{self, Key},
        retry::{Attempt, Stop, retry},
        rows::OutboxRow,
        tx::Tx,
        user_row,
    },
};

/// The result of marking a thread as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// Marked, and in the inboxes of everybody who is to be told.
    Delivered(Seen, Vec<Delivered>),
    /// Marked; the members are still to be told.
    Committed(Seen),
    /// Marked as far, or further, before.
    Already(Seen),
    /// Marked further before, while an earlier mark is still to be told: its writer may have died.
    Owed {
        /// The further mark.
        known: Seen,
        /// The earlier mark.
        owed: Seen,
    },
    /// No such thread, or the reader is not a member.
    NotMember,
}

/// The recipients of a mark.
enum Told {
    /// The other member of a direct thread.
    Other(UserId),
    /// The members of a group.
    Group,
    /// The reader's own devices alone: the group has more than [`limits::SEEN_MEMBERS`], or one of two has blocked the
    /// other.
    Reader,
}

impl Table {
    /// Marks `thread` as read by `reader` up to message `number`, at most up to its last one.
    pub async fn mark_seen(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        number: MessageNumber,
        now: Timestamp,
    ) -> Result<Marked, Error> {
        retry(|attempt| self.mark_seen_once(reader, thread, number, now, attempt)).await
    }

    async fn mark_seen_once(
        &self,
        reader: &UserId,
        thread: &ThreadId,
        number: MessageNumber,
        now: Timestamp,
        attempt: Attempt,
    ) -> Result<Marked, Stop> {
        if attempt.number == 0 && !self.lets_in(thread, reader).await? {
            return Ok(Marked::NotMember);
        }
        let other = match self.other(reader, thread).await? {
            None if thread.is_direct() => return Ok(Marked::NotMember),
            other => other,
        };
        let mut users: Vec<&UserId> = std::iter::once(reader).chain(&other).collect();
        // In no order: seen is a maximum, so what a fold moves between the reads is marked again and changes nothing.
        let view = async { Ok(self.view_at(reader, thread).await?.view) };
        let (tail, mut rows, view) = try_join3(self.tail(thread), self.rows(&users), view).await?;
        let Some(tail) = tail else { return Ok(Marked::NotMember) };
        // Who is a member after the tail was read may see how far it goes.
        let told = match &other {
            // A block hides both from each other.
            Some(other) if blocks(&rows[0], other) || blocks(&rows[1], reader) => Told::Reader,
            Some(other) => Told::Other(other.clone()),
            None => match self.told_in_group(reader, thread).await? {
                Some(told) => told,
                None => return Ok(Marked::NotMember),
            },
        };
        if matches!(told, Told::Reader) {
            users.truncate(1);
            rows.truncate(1);
        }
        if view.is_none() && rows[0].last_of(thread).is_none() {
            // The delivery that makes the view is still under way, and a mark before it would be lost.
            return Err(Stop::Conflict);
        }
        let number = if mistake!(SeenBeyondEnd) { number } else { number.min(tail.number) };
        let mark = Seen { thread: thread.clone(), user: reader.clone(), number };
        let entries = rows[0].entries.iter().filter(|entry| entry.thread() == thread);
        let known = seen_by(reader, reader, entries).max(view.map(|view| view.seen).unwrap_or_default());
        if number == known
            && let Some(marked) = self.marked_before(&mark, &told, (&users, &rows), attempt.in_doubt).await?
        {
            return Ok(marked);
        }
        if number <= known {
            return self.known_mark(Seen { number: known, ..mark }, &told).await;
        }
        match told {
            Told::Reader => {
                let delivered = self.deliver_seen(reader, &mark, now).await?;
                Ok(Marked::Delivered(mark, vec![delivered]))
            }
            Told::Other(other) if attempt.number == 0 => {
                let [own, row] = [0, 1].map(|at| std::mem::take(&mut rows[at]));
                self.commit_seen(mark, [(reader, own), (&other, row)]).await
            }
            Told::Other(_) | Told::Group => {
                let mut tx = Tx::new(self);
                let entry = InboxEntry::Seen(mark.clone());
                tx.update_user_row(reader, &append(std::slice::from_ref(&entry), &rows[0]));
                if !mistake!(SeenNotOwed) {
                    enqueue_seen(&mut tx, &mark, now);
                }
                tx.commit().await?;
                Ok(Marked::Committed(mark))
            }
        }
    }

    /// What remains to do for a mark that goes no further than `known`. The reader may have written meanwhile, and so have
    /// read further, before the members of a group were told of an earlier mark.
    async fn known_mark(&self, known: Seen, told: &Told) -> Result<Marked, Stop> {
        let owed: Option<OutboxRow> = match told {
            Told::Group => self.get(&keys::seen_outbox(&known.thread, &known.user)).await?,
            _ => None,
        };
        Ok(match owed {
            Some(row) => {
                Marked::Owed { owed: Seen { number: MessageNumber(row.target), ..known.clone() }, known }
            }
            None => Marked::Already(known),
        })
    }

    /// What remains to do for a mark that is already in the row: its writer may have died before it posted. None if nothing
    /// remains.
    async fn marked_before(
        &self,
        mark: &Seen,
        told: &Told,
        (users, rows): (&[&UserId], &[UserRow]),
        in_doubt: bool,
    ) -> Result<Option<Marked>, Stop> {
        let entry = InboxEntry::Seen(mark.clone());
        let has_mark = |row: &UserRow| row.entries.contains(&entry);
        let hints = |rows: &[UserRow]| {
            let image =
                |(user, row): (&&UserId, &UserRow)| Some(Delivered::hint(user, self.image_of(row.clone())?));
            Some(Marked::Delivered(mark.clone(), users.iter().zip(rows).filter_map(image).collect()))
        };
        let is_in_doubt = in_doubt && matches!(told, Told::Other(_));
        if !has_mark(&rows[0]) {
            return Ok(is_in_doubt.then(|| Marked::Committed(mark.clone())));
        }
        if rows.iter().all(has_mark) && !matches!(told, Told::Group) {
            return Ok(hints(rows));
        }
        // What the mark's transaction wrote beside this row may not be visible yet (rule 18).
        let outbox = keys::seen_outbox(&mark.thread, &mark.user);
        let other = users.get(1).map(|other| keys::user_row(other));
        let beside: Vec<Key> = std::iter::once(&outbox).chain(&other).cloned().collect();
        let applied = self.get_applied(&beside).await?;
        // A mark that was delivered has no outbox row, and is not delivered again.
        if is_in_doubt || applied.contains_key(&outbox) {
            return Ok(Some(Marked::Committed(mark.clone())));
        }
        let Some(key) = other else { return Ok(None) };
        let rows = [rows[0].clone(), user_row::read(&key, applied.get(&key))?];
        Ok(if has_mark(&rows[1]) { hints(&rows) } else { None })
    }

    /// {own row, other's row}: both have the mark, or neither.
    async fn commit_seen(&self, mark: Seen, rows: [(&UserId, UserRow); 2]) -> Result<Marked, Stop> {
        let mut tx = Tx::new(self);
        let mut delivered = Vec::with_capacity(2);
        for (user, row) in rows {
            delivered.push(self.append_in(&mut tx, user, row, InboxEntry::Seen(mark.clone()))?);
        }
        tx.commit().await?;
        Ok(Marked::Delivered(mark, delivered))
    }

    /// The other member of a direct thread; none of a group, or if the reader is not a member.
    async fn other(&self, reader: &UserId, thread: &ThreadId) -> Result<Option<UserId>, Error> {
        let pair = if thread.is_direct() { self.pair(thread).await? } else { None };
        Ok(pair.and_then(|(a, b)| match () {
            () if &a == reader => Some(b),
            () if &b == reader => Some(a),
            () => None,
        }))
    }

    /// Who is told of a mark in a group; none if the reader is not a member.
    async fn told_in_group(&self, reader: &UserId, thread: &ThreadId) -> Result<Option<Told>, Error> {
        let is_member = self.is_member(thread, reader);
        let (is_member, first) =
            try_join(is_member, self.first_members(thread, limits::SEEN_MEMBERS + 1)).await?;
        let told = if first.len() > limits::SEEN_MEMBERS { Told::Reader } else { Told::Group };
        Ok(is_member.then_some(told))
    }
}
