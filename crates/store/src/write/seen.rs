//! How far a member has read: a maximum (P14).

use domain::{
    ids::{ThreadId, UserId},
    limits,
    sequence::MessageNumber,
    wire::Seen,
};
use futures_util::future::try_join;
use jiff::Timestamp;
use mistakes::mistake;

use super::commit::millis;
use crate::{
    inbox::delivery::Delivered,
    table::{
        Table,
        error::Error,
        keys,
        retry::{Attempt, Stop, retry},
        rows::{HeadRow, ThreadRow, ViewRow},
        take,
        tx::{Tx, n, s},
    },
};

/// How a mark fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// Marked, and in both inboxes of a direct thread.
    Whole(Seen, Vec<Delivered>),
    /// Marked; the members are still to be told.
    Committed(Seen),
    /// Marked as far, or further, before.
    Already(Seen),
    /// No such thread, or none of the reader's.
    NotMember,
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
        let (view, row) = (keys::view(reader, thread), keys::thread(thread));
        let both = self.get_both::<ViewRow, ThreadRow>(&view, &row);
        let (tail, (view, row)) = try_join(self.tail(thread), both).await?;
        let (Some(view), Some(tail), Some(row)) = (view.filter(|v| v.left.is_none()), tail, row) else {
            return Ok(Marked::NotMember);
        };
        let number = if mistake!(SeenBeyondEnd) { number } else { number.min(tail.number) };
        let seen = |number| Seen { thread: thread.clone(), user: reader.clone(), number };
        if number == view.seen && attempt.in_doubt {
            // An earlier attempt committed but its response was lost; members may not have been notified.
            return Ok(Marked::Committed(seen(number)));
        }
        if number <= view.seen && !mistake!(SeenGoesBack) {
            return Ok(Marked::Already(seen(view.seen)));
        }
        let mut tx = Tx::new(self);
        let forward = if mistake!(SeenGoesBack) { "seen < :seen OR seen >= :seen" } else { "seen < :seen" };
        tx.update(
            &keys::view(reader, thread),
            "SET seen = :seen",
            Some(&format!("attribute_not_exists(left_at) AND ({forward})")),
            vec![(":seen", n(number))],
        );
        let whole = match row.pair.filter(|_| attempt.number == 0) {
            Some(pair) => self.seen_whole(&mut tx, &seen(number), &pair, now).await?,
            None => None,
        };
        if whole.is_none() && !mistake!(SeenNotOwed) {
            enqueue_seen(&mut tx, &seen(number), now);
        }
        tx.commit().await?;
        let seen = seen(number);
        Ok(whole.map_or(Marked::Committed(seen.clone()), |delivered| Marked::Whole(seen, delivered)))
    }

    /// Adds seen to both inboxes of a direct thread. Returns none, and adds nothing, if one of the inboxes has no HEAD
    /// yet.
    async fn seen_whole(
        &self,
        tx: &mut Tx<'_>,
        seen: &Seen,
        pair: &(UserId, UserId),
        now: Timestamp,
    ) -> Result<Option<Vec<Delivered>>, Error> {
        let users = [&pair.0, &pair.1];
        let mut found = self.get_many(&users.map(keys::head), true).await?;
        let mut heads = Vec::with_capacity(2);
        for user in users {
            let Some(head) = take::<HeadRow>(&mut found, &keys::head(user))? else { return Ok(None) };
            heads.push((user, head));
        }
        let mut delivered = Vec::with_capacity(2);
        for (user, head) in heads {
            let seq = Self::grow(tx, user, &head, vec![self.seen_row(seen, now)])?;
            delivered.push(Delivered {
                user: user.clone(),
                cursor: self.cursor(&head, seq),
                exact: true,
                left: None,
            });
        }
        Ok(Some(delivered))
    }
}

fn enqueue_seen(tx: &mut Tx<'_>, seen: &Seen, now: Timestamp) {
    let due = now.as_millisecond() + millis(limits::OUTBOX_GRACE);
    tx.update(
        &keys::seen_outbox(&seen.thread, &seen.user),
        "SET upto = :upto, thread = :thread, reader = :reader, since = if_not_exists(since, :now), due = :due",
        None,
        vec![
            (":upto", n(seen.number)),
            (":thread", s(seen.thread.as_str())),
            (":reader", s(seen.user.as_str())),
            (":now", n(now.as_millisecond())),
            (":due", n(due)),
        ],
    );
}
