//! Runs one fan-out to its end, inline or for the sweeper.
//!
//! A run never fails the request in which it takes place. The outbox row records the work that a run leaves undone.

use std::collections::HashMap;

use domain::{
    envelope::{News, Recipient},
    event::Entry,
    failure::Failed,
    ids::{ThreadId, UserId},
    inbox_entry::InboxEntry,
    job::Job,
    limits,
    sequence::ThreadSeq,
    wire::{Me, Seen},
};
use futures_util::{
    future::{join, join_all},
    stream::{self, StreamExt as _},
};
use jiff::Timestamp;
use queue::queues::Queues;
use server::clock::Clock;
use store::{
    inbox::{
        self, Image,
        delivery::{Delivered, Parcel},
    },
    table::{
        Table,
        error::Error,
        keys,
        rows::{MemberRow, OutboxRow},
    },
};
use tokio::time::Instant;

use crate::{log, observed::Observed, post::ByQueue};

/// Rows that one delivery folds at a time.
const FOLDS: usize = 8;

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
    /// The outbox rows that this process has seen, by its own clock.
    pub(super) observed: Observed,
}

impl Fanout {
    /// A fan-out over a table and queues; `jobs` is the url of the queue of jobs.
    pub fn new(table: Table, queues: Queues, jobs: String, clock: Clock) -> Self {
        queues.learn(&jobs);
        Self { table, queues, jobs, clock, observed: Observed::default() }
    }

    /// The same process by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }
}

/// How far a run has got.
#[derive(Debug)]
pub(super) enum Run {
    /// Nothing is left for this process: every member was reached, or the goal is not visible yet and the row stays.
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
    /// Delivers a committed entry to all members, or posts the first job of a chain that does. A failure is logged, and the
    /// outbox row stays. `before` is the entry before this one, if the caller has it.
    pub async fn logged(&self, entry: &Entry, before: Option<&Entry>) {
        let fresh: Vec<Entry> = before.into_iter().chain([entry]).cloned().collect();
        self.deliver_logged(entry, &fresh).await;
    }

    /// The same for an entry that an earlier request or attempt has committed. A commit in a direct thread leaves no outbox
    /// row, and its writer may have died before it told the members. So this request tries twice, and then leaves a row.
    pub async fn replayed(&self, entry: &Entry) {
        let fresh = std::slice::from_ref(entry);
        if !self.deliver_logged(entry, fresh).await && !self.deliver_logged(entry, fresh).await {
            self.owe(&entry.thread, None, entry.tseq.0).await;
        }
    }

    /// Whether everything was delivered, or a job does it.
    async fn deliver_logged(&self, entry: &Entry, fresh: &[Entry]) -> bool {
        match self.run(&entry.thread, entry.tseq, fresh).await {
            Ok(Run::Complete) => return true,
            Ok(Run::Chain(first)) => match self.queues.post(&self.jobs, first.encode()).await {
                Ok(()) => return true,
                Err(error) => log_deferred(&entry.thread, &error),
            },
            Err(error) => log_deferred(&entry.thread, &error),
        }
        false
    }

    /// Tells the members of a direct thread, whose inboxes have the entry already. If a post fails, an outbox row keeps
    /// the delivery.
    pub async fn tell(&self, entry: &Entry, delivered: Vec<Delivered>) {
        if !self.post(&delivered, Some(&inbox::news(entry))).await {
            self.owe(&entry.thread, None, entry.tseq.0).await;
        }
        self.fold(delivered).await;
    }

    /// Delivers seen to all members.
    pub async fn seen(&self, seen: &Seen) {
        if let Err(error) = self.run_seen(seen).await {
            log_deferred(&seen.thread, &error);
        }
    }

    /// Tells of seen those whose inboxes have it already.
    pub async fn tell_seen(&self, seen: &Seen, delivered: Vec<Delivered>) {
        if !self.post(&delivered, Some(&inbox::seen_news(seen))).await {
            self.owe(&seen.thread, Some(&seen.user), seen.number.0).await;
        }
        self.fold(delivered).await;
    }

