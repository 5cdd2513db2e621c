//! The user row: all that lives about one user. Where the inbox ends, its newest events, and who holds the user's queues.
//!
//! The newest events lie in the row itself, so one conditional update appends an event, and its answer says who
//! listens. When the row has many, a fold moves the first of them into a page and into the views.

use crate::{
    credential::Cutoff,
    ids::{BootId, QueueId, ThreadId, UserId},
    inbox_entry::{InboxEntry, Logged},
    mark::Mark,
    sequence::{InboxSeq, ProfileVersion, ThreadSeq},
};

/// Entries at which a row is folded.
const FOLD_AT: usize = 24;
/// Bytes of entries at which a row is folded: with its keys and holders the row stays below 1 KiB, one write unit.
const FOLD_AT_BYTES: usize = 750;
/// Entries after which a fold that did not happen is tried again.
const FOLD_AGAIN: usize = 4;
/// Entries at which a row is folded before anything is appended.
pub const FULL: usize = 48;
/// The most entries of a page.
const PAGE: usize = 16;
/// The most bytes of a page's entries.
const PAGE_BYTES: usize = 600;

/// The state of a user row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserRow {
    /// The generation of the inbox, 64 random bits; none of a row that does not exist.
    pub r#gen: Option<u64>,
    /// The last event of the inbox.
    pub seq: InboxSeq,
    /// The last event that a page has.
    pub folded: InboxSeq,
    /// The events after `folded`, as they lie in the row.
    pub entries: Vec<InboxEntry>,
    /// Counts the changes of `leases`.
    pub lease_version: u64,
    /// The queues of the user, and who holds them.
    pub leases: Vec<Lease>,
    /// What was revoked of this user.
    pub cutoff: Cutoff,
    /// Whom this user has blocked, at most [`BLOCKS`](crate::limits::BLOCKS).
    pub blocks: Vec<Mark>,
    /// The version of the user's profile.
    pub profile_version: ProfileVersion,
}

/// A queue that carries a user's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The queue.
    pub queue: QueueId,
    /// Who receives from it.
    pub holder: Holder,
}

/// Who receives from a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// An edge, from its own queue.
    Edge(BootId),
    /// An edge, from a queue of the user's.
    UserQueue(BootId),
    /// Nobody, since this time in milliseconds since 1970: any edge may take this queue of the user's.
    Free(i64),
}

impl Holder {
    /// The edge, if there is one.
    pub fn boot(&self) -> Option<&BootId> {
        match self {
            Self::Edge(boot) | Self::UserQueue(boot) => Some(boot),
            Self::Free(_) => None,
        }
    }
}

impl UserRow {
    /// The queues to post to.
    pub fn held_queues(&self) -> impl Iterator<Item = &QueueId> {
        self.leases.iter().filter(|lease| lease.holder.boot().is_some()).map(|lease| &lease.queue)
    }

    /// Whether this user has blocked `other`.
    pub fn has_blocked(&self, other: &UserId) -> bool {
        !self.blocks.is_empty() && self.blocks.contains(&Mark::of(other.as_str()))
    }

    /// The entries in the row after `after`, each with its place.
    pub fn after(&self, after: InboxSeq) -> impl Iterator<Item = (InboxSeq, &InboxEntry)> {
        self.placed().skip_while(move |(seq, _)| *seq <= after)
    }

    /// The entries in the row, each with its place.
    pub fn placed(&self) -> impl Iterator<Item = (InboxSeq, &InboxEntry)> {
        (self.folded.0 + 1..).map(InboxSeq).zip(&self.entries)
    }

    /// The last logged entry of a thread in the row.
    pub fn last_of(&self, thread: &ThreadId) -> Option<&Logged> {
        self.entries.iter().rev().filter_map(InboxEntry::logged).find(|logged| &logged.thread == thread)
    }

    /// The last logged entry of each thread in the row, each with its place.
    pub fn last_of_each(&self) -> Vec<(InboxSeq, &Logged)> {
        let mut last: Vec<(InboxSeq, &Logged)> = Vec::new();
        for (seq, entry) in self.placed() {
            let Some(logged) = entry.logged() else { continue };
            last.retain(|(_, other)| other.thread != logged.thread);
            last.push((seq, logged));
        }
        last
    }

    /// How far a thread is delivered to this user, as far as the row tells.
    pub fn delivered_through(&self, thread: &ThreadId) -> Option<ThreadSeq> {
        self.last_of(thread).map(|logged| logged.tseq)
    }

