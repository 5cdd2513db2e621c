//! The history of a thread according to its log: the titles, and the membership of each user.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    event::{Body, Change, Entry, History, Role, Settings, ThreadKind},
    ids::UserId,
    sequence::{MessageNumber, ThreadSeq},
};
use jiff::Timestamp;

use crate::table::rows::{LeftBy, MemberRow, ThreadRow};

/// A log, as far as it has been read.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) kind: ThreadKind,
    pub(super) creator: UserId,
    pub(super) created: Timestamp,
    pair: Option<(UserId, UserId)>,
    pub(super) settings: Settings,
    /// Since when it has had which title.
    titles: Vec<(ThreadSeq, Option<String>)>,
    /// Who came (or went) when.
    moves: Vec<(ThreadSeq, UserId, bool)>,
    /// Every past and present member, with the latest membership.
    pub(super) standings: BTreeMap<UserId, Standing>,
}

/// The latest membership of one user.
#[derive(Debug)]
pub(super) struct Standing {
    role: Role,
    pub(super) joined: ThreadSeq,
    pub(super) joined_at: Timestamp,
    pub(super) left: Option<ThreadSeq>,
    left_by: Option<LeftBy>,
    /// The number of messages as of the joining, if another user has made them join and they have done nothing since.
    pub(super) unasked: Option<MessageNumber>,
    /// Whether that joining was an invitation.
    pub(super) invited: bool,
    /// How far the log says that they have read: up to the joining, and what they wrote themselves.
    pub(super) seen: MessageNumber,
}

impl Story {
    /// Begins with the first entry of a log; none, if it is none.
    pub(super) fn begin(first: &Entry) -> Option<Self> {
        let Body::Thread { of, title, members, settings, .. } = &first.body else { return None };
        let standing = |user: &UserId, role| Standing::begin(user, role, first);
        let pair = match (of, members.as_slice()) {
            (ThreadKind::Direct, [a, b]) => Some((a.user.clone(), b.user.clone())),
            _ => None,
        };
        Some(Self {
            kind: *of,
            creator: first.by.clone(),
            created: first.at,
            pair,
            settings: *settings,
            titles: vec![(first.tseq, title.clone())],
            moves: members.iter().map(|member| (first.tseq, member.user.clone(), true)).collect(),
            standings: members.iter().map(|m| (m.user.clone(), standing(&m.user, m.role))).collect(),
        })
    }

    /// Goes on with the next entry.
    pub(super) fn take(&mut self, entry: &Entry) {
        if let Some(author) = self.standings.get_mut(&entry.by) {
            (author.unasked, author.invited) = (None, false);
        }
        match &entry.body {
            Body::Title { title } => self.titles.push((entry.tseq, Some(title.clone()))),
            Body::Member { user, others, change: Change::Added, role, .. } => {
                for user in std::iter::once(user).chain(others) {
                    let standing = Standing::begin(user, role.unwrap_or_default(), entry);
                    self.standings.insert(user.clone(), standing);
                    self.moves.push((entry.tseq, user.clone(), true));
                }
            }
            Body::Member { user, change, role, owner, .. } => {
                if let Some(heir) = owner.as_ref().and_then(|heir| self.standings.get_mut(heir)) {
                    heir.role = Role::Owner;
                }
                if *change == Change::Role {
                    let changed = self.standings.get_mut(user).zip(*role);
                    return changed.map_or((), |(standing, role)| standing.role = role);
                }
                if let Some(standing) = self.standings.get_mut(user) {
                    standing.left = Some(entry.tseq);
                    let is_own = *change == Change::Left;
                    standing.left_by = Some(if is_own { LeftBy::Member } else { LeftBy::Owner });
                }
                self.moves.push((entry.tseq, user.clone(), false));
            }
            Body::Message(_) => {
                if let Some(standing) = self.standings.get_mut(&entry.by) {
                    standing.seen = entry.number;
                }
            }
            _ => {}
        }
    }

    /// The thread's own row.
    pub(super) fn row(&self) -> ThreadRow {
        ThreadRow {
            kind: self.kind,
            title: self.title(ThreadSeq::MAX),
            creator: self.creator.clone(),
            created: self.created,
            pair: self.pair.clone(),
            settings: self.settings,
        }
    }

    /// The title as of an entry; before the first, the one that it brings.
    pub(super) fn title(&self, tseq: ThreadSeq) -> Option<String> {
        let last = self.titles.iter().rev().find(|(since, _)| *since <= tseq.max(ThreadSeq::FIRST));
        last.and_then(|(_, title)| title.clone())
    }

    /// The members as of an entry; before the first, those that it brings.
    pub(super) fn members(&self, tseq: ThreadSeq) -> BTreeSet<&UserId> {
        let mut members = BTreeSet::new();
        for (_, user, came) in self.moves.iter().take_while(|(at, ..)| *at <= tseq.max(ThreadSeq::FIRST)) {
            if *came {
                members.insert(user)
            } else {
                members.remove(user)
            };
        }
        members
    }

    /// The role of a member.
    pub(super) fn role(&self, user: &UserId) -> Role {
        self.standings.get(user).map_or(Role::Member, |standing| standing.role)
    }
}

impl Standing {
    /// The standing of a user whom `entry` makes a member.
    fn begin(user: &UserId, role: Role, entry: &Entry) -> Self {
        let (joined, joined_at, seen) = (entry.tseq, entry.at, entry.number);
        let unasked = Some(entry.number).filter(|_| &entry.by != user);
        let invited = unasked.is_some() && entry.invites();
        Self { role, joined, joined_at, left: None, left_by: None, unasked, invited, seen }
    }

    /// Whether another one has ended the membership.
    pub(super) fn is_removed(&self) -> bool {
        self.left_by == Some(LeftBy::Owner)
    }

    /// The row of `user`, whose standing it is, in the list of members of a thread with these settings.
    pub(super) fn row(&self, user: &UserId, settings: Settings) -> MemberRow {
        MemberRow {
            user: user.clone(),
            role: self.role,
            joined_tseq: self.joined,
            left_tseq: self.left,
            left_by: self.left_by,
            is_told: self.left.is_some(),
            reads_since_joining: settings.history == History::Joined,
        }
    }
}