    /// Posts `me` to the member's own queues. If a post is lost, the head check finds the event.
    pub async fn tell_me(&self, me: &Me, delivered: Delivered) {
        let delivered = vec![delivered];
        self.post(&delivered, Some(&inbox::me_news(me))).await;
        self.fold(delivered).await;
    }

    /// Tells the edges of `user` to read the user row, which has changed in another way than by an event.
    pub async fn look(&self, user: &UserId, image: &Image) {
        let to = Recipient { user: user.as_str(), place: None };
        let queues = image.row.held_queues().map(|queue| (queue, vec![to])).collect();
        self.post_to(queues, None).await;
    }

    async fn owe(&self, thread: &ThreadId, reader: Option<&UserId>, target: u64) {
        let row = OutboxRow::new(thread.clone(), reader.cloned(), target, self.clock.now());
        if let Err(error) = self.table.owe(&row).await {
            log("could not keep a delivery for later", Some(&row.thread), &error);
        }
    }

    /// Folds the rows that have got so many entries. What fails is tried by a later writer.
    async fn fold(&self, delivered: Vec<Delivered>) {
        let now = self.clock.now();
        let folds = delivered.into_iter().filter_map(|delivered| Some((delivered.user, delivered.to_fold?)));
        let folds = folds.map(|(user, row)| async move {
            if let Err(error) = self.table.fold(&user, &row, now).await {
                log("could not fold a user row, so a later writer does", None, &error);
            }
        });
        stream::iter(folds.collect::<Vec<_>>()).buffer_unordered(FOLDS).collect::<()>().await;
    }

    /// Delivers the log up to `goal` to every member, then deletes the outbox row, unless its target was raised
    /// meanwhile. For a large thread, returns the first job of a chain instead. `fresh` is the end of the log up to the
    /// goal, if the caller has it.
    pub(super) async fn run(
        &self,
        thread: &ThreadId,
        goal: ThreadSeq,
        fresh: &[Entry],
    ) -> Result<Run, Error> {
        let Some(fresh) = self.settled_goal(thread, goal, fresh).await? else { return Ok(Run::Complete) };
        // Read after the goal is settled, so that the list contains every recipient of the entry.
        let page = self.table.members_after(thread, None, limits::INLINE_MEMBERS).await?;
        if page.next.is_some() {
            return Ok(Run::Chain(Job::first(thread.clone(), goal)));
        }
        let pace = Pace { at_once: limits::INLINE_MEMBERS, until: None };
        let progress = self.deliver(&page.members, (thread, goal), &fresh, pace).await;
        progress.failure.map_or(Ok(()), Err)?;
        self.table.complete(&keys::outbox(thread), goal.0).await?;
        Ok(Run::Complete)
    }

    /// The end of the log up to a goal that is settled; none while the goal is not visible: then its writer is not done,
    /// and the outbox row stays.
    pub(super) async fn settled_goal(
        &self,
        thread: &ThreadId,
        goal: ThreadSeq,
        fresh: &[Entry],
    ) -> Result<Option<Vec<Entry>>, Error> {
        let fresh = match fresh {
            [] => Vec::from_iter(self.table.entry(thread, goal).await?),
            known => known.to_vec(),
        };
        if let Some(last) = fresh.last() {
            self.table.settle(last).await?;
        }
        Ok(Some(fresh).filter(|fresh| !fresh.is_empty()))
    }

