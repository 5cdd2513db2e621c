//! Rebuilds the other rows of a thread from its log.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    event::Member,
    ids::{ThreadId, UserId},
    limits,
    sequence::{MessageNumber, ThreadSeq},
};

use super::{
    Repair,
    story::{Standing, Story},
};
use crate::table::{
    error::Error,
    keys,
    rows::{MemberRow, OutboxRow, ThreadRow, ViewRow},
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
    message: Option<(ThreadSeq, i64)>,
    title: Option<String>,
    members: BTreeSet<&'a UserId>,
}

impl Repair<'_> {
    /// Repairs a thread: its log, its members and their views, and what it owes.
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
        let mut owes = false;
        let standings: Vec<_> = story.standings.iter().collect();
        for page in standings.chunks(PAGE) {
            let views = self.rows::<ViewRow>(page.iter().map(|(user, _)| keys::view(user, thread))).await?;
            for (user, standing) in page {
                let key = keys::view(user, thread);
                let was = views.get(&key).and_then(Option::as_ref);
                let fan = fan(standing, was, tail);
                let then = if fan == tail { None } else { Some(self.moment(thread, &story, fan).await?) };
                let view = view(thread, &story, standing, was, then.as_ref().unwrap_or(&now));
                self.set(&key, was, &view).await?;
                owes |= fan < standing.left.unwrap_or(tail);
                self.list(thread, (user, standing), listed.get(*user), fan).await?;
            }
        }
        self.owe(thread, tail, owes).await
    }

    /// Repairs the row of one member. A leaver keeps the row until the leaver's inbox contains the leaving.
    async fn list(
        &self,
        thread: &ThreadId,
        (user, standing): (&UserId, &Standing),
        was: Option<&MemberRow>,
        fan: ThreadSeq,
    ) -> Result<(), Error> {
        let key = keys::member(thread, user);
        match standing.left {
            Some(left) if fan >= left && was.is_some() => self.delete(&key).await,
            Some(left) if fan >= left => Ok(()),
            _ => self.set(&key, was, &standing.row(user)).await,
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

    /// Repairs the outbox row. Its goal becomes the tail, because a higher goal could never be reached. A thread whose
    /// members all have every entry needs no row. So a table full of such threads needs no sweep.
    async fn owe(&self, thread: &ThreadId, tail: ThreadSeq, owes: bool) -> Result<(), Error> {
        let key = keys::outbox(thread);
        let was: Option<OutboxRow> = self.table.get(&key).await?;
        if !owes {
            return if was.is_some() { self.delete(&key).await } else { Ok(()) };
        }
        let now = self.now.as_millisecond();
        let (since, due) = was.as_ref().map_or((now, now), |was| (was.since, was.due.min(now)));
        let row = OutboxRow { thread: thread.clone(), reader: None, upto: tail.0, since, due, reached: None };
        self.set(&key, was.as_ref(), &row).await
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
            moment.message = message.map(|message| (message.tseq, message.at.as_millisecond()));
            to = if last.number == MessageNumber(0) { ThreadSeq(0) } else { last.tseq.previous() };
        }
        Ok(moment)
    }
}

/// The repaired `fan` of a view: at most the tail or, for a leaver, the tseq of the leaving. The view of an earlier
/// membership counts as absent.
fn fan(standing: &Standing, was: Option<&ViewRow>, tail: ThreadSeq) -> ThreadSeq {
    let (before, end) = (standing.joined.previous(), standing.left.unwrap_or(tail));
    was.filter(|was| was.joined >= standing.joined).map_or(before, |was| was.fan.clamp(before, end))
}

/// The view as it should be.
fn view(
    thread: &ThreadId,
    story: &Story,
    standing: &Standing,
    was: Option<&ViewRow>,
    then: &Moment<'_>,
) -> ViewRow {
    let was = was.filter(|was| was.joined >= standing.joined);
    let message = then.message.filter(|(tseq, _)| *tseq > standing.joined);
    ViewRow {
        thread: thread.clone(),
        kind: story.kind,
        title: then.title.clone(),
        created: story.created,
        joined: standing.joined,
        left: standing.left,
        fan: then.tseq,
        // A new member starts with every message seen. Seen never exceeds the number of messages.
        seen: was.map_or(then.number, |was| was.seen.min(then.number)),
        number: then.number,
        activity: message.map_or(standing.joined_at.as_millisecond(), |(_, at)| at),
        preview: message.map(|(tseq, _)| tseq),
        members: listed(story, was, &then.members),
    }
}

/// The members that a view names: those that it names already, if they are as many as it may.
fn listed(story: &Story, was: Option<&ViewRow>, members: &BTreeSet<&UserId>) -> Vec<Member> {
    let many = members.len().min(limits::LISTED_MEMBERS);
    if let Some(was) = was {
        let named: BTreeSet<&UserId> = was.members.iter().map(|member| &member.user).collect();
        if was.members.len() == many && named.len() == many && named.is_subset(members) {
            return was.members.clone();
        }
    }
    let first = members.iter().take(many);
    first.map(|user| Member { user: (*user).clone(), role: story.role(user) }).collect()
}
