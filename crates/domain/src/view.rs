//! A member's view of a thread, and the fold that makes it: a view is the fold of the member's inbox entries of that
//! thread, and nothing else (delivery protocol, rule 5).
//!
//! Everything in it is a maximum, or is replaced by a later state. So an entry that is folded twice changes nothing, and
//! a list may fold entries in memory that another process folds into the row at the same time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    event::{Member, Settings, ThreadKind},
    ids::{ThreadId, UserId},
    inbox_entry::{Effect, InboxEntry, Logged},
    sequence::{MessageNumber, ThreadSeq},
    user_row::UserRow,
};

/// A member's view of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The thread.
    pub thread: ThreadId,
    /// Counts the writes of this view: a write is conditional on the version as read.
    pub version: u64,
    /// What the fold has read beside the entries; nothing, if the member had left by then. Such a view is not shown: it
    /// says how far the thread was delivered.
    #[serde(flatten)]
    pub facts: Option<Facts>,
    /// The tseq at which the member joined.
    pub joined_tseq: ThreadSeq,
    /// The tseq at which the member left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_tseq: Option<ThreadSeq>,
    /// The tseq of the last entry folded.
    pub delivered_through: ThreadSeq,
    /// The message number up to which the member has read.
    pub seen: MessageNumber,
    /// In a direct thread: the message number up to which the other one has read.
    #[serde(default, skip_serializing_if = "is_none")]
    pub others_seen: MessageNumber,
    /// The number of messages as of the joining, if another user has made the member join, and the member has done nothing
    /// in the thread since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<MessageNumber>,
    /// Whether that joining was an invitation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invited: bool,
    /// The latest joining that the member has accepted.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub accepted_tseq: ThreadSeq,
    /// How many messages the thread has had, as of `delivered_through`.
    pub message_count: MessageNumber,
    /// The latest message, or the joining, in milliseconds since 1970: orders the list of threads.
    pub activity: u64,
    /// The tseq of the latest message. What it says is kept with the message and nowhere else, so that a list never
    /// shows what has been edited away or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<ThreadSeq>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(number: &MessageNumber) -> bool {
    *number == MessageNumber(0)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_unset(tseq: &ThreadSeq) -> bool {
    *tseq == ThreadSeq(0)
}

/// What a view shows of a thread that its inbox entries do not say. It may be newer than the entries, never older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Direct or group.
    pub kind: ThreadKind,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When the thread was created.
    pub created: Timestamp,
    /// At most [`LISTED_MEMBERS`](crate::limits::LISTED_MEMBERS) of its members.
    pub members: Vec<Member>,
    /// What holds in it for good.
    #[serde(flatten)]
    pub settings: Settings,
}

/// How far `user` has read, as far as some inbox entries of one thread say. They are those of `owner`'s inbox.
pub fn seen_by<'a>(
    user: &UserId,
    owner: &UserId,
    entries: impl IntoIterator<Item = &'a InboxEntry>,
) -> MessageNumber {
    let number = |entry: &InboxEntry| match entry {
        InboxEntry::Seen(seen) => (&seen.user == user).then_some(seen.number),
        InboxEntry::Logged(logged) if user == owner => match logged.effect {
            Effect::Message(_) => logged.own.then_some(logged.number),
            Effect::Joined(_) => Some(logged.number),
            _ => None,
        },
        InboxEntry::Logged(_) | InboxEntry::Accepted(_) => None,
    };
    entries.into_iter().filter_map(number).max().unwrap_or_default()
}

impl View {
    /// Whether another user has made the member join, and the member has neither accepted, nor read, nor written since. Such
    /// a thread does not count towards the member's limit: otherwise strangers could use it up.
    ///
    /// It follows from maxima, and from what logged entries have set. So a register that is folded twice, or late,
    /// changes nothing.
    pub fn is_pending(&self) -> bool {
        self.unasked.is_some_and(|number| self.seen <= number) && self.accepted_tseq < self.joined_tseq
    }

    /// Whether the thread is shown as an invitation.
    pub fn is_invited(&self) -> bool {
        self.invited && self.is_pending()
    }