    /// Appends the log up to `goal` to the inboxes of `members`, in the order of the list, then posts to their queues.
    /// Then it notes which former members have got everything, and folds rows.
    pub(super) async fn deliver(
        &self,
        members: &[MemberRow],
        (thread, goal): (&ThreadId, ThreadSeq),
        fresh: &[Entry],
        pace: Pace,
    ) -> Progress {
        let parcel = Parcel { thread, goal, fresh, now: self.clock.now() };
        let in_time = |i: &usize| *i == 0 || pace.until.is_none_or(|until| Instant::now() < until);
        let users: Vec<&UserId> = members.iter().map(|member| &member.user).collect();
        let positions = if is_hot(fresh, parcel.now) {
            Ok(Vec::new())
        } else {
            self.table.positions(&users, thread).await
        };
        let mut positions = match positions {
            Ok(positions) => positions.into_iter(),
            Err(error) => return Progress { passed: members.len(), failure: Some(error) },
        };
        let deliveries = (0..members.len()).take_while(in_time).map(|i| {
            let position = positions.next().flatten();
            self.table.deliver_to_inbox(&members[i], parcel, position)
        });
        let done: Vec<_> = stream::iter(deliveries).buffered(pace.at_once).collect().await;
        let passed = done.len();
        // One member's failure must not keep the others waiting; it only keeps the row.
        let (delivered, mut failure) = partition_results(done);
        let news = fresh.last().map(inbox::news);
        // The content of the entry may be later than a leaving: an edge reads it for an ex-member, and withholds that.
        let (gone, told): (Vec<_>, Vec<_>) = delivered.into_iter().partition(|to| to.left.is_some());
        let (is_told, is_gone_told) = join(self.post(&told, news.as_ref()), self.post(&gone, None)).await;
        if !is_told || !is_gone_told {
            failure = failure.or_else(|| Some(Error::Unavailable("an envelope could not be posted".into())));
        }
        let is_done = |member: &&MemberRow| is_gone_told && gone.iter().any(|gone| gone.user == member.user);
        for member in members.iter().filter(is_done) {
            failure = failure.or(self.table.forget_member(thread, member).await.err());
        }
        self.fold(told.into_iter().chain(gone).collect()).await;
        Progress { passed, failure }
    }

    /// Delivers seen. A thread of more than [`limits::SEEN_MEMBERS`] delivers it to the reader's own devices only, and
    /// they have it already.
    pub(super) async fn run_seen(&self, seen: &Seen) -> Result<(), Error> {
        // Wait until the reader's own row shows the mark. A recipient may fold it away, and then read that row.
        let mut own = self.table.image(&seen.user).await?;
        if !own.row.entries.contains(&InboxEntry::Seen(seen.clone())) {
            self.table.await_row(&seen.user).await?;
            own = self.table.image(&seen.user).await?;
        }
        let members = self.table.current_members(&seen.thread).await?;
        let others = members.into_iter().map(|member| member.user).filter(|user| user != &seen.user);
        let others: Vec<UserId> = others.collect();
        let now = self.clock.now();
        let (mut delivered, failure) = partition_results(
            join_all(others.iter().map(|user| self.table.deliver_seen(user, seen, now))).await,
        );
        let to_fold = own.row.is_fold_due(1).then(|| own.row.clone());
        delivered.push(Delivered { to_fold, ..Delivered::hint(&seen.user, own) });
        let posted = self.post(&delivered, Some(&inbox::seen_news(seen))).await;
        self.fold(delivered).await;
        failure.map_or(Ok(()), Err)?;
        if !posted {
            return Err(Error::Unavailable("an envelope could not be posted".into()));
        }
        self.table.complete(&keys::seen_outbox(&seen.thread, &seen.user), seen.number.0).await
    }

    /// Posts an event that no inbox keeps to those of `users`, at most 100, who are connected and have not blocked `sender`.
    pub async fn ephemeral(&self, sender: &UserId, users: &[UserId], news: &News) {
        let images = self.table.images(users, false).await.unwrap_or_else(|error| {
            log("could not look up who is connected, so nobody is told", None, &error);
            HashMap::new()
        });
        let mut queues = ByQueue::new();
        for (user, image) in users.iter().filter_map(|user| Some((user, images.get(user)?))) {
            if image.row.has_blocked(sender) {
                continue;
            }
            for queue in image.row.held_queues() {
                queues.entry(queue).or_default().push(Recipient { user: user.as_str(), place: None });
            }
        }
        self.post_to(queues, Some(news)).await;
    }
}

/// Whether a thread's last entry but one is so young that members' rows are likely to have it: then an append need not
/// read first. It only saves reads, so the clocks of two writers may differ.
fn is_hot(fresh: &[Entry], now: Timestamp) -> bool {
    match fresh {
        [.., before, _] => now.duration_since(before.at).unsigned_abs() < limits::HOT_THREAD,
        _ => false,
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
