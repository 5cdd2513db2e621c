//! From a thread's log to one member's inbox (rule 4): in order, without a gap, each entry once.
//!
//! The append's answer names the queues to post to. Two rows hold a member's position in a thread: the user row and the
//! view. The row is read first, and the view only if the row has no entry of the thread. A fold writes the view before it
//! cuts the row, so one of the two always has the position.

use std::sync::Mutex;

use domain::{
    cursor::Cursor,
    event::Entry,
    ids::{QueueId, ThreadId, UserId},
    inbox_entry::InboxEntry,
    limits,
    sequence::{InboxSeq, ThreadSeq},
    user_row::{FULL, UserRow},
    wire::Seen,
};
use jiff::Timestamp;
use mistakes::mistake;

use super::{Change, Image, Updated, shelf::Found};
use crate::table::{
    EdgeTable, Table,
    error::Error,
    keys::{self, Key},
    retry::{Attempt, Stop, retry},
    rows::MemberRow,
    tx::{Tx, n},
    user_row,
};

/// A member whose inbox has the event, and the queues to post to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The member.
    pub user: UserId,
    /// Where the inbox ends.
    pub cursor: Cursor,
    /// The queues that an edge receives the user's events from.
    pub queues: Vec<QueueId>,
    /// Whether the delivered event is the one at `cursor`. If not, the edge must read the inbox.
    pub exact: bool,
    /// The tseq of the member's leaving, if the inbox contains every entry up to it.
    pub left: Option<ThreadSeq>,
    /// The row, if it has so many entries that it is to be folded.
    pub to_fold: Option<UserRow>,
}

impl Delivered {
    /// A delivery that carries no event: the edge reads the inbox.
    pub fn hint(user: &UserId, image: Image) -> Self {
        Self::of(user, image, (0, false))
    }

    /// The delivery that an image shows, after an append of so many entries; exact if the last is the delivered event.
    fn of(user: &UserId, image: Image, (appended, exact): (usize, bool)) -> Self {
        let queues = image.row.held_queues().cloned().collect();
        let to_fold = (appended > 0 && image.row.is_fold_due(appended)).then_some(image.row);
        Self { user: user.clone(), cursor: image.cursor, queues, exact, left: None, to_fold }
    }
}

/// How far a thread is delivered to a member, as rows have told.
#[derive(Debug, Clone)]
pub struct Position {
    /// The row that it was read from.
    pub(crate) row: UserRow,
    /// What the view says, if the row has no entry of the thread.
    viewed: Option<ThreadSeq>,
}

/// What to deliver.
#[derive(Debug, Clone, Copy)]
pub struct Parcel<'a> {
    /// The thread.
    pub thread: &'a ThreadId,
    /// The tseq up to which the members are to get its log.
    pub goal: ThreadSeq,
    /// The last entries up to the goal that the caller has, without a hole.
    pub fresh: &'a [Entry],
    /// The time of the append, for the life of pages.
    pub now: Timestamp,
}

impl Parcel<'_> {
    /// The entries `from ..= to`, if the caller has them all.
    fn fresh(&self, from: ThreadSeq, to: ThreadSeq) -> Option<Vec<Entry>> {
        let first = self.fresh.first()?.tseq;
        let wanted = self.fresh.iter().filter(|entry| (from..=to).contains(&entry.tseq));
        (first <= from && self.goal >= to).then(|| wanted.cloned().collect())
    }
}

impl Position {
    /// The tseq of the last entry that the member has.
    pub(crate) fn through(&self, thread: &ThreadId, joined: ThreadSeq) -> ThreadSeq {
        let row = self.row.delivered_through(thread).unwrap_or_default();
        let viewed = self.viewed.filter(|_| !mistake!(ViewForgotten)).unwrap_or_default();
        let before = if mistake!(JoinerToldAll) { ThreadSeq(0) } else { joined.previous() };
        row.max(viewed).max(before)
    }
}

