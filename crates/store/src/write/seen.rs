//! How far a member has read: a maximum (rule 14).

use domain::{
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    limits,
    sequence::{MessageNumber, ThreadSeq},
    user_row::UserRow,
    view::{View, seen_by},
    wire::Seen,
};
use futures_util::future::{try_join, try_join3};
use jiff::Timestamp;
use mistakes::mistake;

use super::commit::RAISED;
use crate::{
    inbox::delivery::{Delivered, append},
    table::{
        Table,
        error::Error,
        keys,
        retry::{Attempt, Stop, retry},
        rows::MemberRow,
        tx::{Tx, n, s},
    },
};

/// How a mark fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// Marked, and in the inboxes of everybody who is to be told.
    Delivered(Seen, Vec<Delivered>),
    /// Marked; the members are still to be told.
    Committed(Seen),
    /// Marked as far, or further, before.
    Already(Seen),
    /// No such thread, or none of the reader's.
    NotMember,
}

/// Who is told of a mark.
enum Told {
    /// The other member of a direct thread.
    Other(UserId),
    /// The members of a group.
    Group,
    /// The reader's own devices alone: the group has more than [`limits::SEEN_MEMBERS`].
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
        let Some(told) = self.told_of_seen(reader, thread).await? else { return Ok(Marked::NotMember) };
        let users = match &told {
            Told::Other(other) => vec![reader, other],
            Told::Group | Told::Reader => vec![reader],
        };
        // In no order: seen is a maximum, so what a fold moves between the reads is at worst marked twice.
        let view = async { self.get::<View>(&keys::view(reader, thread)).await };
        let (tail, mut rows, view) = try_join3(self.tail(thread), self.rows(&users), view).await?;
        let tail = tail.ok_or(Stop::Conflict)?;
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
            return Ok(Marked::Already(Seen { number: known, ..mark }));
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

    /// What is left to do for a mark that is there: its writer may have died before anybody was told. None if that was
    /// too long ago to tell.
    async fn marked_before(
        &self,
        mark: &Seen,
        told: &Told,
        (users, rows): (&[&UserId], &[UserRow]),
        in_doubt: bool,
    ) -> Result<Option<Marked>, Stop> {
        let entry = InboxEntry::Seen(mark.clone());
        let has_mark = |row: &UserRow| row.entries.contains(&entry);
        if rows.iter().all(has_mark) && !matches!(told, Told::Group) {
            let image =
                |(user, row): (&&UserId, &UserRow)| Some(Delivered::hint(user, self.image_of(row.clone())?));
            return Ok(Some(Marked::Delivered(
                mark.clone(),
                users.iter().zip(rows).filter_map(image).collect(),
            )));
        }
        // Its outbox row tells, once it is applied. A mark that was delivered is not delivered again.
        let outbox = keys::seen_outbox(&mark.thread, &mark.user);
        let is_owed = has_mark(&rows[0]) && !self.get_applied(&[outbox]).await?.is_empty();
        let is_owed = is_owed || in_doubt && matches!(told, Told::Other(_));
        Ok(is_owed.then(|| Marked::Committed(mark.clone())))
    }

    /// {own row, other's row}: both have the mark, or neither.
    async fn commit_seen(&self, mark: Seen, rows: [(&UserId, UserRow); 2]) -> Result<Marked, Stop> {
        let mut tx = Tx::new(self);
        let mut delivered = Vec::with_capacity(2);
        for (user, row) in rows {
            if row.r#gen.is_none() || row.is_full() {
                return Err(Stop::Conflict);
            }
            let entry = InboxEntry::Seen(mark.clone());
            let change = append(std::slice::from_ref(&entry), &row);
            let change = match row.lease_version {
                0 => change.only_if("attribute_not_exists(lease_version)"),
                version => change.only_if("lease_version = :leases").values([(":leases", n(version))]),
            };
            tx.update_user_row(user, &change);
            delivered.extend(self.appended(user, row, entry));
        }
        tx.commit().await?;
        Ok(Marked::Delivered(mark, delivered))
    }

    /// Who is told of a mark of `reader`'s; none if the reader is not a member.
    async fn told_of_seen(&self, reader: &UserId, thread: &ThreadId) -> Result<Option<Told>, Error> {
        if thread.is_direct() {
            let pair = self.pair(thread).await?;
            return Ok(pair.and_then(|(a, b)| match () {
                () if &a == reader => Some(Told::Other(b)),
                () if &b == reader => Some(Told::Other(a)),
                () => None,
            }));
        }
        let member = async { self.get::<MemberRow>(&keys::member(thread, reader)).await };
        let (member, first) = try_join(member, self.first_members(thread, limits::SEEN_MEMBERS + 1)).await?;
        let is_member = member.is_some_and(|member| member.left_tseq.is_none());
        let told = if first.len() > limits::SEEN_MEMBERS { Told::Reader } else { Told::Group };
        Ok(is_member.then_some(told))
    }
}

fn enqueue_seen(tx: &mut Tx<'_>, seen: &Seen, now: Timestamp) {
    tx.update(
        &keys::seen_outbox(&seen.thread, &seen.user),
        &format!("SET target = :target, thread = :thread, reader = :reader, {RAISED} REMOVE claimed"),
        None,
        vec![
            (":target", n(seen.number)),
            (":thread", s(seen.thread.as_str())),
            (":reader", s(seen.user.as_str())),
            (":now", n(now.as_millisecond())),
            (":zero", n(ThreadSeq(0))),
            (":one", n(1)),
        ],
    );
}