    /// Whether the fold of `entries` of this view's thread needs [`Facts`].
    pub fn needs_facts<'a>(view: Option<&Self>, entries: impl IntoIterator<Item = &'a InboxEntry>) -> bool {
        let through = view.map_or(ThreadSeq(0), |view| view.delivered_through);
        let lacks_facts = view.is_none_or(|view| view.facts.is_none());
        let mut logged =
            entries.into_iter().filter_map(InboxEntry::logged).filter(|entry| entry.tseq > through);
        logged.any(|entry| match entry.effect {
            Effect::Created(_) | Effect::Joined(_) | Effect::Renamed | Effect::Members => true,
            Effect::Message(_) | Effect::Changed(_) | Effect::Hidden | Effect::Left => lacks_facts,
        })
    }

    /// The view once `entries` are folded into it: some of `owner`'s inbox entries of one thread, in their order.
    ///
    /// None if there is none yet, and no entry makes one. `facts` are read after the entries, where
    /// [`Self::needs_facts`] says so; a former member gets none.
    pub fn fold<'a>(
        view: Option<Self>,
        owner: &UserId,
        entries: impl IntoIterator<Item = &'a InboxEntry>,
        facts: Option<&Facts>,
    ) -> Option<Self> {
        entries.into_iter().fold(view, |view, entry| match (view, entry) {
            (None, InboxEntry::Seen(_) | InboxEntry::Accepted(_)) => None,
            (None, InboxEntry::Logged(logged)) => Some(Self::begin(logged, facts.cloned())),
            (Some(mut view), InboxEntry::Seen(seen)) => {
                if &seen.user == owner {
                    view.seen = view.seen.max(seen.number);
                } else if view.thread.is_direct() {
                    view.others_seen = view.others_seen.max(seen.number);
                }
                Some(view)
            }
            (Some(mut view), InboxEntry::Accepted(accepted)) => {
                view.accepted_tseq = view.accepted_tseq.max(accepted.joined_tseq);
                Some(view)
            }
            (Some(mut view), InboxEntry::Logged(logged)) => {
                if logged.tseq > view.delivered_through {
                    view.apply(logged, facts);
                }
                Some(view)
            }
        })
    }

    /// `views` once the entries of their owner's row are folded into them. Those whose [`Facts`] are to be read, as
    /// [`Self::needs_facts`] says, have none.
    pub fn with_row(views: Vec<Self>, owner: &UserId, row: &UserRow) -> Vec<Self> {
        let mut entries: BTreeMap<&ThreadId, Vec<&InboxEntry>> = BTreeMap::new();
        for entry in &row.entries {
            entries.entry(entry.thread()).or_default().push(entry);
        }
        let mut views: BTreeMap<ThreadId, Self> =
            views.into_iter().map(|view| (view.thread.clone(), view)).collect();
        for (thread, entries) in entries {
            let was = views.remove(thread);
            let needs_facts = Self::needs_facts(was.as_ref(), entries.iter().copied());
            let view = Self::fold(was, owner, entries, None);
            let facts = |view: &Self| view.facts.clone().filter(|_| !needs_facts);
            views.extend(view.map(|view| (thread.clone(), Self { facts: facts(&view), ..view })));
        }
        views.into_values().collect()
    }

    /// The view of a member whom `entry` is the first to tell of the thread.
    fn begin(entry: &Logged, facts: Option<Facts>) -> Self {
        let mut view = Self {
            thread: entry.thread.clone(),
            version: 0,
            facts,
            joined_tseq: entry.tseq,
            left_tseq: None,
            delivered_through: entry.tseq.previous(),
            seen: MessageNumber(0),
            others_seen: MessageNumber(0),
            unasked: None,
            invited: false,
            accepted_tseq: ThreadSeq(0),
            message_count: MessageNumber(0),
            activity: 0,
            preview: None,
        };
        view.apply(entry, None);
        view
    }

    fn apply(&mut self, entry: &Logged, facts: Option<&Facts>) {
        self.delivered_through = entry.tseq;
        self.message_count = self.message_count.max(entry.number);
        if entry.effect.is_beginning() {
            (self.unasked, self.invited) = ((!entry.own).then_some(entry.number), entry.invited);
        } else if entry.own {
            (self.unasked, self.invited) = (None, false);
        }
        match entry.effect {
            Effect::Created(at) => self.activity = self.activity.max(at),
            // A new membership: the member starts with every message seen.
            Effect::Joined(at) => {
                self.joined_tseq = entry.tseq;
                self.left_tseq = None;
                self.seen = self.seen.max(entry.number);
                self.activity = at;
                self.preview = None;
            }
            Effect::Message(at) => {
                self.activity = self.activity.max(at);
                self.preview = Some(entry.tseq);
                if entry.own {
                    self.seen = self.seen.max(entry.number);
                }
            }
            Effect::Left => self.left_tseq = Some(entry.tseq),
            Effect::Changed(_) | Effect::Hidden | Effect::Renamed | Effect::Members => {}
        }
        let is_stale = matches!(entry.effect, Effect::Joined(_) | Effect::Renamed | Effect::Members);
        if let Some(facts) = facts.filter(|_| is_stale || self.facts.is_none()) {
            self.facts = Some(facts.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{inbox_entry::Accepted, wire::Seen};

    fn owner() -> UserId {
        UserId::parse("alice").unwrap()
    }

    fn facts() -> Facts {
        let (kind, created, settings) = (ThreadKind::Group, Timestamp::UNIX_EPOCH, Settings::default());
        Facts { kind, title: None, created, members: Vec::new(), settings }
    }

    /// What may happen in a thread, from its creation on.
    #[derive(Debug, Clone)]
    enum Happens {
        Message { own: bool },
        Change,
        Rename,
        Leave,
        Join { invited: bool },
        Accept,
        Seen { own: bool, number: u64 },
    }

    /// The inbox entries of that history, as the protocol delivers them: nothing between leaving and joining.
    fn inbox(history: &[Happens]) -> Vec<InboxEntry> {
        let thread = ThreadId::group(1);
        let (mut tseq, mut number, mut is_member) = (1, 0, true);
        let mut joined = ThreadSeq(1);
        let logged = |tseq, number, own, invited, effect| {
            let (tseq, number) = (ThreadSeq(tseq), MessageNumber(number));
            InboxEntry::Logged(Logged { thread: thread.clone(), tseq, number, own, invited, effect })
        };
        let mut entries = vec![logged(1, 0, false, true, Effect::Created(1))];
        for happens in history {
            if let Happens::Seen { own, number: seen } = happens {
                let user = if *own { owner() } else { UserId::parse("bob").unwrap() };
                let seen = Seen { thread: thread.clone(), user, number: MessageNumber(seen % (number + 1)) };
                entries.extend(is_member.then_some(InboxEntry::Seen(seen)));
                continue;
            }
            if let Happens::Accept = happens {
                let accepted = Accepted { thread: thread.clone(), joined_tseq: joined };
                entries.extend(is_member.then_some(InboxEntry::Accepted(accepted)));
                continue;
            }
            tseq += 1;
            let invites = matches!(happens, Happens::Join { invited: true });
            let (own, effect) = match happens {
                Happens::Message { own } => {
                    number += 1;
                    (*own, Effect::Message(tseq))
                }
                Happens::Change => (false, Effect::Changed(ThreadSeq(1))),
                Happens::Rename => (false, Effect::Renamed),
                Happens::Leave if is_member => (true, Effect::Left),
                Happens::Join { .. } if !is_member => (false, Effect::Joined(tseq)),
                Happens::Leave | Happens::Join { .. } | Happens::Seen { .. } | Happens::Accept => {
                    (false, Effect::Members)
                }
            };
            if effect.is_beginning() {
                (is_member, joined) = (true, ThreadSeq(tseq));
            }
            if is_member {
                entries.push(logged(tseq, number, own, invites && effect.is_beginning(), effect));
            }
            is_member &= effect != Effect::Left;
        }
        entries
    }

    fn history() -> impl Strategy<Value = Vec<Happens>> {
        let one = prop_oneof![
            4 => any::<bool>().prop_map(|own| Happens::Message { own }),
            1 => Just(Happens::Change),
            1 => Just(Happens::Rename),
            1 => Just(Happens::Leave),
            1 => any::<bool>().prop_map(|invited| Happens::Join { invited }),
            1 => Just(Happens::Accept),
            2 => any::<(bool, u64)>().prop_map(|(own, number)| Happens::Seen { own, number }),
        ];
        prop::collection::vec(one, 0..40)
    }

    fn fold<'a>(view: Option<View>, entries: impl IntoIterator<Item = &'a InboxEntry>) -> Option<View> {
        View::fold(view, &owner(), entries, Some(&facts()))
    }

    proptest! {
        #[test]
        fn a_fold_in_parts_is_the_fold_of_the_whole(history in history(), cut: prop::sample::Index) {
            let inbox = inbox(&history);
            let (first, rest) = inbox.split_at(cut.index(inbox.len()));
            prop_assert_eq!(fold(fold(None, first), rest), fold(None, &inbox));
        }

        #[test]
        fn what_is_folded_twice_changes_nothing(history in history(), from: prop::sample::Index) {
            let inbox = inbox(&history);
            let whole = fold(None, &inbox);
            prop_assert_eq!(fold(whole.clone(), &inbox[from.index(inbox.len())..]), whole);
        }

        #[test]
        fn facts_are_read_only_where_an_entry_changes_them(history in history(), cut: prop::sample::Index) {
            let inbox = inbox(&history);
            let (first, rest) = inbox.split_at(cut.index(inbox.len()));
            let view = fold(None, first);
            if !View::needs_facts(view.as_ref(), rest) {
                prop_assert_eq!(View::fold(view.clone(), &owner(), rest, None), fold(view, rest));
            }
        }
    }

    #[test]
    fn a_former_member_has_a_view_without_facts_until_they_are_back() {
        use Happens::{Join, Leave, Message};
        let inbox = inbox(&[Message { own: false }, Leave, Message { own: false }, Join { invited: false }]);
        let (before, back) = inbox.split_at(2);
        let view = View::fold(None, &owner(), before, None).unwrap();
        assert_eq!((view.facts.as_ref(), view.delivered_through.0), (None, 2));
        assert!(View::needs_facts(Some(&view), back));
        assert_eq!(fold(Some(view), back), fold(None, &inbox));
    }

    #[test]
    fn a_view_says_how_far_its_owner_has_read_and_whether_they_are_there() {
        use Happens::{Join, Leave, Message};
        let folded = |history: &[Happens]| fold(None, &inbox(history)).unwrap();
        let view = folded(&[Message { own: false }, Message { own: true }, Message { own: false }]);
        assert_eq!((view.message_count.0, view.seen.0, view.preview), (3, 2, Some(ThreadSeq(4))));
        let view = folded(&[Message { own: false }, Happens::Seen { own: true, number: 1 }]);
        assert_eq!((view.seen.0, view.delivered_through.0), (1, 2));
        let view = folded(&[Message { own: false }, Happens::Seen { own: false, number: 1 }]);
        assert_eq!(view.seen.0, 0, "another member has read, not the owner");
        let view = folded(&[Leave]);
        assert_eq!((view.joined_tseq.0, view.left_tseq), (1, Some(ThreadSeq(2))));
        let view = folded(&[Leave, Message { own: false }, Join { invited: false }]);
        assert_eq!((view.joined_tseq.0, view.left_tseq, view.seen.0, view.preview), (4, None, 1, None));
    }

    #[test]
    fn an_invitation_ends_when_the_member_accepts_it_or_reads_or_does_something() {
        use Happens::{Accept, Change, Join, Leave, Message, Seen};
        let is_invited = |history: &[Happens]| {
            let view = fold(None, &inbox(history)).unwrap();
            assert!(view.is_pending() || !view.is_invited());
            view.is_invited()
        };
        let theirs = Message { own: false };
        assert!(is_invited(&[]) && is_invited(&[theirs.clone(), Change]));
        assert!(!is_invited(&[Accept]));
        assert!(!is_invited(&[Message { own: true }]));
        assert!(!is_invited(&[theirs.clone(), Seen { own: true, number: 1 }]));
        assert!(is_invited(&[theirs.clone(), Seen { own: false, number: 1 }]), "another member has read");
        // Who comes back is invited anew, whatever they have accepted before.
        let again = [theirs.clone(), Accept, Leave, theirs.clone(), Join { invited: true }];
        assert!(is_invited(&again));
        assert!(!is_invited(&[&again[..], &[theirs, Seen { own: true, number: 3 }]].concat()));
        assert!(!is_invited(&[&again[..], &[Accept]].concat()));
        // A member who is active at once has done nothing yet either.
        let joined = fold(None, &inbox(&[Leave, Join { invited: false }])).unwrap();
        assert!(joined.is_pending() && !joined.is_invited());
    }
}