impl EdgeTable {
    /// How far `thread` is delivered to each of up to 100 users, read consistently: the rows first, then the views of
    /// those whose row has no entry of the thread. None of a user with a damaged row: one must not keep the others
    /// waiting.
    pub async fn positions(
        &self,
        users: &[&UserId],
        thread: &ThreadId,
    ) -> Result<Vec<Option<Position>>, Error> {
        let early = if mistake!(ViewBeforeRow) { Some(self.viewed(users, thread).await?) } else { None };
        let keys: Vec<Key> = users.iter().map(|user| keys::user_row(user)).collect();
        let found = self.get_many(&keys, true).await?;
        let rows: Vec<Option<UserRow>> =
            keys.iter().map(|key| user_row::read(key, found.get(key)).ok()).collect();
        let is_lacking =
            |row: &Option<UserRow>| row.as_ref().is_some_and(|row| row.delivered_through(thread).is_none());
        let mut views = if let Some(early) = early {
            let early = users.iter().zip(&rows).zip(early).filter(|((_, row), _)| is_lacking(row));
            early.map(|(_, viewed)| viewed).collect::<Vec<_>>().into_iter()
        } else {
            let lacking = users.iter().zip(&rows).filter(|(_, row)| is_lacking(row)).map(|(user, _)| *user);
            self.viewed(&lacking.collect::<Vec<_>>(), thread).await?.into_iter()
        };
        let mut position = |row: Option<UserRow>| {
            let viewed = if is_lacking(&row) { views.next()?.ok()? } else { None };
            Some(Position { row: row?, viewed })
        };
        Ok(rows.into_iter().map(&mut position).collect())
    }

    /// How far a thread is delivered, as the views of these users say, in this order.
    async fn viewed(
        &self,
        users: &[&UserId],
        thread: &ThreadId,
    ) -> Result<Vec<Result<Option<ThreadSeq>, Error>>, Error> {
        let pairs: Vec<_> = users.iter().map(|user| (*user, thread)).collect();
        let found = self.views_at(&pairs, !mistake!(ViewReadStale)).await?;
        let through = |found: Found| found.view.map(|view| view.delivered_through);
        Ok(found.into_iter().map(|found| found.map(through)).collect())
    }

    /// The position of a user whose row is known.
    async fn position_of(&self, user: &UserId, thread: &ThreadId, row: UserRow) -> Result<Position, Error> {
        let viewed = match row.delivered_through(thread) {
            Some(_) => None,
            None => self.viewed(&[user], thread).await?.pop().transpose()?.flatten(),
        };
        Ok(Position { row, viewed })
    }
}

impl Table {
    /// Appends the log up to the parcel's goal to the inbox of `member`: what is missing, and nothing that is later than
    /// the member's leaving. `position` is what was read of the member's place; without it, the entry before the goal
    /// tells whether only the last one is missing.
    ///
    /// # Errors
    /// [`Error::Contended`] if the row changes too often, or if an entry is not visible yet. The outbox row stays.
    pub async fn deliver_to_inbox(
        &self,
        member: &MemberRow,
        parcel: Parcel<'_>,
        position: Option<Position>,
    ) -> Result<Delivered, Error> {
        let _lock = self.locks.of(&member.user).await;
        if position.is_none()
            && let Some(delivered) = self.append_unread(member, parcel).await?
        {
            return Ok(delivered);
        }
        let known = &Mutex::new(position);
        loop {
            let append = |_: Attempt| async move {
                let position = known.lock().ok().and_then(|mut known| known.take());
                let position = if let Some(position) = position {
                    position
                } else {
                    let row = self.row(&member.user).await?;
                    self.position_of(&member.user, parcel.thread, row).await?
                };
                self.append_some(member, parcel, position, known).await
            };
            if let Some(delivered) = retry(append).await? {
                return Ok(delivered);
            }
        }
    }

