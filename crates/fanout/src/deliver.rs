//! Runs one fan-out to its end, inline or for the sweeper.
//!
//! A run never fails the request in which it takes place. The outbox row records the work that a run leaves undone.

use domain::{
    envelope::News,
    event::Entry,
    failure::Failed,
    ids::{ThreadId, UserId},
    job::Job,
    limits,
    sequence::ThreadSeq,
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
    inbox::{self, delivery::Delivered},
    table::{Table, error::Error, keys, rows::MemberRow},
};
use tokio::time::Instant;

use crate::log;

/// What a fan-out needs.
#[derive(Debug, Clone)]
pub struct Fanout {
    /// Where the logs and inboxes are.
    pub table: Table,
    /// Where the members are notified.
    pub queues: Queues,
    /// The url of the queue of jobs.
    pub jobs: String,
    /// The time of the appends.
    pub clock: Clock,
}

/// How far a run has got.
#[derive(Debug)]
pub(super) enum Run {
    /// Every member was reached.
    Complete,
    /// The thread is too large. A chain must begin with this job.
    Chain(Job),
}

/// How many members are delivered to at once, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Members at a time.
    pub at_once: usize,
    /// After this time, no further member is started, except the first.
    pub until: Option<Instant>,
}

/// How far a delivery to some members has got.
#[derive(Debug)]
pub(super) struct Progress {
    /// How many members were tried, from the first one on, including those that failed.
    pub passed: usize,
    /// The first failure.
    pub failure: Option<Error>,
}

impl Fanout {
    /// Delivers a committed entry to all members, or posts the first job of a chain that does.
    pub async fn logged(&self, entry: &Entry) {
        match self.run(&entry.thread, entry.tseq, Some(entry)).await {
            Ok(Run::Complete) => {}
            Ok(Run::Chain(first)) => {
                if let Err(error) = self.queues.post(&self.jobs, first.encode()).await {
                    log_deferred(&entry.thread, &error);
                }
            }
            Err(error) => log_deferred(&entry.thread, &error),
        }
    }

    /// Notifies the members of a direct thread, whose inboxes have the entry already.
    pub async fn whole(&self, entry: &Entry, delivered: &[Delivered]) {
        self.post(delivered, Some(&inbox::news(entry))).await;
    }

    /// Delivers seen to all members.
    pub async fn seen(&self, seen: &Seen) {
        if let Err(error) = self.run_seen(seen).await {
            log_deferred(&seen.thread, &error);
        }
    }

    /// Notifies the members of a direct thread, whose inboxes have seen already.
    pub async fn seen_whole(&self, seen: &Seen, delivered: &[Delivered]) {
        self.post(delivered, Some(&inbox::seen_news(seen))).await;
    }

    /// Delivers the log up to `goal` to every member, then deletes the outbox row, unless its goal was raised
    /// meanwhile. For a large thread, returns the first job of a chain instead. `fresh` is the entry at `goal`, if the
    /// caller has it.
    pub(super) async fn run(
        &self,
        thread: &ThreadId,
        goal: ThreadSeq,
        fresh: Option<&Entry>,
    ) -> Result<Run, Error> {
        // Read after the goal, so that the list contains every recipient of the entry.
        let page = self.table.members_after(thread, None, limits::INLINE_MEMBERS).await?;
        if page.next.is_some() {
            return Ok(Run::Chain(Job::first(thread.clone(), goal)));
        }
        let pace = Pace { at_once: limits::INLINE_MEMBERS, until: None };
        let progress = self.deliver(&page.members, (thread, goal), fresh, pace).await;
        progress.failure.map_or(Ok(()), Err)?;
        self.table.complete(&keys::outbox(thread), goal.0).await?;
        Ok(Run::Complete)
    }

    /// Appends the log up to `goal` to the inboxes of `members`, in the order of the list, then posts to their queues.
    /// Then deletes the member row of a leaver whose inbox contains the leaving.
    pub(super) async fn deliver(
        &self,
        members: &[MemberRow],
        (thread, goal): (&ThreadId, ThreadSeq),
        fresh: Option<&Entry>,
        pace: Pace,
    ) -> Progress {
        let held = if mistake!(LeasesBeforeAppend) { self.with_leases(members).await } else { Vec::new() };
        let now = self.clock.now();
        let in_time = |i: &usize| *i == 0 || pace.until.is_none_or(|until| Instant::now() < until);
        let fans = (0..members.len()).take_while(in_time).map(|i| {
            self.table.deliver_to_inbox((&members[i].user, members[i].joined), thread, goal, fresh, now)
        });
        let fanned: Vec<_> = stream::iter(fans).buffered(pace.at_once).collect().await;
        let passed = fanned.len();
        // One member's failure must not keep the others waiting; it only keeps the row.
        let (mut delivered, mut failure) = partition_results(fanned);
        delivered.retain(|delivered| !mistake!(LeasesBeforeAppend) || held.contains(&delivered.user));
        self.post(&delivered, fresh.map(inbox::news).as_ref()).await;
        for gone in &delivered {
            if let Some(left) = gone.left {
                failure = failure.or(self.table.forget_member(thread, &gone.user, left).await.err());
            }
        }
        Progress { passed, failure }
    }

    /// The members with a lease holder, for a planted mistake.
    async fn with_leases(&self, members: &[MemberRow]) -> Vec<UserId> {
        let leases = join_all(members.iter().map(|member| self.table.leases(&member.user))).await;
        let held = members.iter().zip(leases).filter(|(_, leases)| {
            leases.as_ref().is_ok_and(|leases| leases.iter().any(|lease| lease.holder.is_some()))
        });
        held.map(|(member, _)| member.user.clone()).collect()
    }

    /// Delivers seen. A thread of more than [`limits::SEEN_MEMBERS`] delivers it to the reader's own devices only.
    pub(super) async fn run_seen(&self, seen: &Seen) -> Result<(), Error> {
        let members = self.table.current_members(&seen.thread).await?;
        let readers: Vec<UserId> = if members.len() > limits::SEEN_MEMBERS {
            vec![seen.user.clone()]
        } else {
            members.into_iter().map(|member| member.user).collect()
        };
        let now = self.clock.now();
        let (delivered, failure) = partition_results(
            join_all(readers.iter().map(|user| self.table.deliver_seen(user, seen, now))).await,
        );
        self.post(&delivered, Some(&inbox::seen_news(seen))).await;
        failure.map_or(Ok(()), Err)?;
        self.table.complete(&keys::seen_outbox(&seen.thread, &seen.user), seen.number.0).await
    }

    /// Posts an event that no inbox keeps to the connected ones of `users`.
    pub async fn ephemeral(&self, users: &[UserId], news: &News) {
        let to = users.iter().map(|user| (user, None)).collect();
        self.post_to(to, Some(news)).await;
    }
}

/// The successes, and the first failure.
fn partition_results(
    fanned: impl IntoIterator<Item = Result<Delivered, Error>>,
) -> (Vec<Delivered>, Option<Error>) {
    let (mut delivered, mut failure) = (Vec::new(), None);
    for each in fanned {
        match each {
            Ok(one) => delivered.push(one),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    (delivered, failure)
}

/// Logs that the delivery is left to the outbox row.
pub(super) fn log_deferred(thread: &ThreadId, error: &impl Failed) {
    log("a fan-out is left to the sweeper", Some(thread), error);
}
