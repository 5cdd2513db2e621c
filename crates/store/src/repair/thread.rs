//! Rebuilds the other rows of a thread from its log: the thread, its members, and their views.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    event::{Member, Settings},
    ids::{ThreadId, UserId},
    limits,
    sequence::{MessageNumber, ThreadSeq},
    view::{Facts, View},
};

use super::{
    Repair,
    story::{Standing, Story},
};
use crate::table::{
    error::Error,
    keys,
    rows::{LeftBy, MemberRow, ThreadRow},
};

/// Views that are read at a time: a `BatchGetItem` takes 100 keys.
const PAGE: usize = 100;
/// Entries that are read at a time in search of the latest message.
const BACK: usize = 10;

/// A thread as of one of its entries.
#[derive(Debug)]
struct Moment<'a> {
    tseq: ThreadSeq,
    number: MessageNumber,
    /// The latest message: its tseq and its time.
    message: Option<(ThreadSeq, u64)>,
    title: Option<String>,
    members: BTreeSet<&'a UserId>,
}

impl Repair<'_> {
    /// Repairs a thread: its log, its members and their views.
    pub(super) async fn thread(&self, thread: &ThreadId) -> Result<(), Error> {
        let Some(tail) = self.table.tail(thread).await?.map(|tail| tail.tseq) else {
            return self.never_was(thread).await;
        };
        let story = self.log(thread, tail).await?;
        let key = keys::thread(thread);
        let was = self.rows::<ThreadRow>([key.clone()]).await?.remove(&key).flatten();
        self.set(&key, was.as_ref(), &story.row()).await?;
        let listed: BTreeMap<UserId, MemberRow> =
            self.table.members(thread).await?.into_iter().map(|row| (row.user.clone(), row)).collect();
        for stranger in listed.keys().filter(|user| !story.standings.contains_key(*user)) {
            self.delete(&keys::member(thread, stranger)).await?;
        }
        let now = self.moment(thread, &story, tail).await?;
        let standings: Vec<_> = story.standings.iter().collect();
        for page in standings.chunks(PAGE) {
            let views = self.rows::<View>(page.iter().map(|(user, _)| keys::view(user, thread))).await?;
            let was_of = |user: &UserId| views.get(&keys::view(user, thread)).and_then(Option::as_ref);
            for (user, standing) in page {
                let key = keys::view(user, thread);
                let was = was_of(user);
                // One of two may have been told of a mark that the rows of the one who made it lack.
                let other = page.iter().find(|(other, _)| thread.is_direct() && other != user);
                let other = other.map(|(other, standing)| (was_of(other), *standing));
                let then = match standing.left {
                    Some(left) => Some(self.moment(thread, &story, left).await?),
                    None => None,
                };
                let then = then.as_ref().unwrap_or(&now);
                let seen = seen_of((was, standing), other.and_then(|(was, _)| was));
                let others_seen = other.map(|other| seen_of(other, was)).unwrap_or_default();
                let view = view(thread, &story, standing, was, (then, seen, others_seen));
                self.set(&key, was, &view).await?;
                self.list(thread, story.settings, (user, standing), listed.get(*user)).await?;
            }
        }
        Ok(())
    }

    /// Repairs the row of one member. Nothing is owed after a repair: the row of one who was removed goes.
    async fn list(
        &self,
        thread: &ThreadId,
        settings: Settings,
        (user, standing): (&UserId, &Standing),
        was: Option<&MemberRow>,
    ) -> Result<(), Error> {
        let key = keys::member(thread, user);
        match (standing.is_removed(), was) {
            (true, Some(_)) => self.delete(&key).await,
            (true, None) => Ok(()),
            (false, was) => {
                // The log does not say that a user who has left allows members to add them again.
                let has_allowed = was.is_some_and(|was| {
                    was.left_by == Some(LeftBy::Allowed) && was.left_tseq == standing.left
                });
                let row = standing.row(user, settings);
                let left_by = if has_allowed { Some(LeftBy::Allowed) } else { row.left_by };
                self.set(&key, was, &MemberRow { left_by, ..row }).await
            }
        }
    }

    /// Of the creation of a thread nothing is left but what stands beside its log.
    async fn never_was(&self, thread: &ThreadId) -> Result<(), Error> {
        for member in self.table.members(thread).await? {
            self.delete(&keys::member(thread, &member.user)).await?;
        }
        let key = keys::thread(thread);
        if self.table.get::<ThreadRow>(&key).await?.is_some() { self.delete(&key).await } else { Ok(()) }
    }

    async fn moment<'a>(
        &self,
        thread: &ThreadId,
        story: &'a Story,
        tseq: ThreadSeq,
    ) -> Result<Moment<'a>, Error> {
        let (title, members) = (story.title(tseq), story.members(tseq));
        let mut moment = Moment { tseq, number: MessageNumber(0), message: None, title, members };
        let mut to = tseq;
        while to > ThreadSeq(0) && moment.message.is_none() {
            let entries = self.table.latest(thread, to, BACK).await?;
            let Some((first, last)) = entries.first().zip(entries.last()) else { break };
            if to == tseq {
                moment.number = first.number;
            }
            let message = entries.iter().find(|entry| entry.is_message());
            moment.message = message.map(|message| {
                let at = u64::try_from(message.at.as_millisecond()).unwrap_or_default();
                (message.tseq, at)
            });
            to = if last.number == MessageNumber(0) { ThreadSeq(0) } else { last.tseq.previous() };
        }
        Ok(moment)
    }
}