    /// Appends the next entries up to the goal; none if more remain. An image of the row goes into `known`, for the next
    /// attempt.
    async fn append_some(
        &self,
        member: &MemberRow,
        parcel: Parcel<'_>,
        position: Position,
        known: &Mutex<Option<Position>>,
    ) -> Result<Option<Delivered>, Stop> {
        let Parcel { thread, goal, now, .. } = parcel;
        let user = &member.user;
        let through = position.through(thread, member.joined_tseq);
        let until = clip(member, goal);
        let mut row = position.row;
        if through >= until {
            // The writer that appended may have died before its post, so post again.
            let image = match self.image_of(row) {
                Some(image) => image,
                None => self.image(user).await?,
            };
            return Ok(Some(delivered(member, image, through, (0, false))));
        }
        // A row that cannot be folded grows: that is dearer, never wrong.
        if row.is_full() && self.fold(user, &row, now).await.unwrap_or(false) {
            row = self.row(user).await?;
            let position = self.position_of(user, thread, row).await?;
            keep(known, position);
            return Ok(None);
        }
        let room = FULL.saturating_sub(row.entries.len()).clamp(1, limits::APPEND_BATCH);
        let from = if mistake!(OwnEntryOnly) { until } else { through.next() };
        let entries = match parcel.fresh(from, until) {
            Some(mut entries) => {
                entries.truncate(room);
                entries
            }
            None => self.entries(thread, from, until, room).await?,
        };
        // Without an entry, it is not visible yet.
        let last = entries.last().map(|entry| entry.tseq).ok_or(Stop::Conflict)?;
        let entry_of = |entry: &Entry| InboxEntry::of(entry, user, member.reads_from());
        let entries: Vec<InboxEntry> = entries.iter().map(entry_of).collect();
        let change = append(&entries, &row);
        let leases = row.leases;
        let mut image = match self.update(user, &change).await.map_err(Stop::in_doubt)? {
            Updated::Changed(image) => image,
            Updated::Refused(image) => {
                let row = image.map(|image| image.row).unwrap_or_default();
                let position = self.position_of(user, thread, row).await?;
                keep(known, position);
                return Err(Stop::Conflict);
            }
        };
        if mistake!(LeasesBeforeAppend) {
            image.row.leases = leases;
        }
        if last < until {
            let row = image.row;
            keep(known, Position { row, viewed: None });
            return Ok(None);
        }
        let exact = last == goal && entries.last().is_some_and(may_be_posted);
        Ok(Some(delivered(member, image, last, (entries.len(), exact))))
    }

