//! Drives one fan-out to its end, inline or for the sweeper.
//!
//! A drive never fails the request that it runs in: what it leaves undone, the outbox row keeps.

use domain::{
    envelope::News,
    event::Entry,
    ids::{ThreadId, UserId},
    limits,
    wire::Seen,
};
use futures_util::future::join_all;
use queue::queues::Queues;
use server::clock::Clock;
use store::{error::Error, fan::Told, inbox, keys, table::Table};

/// What a fan-out needs.
#[derive(Debug, Clone)]
pub struct Fanout {
    /// Where the logs and inboxes are.
    pub table: Table,
    /// Where the members are told.
    pub queues: Queues,
    /// The time of the appends.
    pub clock: Clock,
}

impl Fanout {
    /// Drives a committed entry into the inboxes of all members.
    pub async fn logged(&self, entry: &Entry) {
        if let Err(error) = self.drive(&entry.thread, entry.tseq, Some(entry)).await {
            left(&entry.thread, &error);
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

    /// Brings every member's inbox up to `goal`, tells them, and then deletes the outbox row if
    /// it asks for no more. `fresh` is the entry at `goal`, if the caller has it.
    pub(crate) async fn drive(
        &self,
        thread: &ThreadId,
        goal: u64,
        fresh: Option<&Entry>,
    ) -> Result<(), Error> {
        // After the goal is known: whoever the entry concerns is in the list by now.
        let members = self.table.members(thread).await?;
        let news = fresh.map(inbox::news);
        // One member's failure must not keep the others waiting; it only keeps the row.
        let mut failed = None;
        for part in members.chunks(limits::INLINE_MEMBERS) {
            let now = self.clock.now();
            let fans = part.iter().map(|member| self.table.fan(&member.user, thread, goal, fresh, now));
            let (told, failure) = sift(join_all(fans).await.into_iter().filter_map(Result::transpose));
            self.post(&told, news.as_ref()).await;
            failed = failed.or(failure);
            for gone in &told {
                if let Some(left) = gone.left {
                    failed = failed.or(self.table.forget_member(thread, &gone.user, left).await.err());
                }
            }
        }
        failed.map_or(Ok(()), Err)?;
        self.table.finish(&keys::outbox(thread), goal).await
    }

    /// The same for seen: up to [`limits::SEEN_MEMBERS`] all members are told, above it only the
    /// reader's own devices.
    pub(crate) async fn drive_seen(&self, seen: &Seen) -> Result<(), Error> {
        let members = self.table.current_members(&seen.thread).await?;
        let readers: Vec<UserId> = if members.len() > limits::SEEN_MEMBERS {
            vec![seen.user.clone()]
        } else {
            members.into_iter().map(|member| member.user).collect()
        };
        let now = self.clock.now();
        let (told, failure) =
            sift(join_all(readers.iter().map(|user| self.table.fan_seen(user, seen, now))).await);
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

fn left(thread: &ThreadId, error: &Error) {
    let cause = error as &dyn std::error::Error;
    tracing::warn!(thread.id = %thread, error = cause, "a fan-out in `{thread}` is left to the sweeper");
}