    /// Whether an append of `appended` entries has made a fold due. A fold that did not happen is due again a few
    /// entries later, not at each append.
    pub fn is_fold_due(&self, appended: usize) -> bool {
        let steps = |entries: usize, bytes: usize| {
            let by_count = (entries + FOLD_AGAIN).checked_sub(FOLD_AT).map_or(0, |over| over / FOLD_AGAIN);
            let step = FOLD_AT_BYTES / (FOLD_AT / FOLD_AGAIN);
            let by_bytes = (bytes + step).checked_sub(FOLD_AT_BYTES).map_or(0, |over| over / step);
            (by_count, by_bytes)
        };
        let sizes: Vec<usize> = self.entries.iter().map(|entry| entry.encode().len()).collect();
        let before = self.entries.len().saturating_sub(appended);
        let was = steps(before, sizes[..before].iter().sum());
        let is = steps(sizes.len(), sizes.iter().sum());
        is.0 > was.0 || is.1 > was.1
    }

    /// Whether the row is so full that it has to be folded before an append.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= FULL
    }

    /// The entries of the next page: a function of the generation and of `folded` alone, whatever was appended since.
    /// None if a later append could still change the page.
    pub fn next_page(&self) -> Option<&[InboxEntry]> {
        let mut bytes = 0;
        let fits = |entry: &&InboxEntry| {
            bytes += entry.encode().len();
            bytes <= PAGE_BYTES
        };
        let length = self.entries.iter().take(PAGE).take_while(fits).count();
        (length < self.entries.len()).then(|| &self.entries[..length.max(1)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{inbox_entry::Effect, sequence::MessageNumber, wire::Seen};

    fn logged(thread: u8, tseq: u64) -> InboxEntry {
        InboxEntry::Logged(Logged {
            thread: ThreadId::group(thread.into()),
            tseq: ThreadSeq(tseq),
            number: MessageNumber(tseq),
            own: false,
            invited: false,
            effect: Effect::Message(1_790_000_000_000),
        })
    }

    fn row(entries: Vec<InboxEntry>) -> UserRow {
        let folded = InboxSeq(100);
        UserRow { r#gen: Some(1), seq: folded + entries.len() as u64, folded, entries, ..UserRow::default() }
    }

    fn entries() -> impl Strategy<Value = Vec<InboxEntry>> {
        let user = "[a-z]{1,128}".prop_map(|id| UserId::parse(&id).unwrap());
        let seen = (0..4u8, user).prop_map(|(thread, user)| {
            InboxEntry::Seen(Seen { thread: ThreadId::group(thread.into()), user, number: MessageNumber(7) })
        });
        prop::collection::vec(
            prop_oneof![3 => (0..4u8, 1..1_000u64).prop_map(|(t, n)| logged(t, n)), 1 => seen],
            0..60,
        )
    }

    proptest! {
        #[test]
        fn a_page_is_the_same_whatever_was_appended_since(entries in entries(), more in entries()) {
            let before = row(entries.clone());
            let after = row([entries, more].concat());
            if let Some(page) = before.next_page() {
                prop_assert_eq!(after.next_page(), Some(page));
                prop_assert!(!page.is_empty() && page.len() <= PAGE);
            }
        }

        #[test]
        fn a_row_that_is_to_be_folded_has_a_page(entries in entries(), appended in 1..3usize) {
            let row = row(entries);
            if row.is_fold_due(appended) || row.is_full() {
                prop_assert!(row.next_page().is_some());
            }
        }

        #[test]
        fn a_fold_is_due_at_the_first_append_beyond_and_seldom_after(entries in entries()) {
            let due: Vec<usize> = (1..=entries.len()).filter(|n| row(entries[..*n].to_vec()).is_fold_due(1)).collect();
            let bytes = |n: usize| entries[..n].iter().map(|entry| entry.encode().len()).sum::<usize>();
            if let Some(first) = (1..=entries.len()).find(|n| *n >= FOLD_AT || bytes(*n) >= FOLD_AT_BYTES) {
                prop_assert_eq!(due.first(), Some(&first));
            } else {
                prop_assert!(due.is_empty());
            }
        }
    }

    #[test]
    fn the_row_knows_the_places_of_its_entries() {
        let row = row(vec![logged(1, 5), logged(2, 9), logged(1, 6)]);
        let places = |after| row.after(InboxSeq(after)).map(|(seq, _)| seq.0).collect::<Vec<_>>();
        assert_eq!(places(0), [101, 102, 103]);
        assert_eq!(places(102), [103]);
        assert_eq!(row.delivered_through(&ThreadId::group(1)), Some(ThreadSeq(6)));
        assert_eq!(row.delivered_through(&ThreadId::group(3)), None);
        let last: Vec<_> =
            row.last_of_each().into_iter().map(|(seq, logged)| (seq.0, logged.tseq.0)).collect();
        assert_eq!(last, [(102, 9), (103, 6)]);
    }
}