    /// Appends the last entry without reading, on condition that the row has the entry before it. Such appends of
    /// different threads never conflict. None if the condition fails.
    async fn append_unread(
        &self,
        member: &MemberRow,
        parcel: Parcel<'_>,
    ) -> Result<Option<Delivered>, Error> {
        let [.., before, last] = parcel.fresh else { return Ok(None) };
        let user = &member.user;
        let has_both = before.tseq.next() == last.tseq && last.tseq == parcel.goal;
        let is_member = member.joined_tseq <= before.tseq && clip(member, parcel.goal) == parcel.goal;
        if !has_both || !is_member {
            return Ok(None);
        }
        let entry_of = |entry: &Entry| InboxEntry::of(entry, user, member.reads_from());
        let (before, after) = (entry_of(before), entry_of(last));
        let condition = match (mistake!(UnreadWithoutBefore), mistake!(UnreadWithoutAfter)) {
            (true, _) => "NOT contains(entries, :after)",
            (_, true) => "contains(entries, :before)",
            _ => "contains(entries, :before) AND NOT contains(entries, :after)",
        };
        let mut change = appended(std::slice::from_ref(&after))
            .only_if(condition)
            .only_if("size(entries) < :full")
            .values([(":full", n(FULL))]);
        if !mistake!(UnreadWithoutBefore) {
            change = change.values([(":before", user_row::binary(&before))]);
        }
        if !mistake!(UnreadWithoutAfter) {
            change = change.values([(":after", user_row::binary(&after))]);
        }
        match self.update(user, &change).await {
            Ok(Updated::Changed(image)) => {
                Ok(Some(delivered(member, image, parcel.goal, (1, may_be_posted(&after)))))
            }
            Ok(Updated::Refused(_)) => Ok(None),
            // It may have taken effect: the row knows.
            Err(error) if error.passes() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds the append of an entry to a transaction, and returns its result once the transaction is committed. The row must
    /// be as it was read: the seq fixes the entry's position, and the lease version makes the image's queues those at the
    /// commit.
    pub(crate) fn append_in(
        &self,
        tx: &mut Tx<'_>,
        user: &UserId,
        mut row: UserRow,
        entry: InboxEntry,
    ) -> Result<Delivered, Stop> {
        if row.is_full() {
            return Err(Stop::Conflict);
        }
        let change = append(std::slice::from_ref(&entry), &row);
        let change = match row.lease_version {
            _ if mistake!(WholeWithoutLeases) => change,
            0 => change.only_if("attribute_not_exists(lease_version)"),
            version => change.only_if("lease_version = :leases").values([(":leases", n(version))]),
        };
        tx.update_user_row(user, &change);
        row.seq = row.seq.next();
        row.entries.push(entry);
        // A row that does not exist yet has no generation to tell of.
        let image = self.image_of(row).ok_or(Stop::Conflict)?;
        Ok(Delivered::of(user, image, (1, true)))
    }

    /// Appends seen to an inbox unless the row has it.
    pub async fn deliver_seen(&self, user: &UserId, seen: &Seen, now: Timestamp) -> Result<Delivered, Error> {
        self.register(user, InboxEntry::Seen(seen.clone()), now).await
    }

    /// Appends a register to an inbox unless the row has it. After a fold it may be appended again: the maximum counts.
    pub(crate) async fn register(
        &self,
        user: &UserId,
        entry: InboxEntry,
        now: Timestamp,
    ) -> Result<Delivered, Error> {
        let _lock = self.locks.of(user).await;
        let entry = [entry];
        let roomy = appended(&entry)
            .only_if(
                "(attribute_not_exists(entries) OR size(entries) < :full AND NOT contains(entries, :seen))",
            )
            .values([(":full", n(FULL)), (":seen", user_row::binary(&entry[0]))]);
        let mut updated = self.update(user, &roomy).await?;
        if let Updated::Refused(Some(image)) = updated {
            if image.row.entries.contains(&entry[0]) {
                return Ok(Delivered::hint(user, image));
            }
            self.fold(user, &image.row, now).await?;
            // Once more, and then without the condition: the fold may have to wait.
            updated = self.update(user, &appended(&entry)).await?;
        }
        let Updated::Changed(image) = updated else { return Err(Error::Contended) };
        Ok(Delivered::of(user, image, (1, true)))
    }
}

/// Keeps an image of the row for the next attempt.
fn keep(known: &Mutex<Option<Position>>, position: Position) {
    if let Ok(mut known) = known.lock() {
        *known = Some(position);
    }
}

/// The last tseq that a member gets, when the thread has got to `goal`.
fn clip(member: &MemberRow, goal: ThreadSeq) -> ThreadSeq {
    let left = member.left_tseq.filter(|_| !mistake!(LeaverToldMore));
    let left = left.map(|left| if mistake!(LeaverNotTold) { left.previous() } else { left });
    left.map_or(goal, |left| goal.min(left))
}

/// Whether an entry may be posted with what it says. An edge reads a hidden one, without what the message says.
fn may_be_posted(entry: &InboxEntry) -> bool {
    !entry.is_hidden() || mistake!(HiddenPosted)
}

fn delivered(
    member: &MemberRow,
    image: Image,
    through: ThreadSeq,
    (appended, exact): (usize, bool),
) -> Delivered {
    let left = member.left_tseq.filter(|left| *left <= through);
    // What the entry says may be later than a leaving: an edge reads it for an ex-member, and withholds that.
    let exact = exact && member.left_tseq.is_none();
    Delivered { left, ..Delivered::of(&member.user, image, (appended, exact)) }
}

/// The change that appends entries to a row that is as it was read.
pub(crate) fn append(entries: &[InboxEntry], row: &UserRow) -> Change {
    let change = appended(entries);
    // A row that nothing was appended to has no `seq` yet.
    let unmoved = match row.seq {
        InboxSeq(0) => "gen = :gen AND (attribute_not_exists(seq) OR seq = :was)",
        _ => "gen = :gen AND seq = :was",
    };
    match row.r#gen {
        None => change.only_if("attribute_not_exists(gen)"),
        Some(_) if mistake!(PlaceTakenTwice) => change,
        Some(r#gen) => change.only_if(unmoved).values([(":gen", n(r#gen)), (":was", n(row.seq))]),
    }
}

/// The change that appends entries, whatever the row has.
pub(crate) fn appended(entries: &[InboxEntry]) -> Change {
    Change::new()
        .set(
            "entries = list_append(if_not_exists(entries, :none), :entries)",
            [(":none", user_row::list(&[])), (":entries", user_row::list(entries))],
        )
        .set(
            "seq = if_not_exists(seq, :zero) + :count",
            [(":zero", n(InboxSeq(0))), (":count", n(entries.len()))],
        )
}