/// How far a member has read: as far as the member's own view, the log, or in a thread of two the other's view says.
fn seen_of((was, standing): (Option<&View>, &Standing), other: Option<&View>) -> MessageNumber {
    let own = was.map(|was| was.seen).unwrap_or_default();
    let told = other.map(|other| other.others_seen).unwrap_or_default();
    own.max(told).max(standing.seen)
}

/// The view as it should be: the fold of the whole log, as far as the member may know it.
fn view(
    thread: &ThreadId,
    story: &Story,
    standing: &Standing,
    was: Option<&View>,
    (then, seen, others_seen): (&Moment<'_>, MessageNumber, MessageNumber),
) -> View {
    let message = then.message.filter(|(tseq, _)| *tseq > standing.joined);
    let joined_at = u64::try_from(standing.joined_at.as_millisecond()).unwrap_or_default();
    let view = View {
        thread: thread.clone(),
        version: was.map_or(0, |was| was.version),
        facts: Some(Facts {
            kind: story.kind,
            title: then.title.clone(),
            created: story.created,
            members: listed(story, was, &then.members),
            settings: story.settings,
        }),
        joined_tseq: standing.joined,
        left_tseq: standing.left,
        delivered_through: then.tseq,
        // Seen never exceeds the number of messages.
        seen: seen.min(then.number),
        others_seen: others_seen.min(then.number),
        unasked: standing.unasked,
        invited: standing.invited,
        // A log that has lost its end must not have accepted what will be there.
        accepted_tseq: was.map(|was| was.accepted_tseq.min(then.tseq)).unwrap_or_default(),
        message_count: then.number,
        activity: message.map_or(joined_at, |(_, at)| at),
        preview: message.map(|(tseq, _)| tseq),
    };
    // A write of a view raises its version.
    if was == Some(&view) { view } else { View { version: view.version + 1, ..view } }
}

/// The members that a view names: those that it names already, if they are as many as it may.
fn listed(story: &Story, was: Option<&View>, members: &BTreeSet<&UserId>) -> Vec<Member> {
    let many = members.len().min(limits::LISTED_MEMBERS);
    if let Some(was) = was.and_then(|was| was.facts.as_ref()) {
        let named: BTreeSet<&UserId> = was.members.iter().map(|member| &member.user).collect();
        let has_role = |member: &Member| story.role(&member.user) == member.role;
        let is_right = named.is_subset(members) && was.members.iter().all(has_role);
        if was.members.len() == many && named.len() == many && is_right {
            return was.members.clone();
        }
    }
    let first = members.iter().take(many);
    first.map(|user| Member { user: (*user).clone(), role: story.role(user) }).collect()
}
