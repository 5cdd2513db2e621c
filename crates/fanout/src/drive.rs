//! Drives one fan-out to its end, inline or for the sweeper.
//!
//! A drive never fails the request in which it runs. The outbox row records the work that a drive leaves undone.

use domain::{
    envelope::News,
    event::Entry,
    failure::Failed,
    ids::{ThreadId, UserId},
    job::Job,
    limits,
    wire::Seen,
};
use futures_util::{
    future::join_all,
    stream::{self, StreamExt as _},
};
use mistakes::mistake;
use queue::queues::Queues;
use server::clock::Clock;
use store::{
    inbox::{self, delivery::Told},
    table::{Table, error::Error, keys, rows::MemberRow},
};
use tokio::time::Instant;

use crate::log;

/// What a fan-out needs.
#[derive(Debug, Clone)]
pub struct Fanout {
    /// Where the logs and inboxes are.
    pub table: Table,
    /// Where the members are told.
    pub queues: Queues,
    /// The url of the queue of jobs.
    pub jobs: String,
    /// The time of the appends.
    pub clock: Clock,
}

/// How far a drive has got.
#[derive(Debug)]
pub(super) enum Driven {
    /// To its end.
    Done,
    /// Not begun: the thread is too large, and a chain has to begin with this job.
    TooMany(Job),
}

/// How fast members are brought up to a goal, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Members at a time.
    pub at_once: usize,
    /// When to begin with no more of them than the first.
    pub until: Option<Instant>,
}

/// What has become of some members.
#[derive(Debug)]
pub(super) struct Brought {
    /// How many have had their turn, from the first one on.
    pub passed: usize,
    /// The first failure.
    pub failure: Option<Error>,
}

impl Fanout {
    /// Drives a committed entry into the inboxes of all members, or begins a chain that does.
    pub async fn logged(&self, entry: &Entry) {
        match self.drive(&entry.thread, entry.tseq, Some(entry)).await {
            Ok(Driven::Done) => {}
            Ok(Driven::TooMany(first)) => {
                if let Err(error) = self.queues.post(&self.jobs, first.encode()).await {
                    left(&entry.thread, &error);
                }
            }
            Err(error) => left(&entry.thread, &error),
        }
    }

    /// Tells the members of a direct thread, whose inboxes have the entry already.
    pub async fn whole(&self, entry: &Entry, told: &[Told]) {
        self.post(told, Some(&inbox::news(entry))).await;
    }

    /// Drives seen into the inboxes of all members.
    pub async fn seen(&self, seen: &Seen) {
        if let Err(error) = self.drive_seen(seen).await {
            left(&seen.thread, &error);
        }
    }

    /// Tells the members of a direct thread, whose inboxes have seen already.
    pub async fn seen_whole(&self, seen: &Seen, told: &[Told]) {
        self.post(told, Some(&inbox::seen_news(seen))).await;
    }

    /// Delivers the log up to `goal` to every member, then deletes the outbox row, unless its goal was raised
    /// meanwhile. For a large thread, returns the first job of a chain instead. `fresh` is the entry at `goal`, if the
    /// caller has it.
    pub(super) async fn drive(
        &self,
        thread: &ThreadId,
        goal: u64,
        fresh: Option<&Entry>,
    ) -> Result<Driven, Error> {
        // Read after the goal, so that the list contains every recipient of the entry.
        let page = self.table.members_after(thread, None, limits::INLINE_MEMBERS).await?;
        if page.next.is_some() {
            return Ok(Driven::TooMany(Job::first(thread.clone(), goal)));
        }
        let pace = Pace { at_once: limits::INLINE_MEMBERS, until: None };
        let brought = self.bring(&page.members, (thread, goal), fresh, pace).await;
        brought.failure.map_or(Ok(()), Err)?;
        self.table.finish(&keys::outbox(thread), goal).await?;
        Ok(Driven::Done)
    }

    /// Appends the log up to `goal` to the inboxes of `members`, in the order of the list, then posts to their queues.
    /// Then deletes the member row of a leaver whose inbox contains the leaving.
    pub(super) async fn bring(
        &self,
        members: &[MemberRow],
        (thread, goal): (&ThreadId, u64),
        fresh: Option<&Entry>,
        pace: Pace,
    ) -> Brought {
        let held = if mistake!(LeasesBeforeAppend) { self.with_leases(members).await } else { Vec::new() };
        let now = self.clock.now();
        let in_time = |i: &usize| *i == 0 || pace.until.is_none_or(|until| Instant::now() < until);
        let fans = (0..members.len())
            .take_while(in_time)
            .map(|i| self.table.deliver((&members[i].user, members[i].joined), thread, goal, fresh, now));
        let fanned: Vec<_> = stream::iter(fans).buffered(pace.at_once).collect().await;
        let passed = fanned.len();
        // One member's failure must not keep the others waiting; it only keeps the row.
        let (mut told, mut failure) = sift(fanned);
        told.retain(|told| !mistake!(LeasesBeforeAppend) || held.contains(&told.user));
        self.post(&told, fresh.map(inbox::news).as_ref()).await;
        for gone in &told {
            if let Some(left) = gone.left {
                failure = failure.or(self.table.forget_member(thread, &gone.user, left).await.err());
            }
        }
        Brought { passed, failure }
    }

    /// The members whose queues somebody receives from, for a planted mistake.
    async fn with_leases(&self, members: &[MemberRow]) -> Vec<UserId> {
        let leases = join_all(members.iter().map(|member| self.table.leases(&member.user))).await;
        let held = members.iter().zip(leases).filter(|(_, leases)| {
            leases.as_ref().is_ok_and(|leases| leases.iter().any(|lease| lease.holder.is_some()))
        });
        held.map(|(member, _)| member.user.clone()).collect()
    }

    /// The same for seen: up to [`limits::SEEN_MEMBERS`] all members are told, above it only the
    /// reader's own devices.
    pub(super) async fn drive_seen(&self, seen: &Seen) -> Result<(), Error> {
        let members = self.table.current_members(&seen.thread).await?;
        let readers: Vec<UserId> = if members.len() > limits::SEEN_MEMBERS {
            vec![seen.user.clone()]
        } else {
            members.into_iter().map(|member| member.user).collect()
        };
        let now = self.clock.now();
        let (told, failure) =
            sift(join_all(readers.iter().map(|user| self.table.deliver_seen(user, seen, now))).await);
        self.post(&told, Some(&inbox::seen_news(seen))).await;
        failure.map_or(Ok(()), Err)?;
        self.table.finish(&keys::seen_outbox(&seen.thread, &seen.user), seen.number).await
    }

    /// An event that no inbox keeps, for those of `users` who are connected.
    pub async fn ephemeral(&self, users: &[UserId], news: &News) {
        let to = users.iter().map(|user| (user, None)).collect();
        self.post_to(to, Some(news)).await;
    }
}

/// Those who may be told, and the first failure of the others.
fn sift(fanned: impl IntoIterator<Item = Result<Told, Error>>) -> (Vec<Told>, Option<Error>) {
    let (mut told, mut failure) = (Vec::new(), None);
    for each in fanned {
        match each {
            Ok(one) => told.push(one),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    (told, failure)
}

/// Says that the outbox row has to see to it.
pub(super) fn left(thread: &ThreadId, error: &impl Failed) {
    log("a fan-out is left to the sweeper", Some(thread), error);
}
