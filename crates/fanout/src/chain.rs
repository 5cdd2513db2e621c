//! A chain of jobs. Each link delivers to the next members, in key order, up to the goal of the chain.
//!
//! A job is only a hint: a duplicate, late, lost or invented job does no harm. The outbox row decides whether work
//! remains. Each member's view decides which entries the member lacks.

use domain::{
    event::{Body, Entry},
    job::Job,
    limits,
    rate::Class,
};
use store::{outbox::Claim, table::keys};
use tokio::time::Instant;

use crate::{
    Error,
    deliver::{Fanout, Pace},
    log,
};

impl Fanout {
    /// Runs the link of a job, until about `until`, and posts the next job.
    pub(super) async fn work(&self, job: &Job, until: Instant) -> Result<(), Error> {
        match self.link(job, until).await? {
            Some(next) => self.hand_on(next, until).await,
            None => Ok(()),
        }
    }

    /// Posts a job. If the post fails, runs the job here, because a fan-out must not depend on the queue.
    pub(super) async fn hand_on(&self, mut job: Job, until: Instant) -> Result<(), Error> {
        while let Err(error) = self.queues.post(&self.jobs, job.encode()).await {
            if Instant::now() >= until {
                return Err(error.into());
            }
            log("could not post a job, so it goes on here", Some(&job.thread), &error);
            match self.link(&job, until).await? {
                Some(next) => job = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Runs one link. Returns the next job, unless the chain is complete.
    ///
    /// Even after its deadline, a link delivers to one member, so that every link of a chain makes progress.
    async fn link(&self, job: &Job, until: Instant) -> Result<Option<Job>, Error> {
        let until = until.min(Instant::now() + limits::LINK_TIME);
        let claim = self.table.claim(job).await?;
        if claim == Claim::Nothing {
            tracing::debug!(thread.id = %job.thread, "nothing is left of the job to deliver `{}` up to {}", job.thread, job.goal);
            return Ok(None);
        }
        // Settled at each link, and read before the members, as in every run.
        let Some(fresh) = self.settled_goal(&job.thread, job.goal, &[]).await? else { return Ok(None) };
        let page = self.table.members_after(&job.thread, job.after.as_ref(), limits::INLINE_MEMBERS).await?;
        let pace = Pace { at_once: limits::LINK_AT_ONCE, until: Some(until) };
        let progress = self.deliver(&page.members, (&job.thread, job.goal), &fresh, pace).await;
        let missed = job.missed || progress.failure.is_some();
        if let Some(error) = &progress.failure {
            super::deliver::log_deferred(&job.thread, error);
        }
        // Once for each page: a copy of the job and a link that goes on do not count again.
        if job.after.is_some() && claim == Claim::Acquired && progress.passed == page.members.len() {
            self.weigh(&fresh).await;
        }
        let reached = match page.members.get(progress.passed) {
            // Out of time.
            Some(_) => progress.passed.checked_sub(1).map(|last| page.members[last].user.clone()),
            None => page.next,
        };
        if let Some(after) = reached {
            return Ok(Some(Job { after: Some(after), missed, ..job.clone() }));
        }
        if claim == Claim::Acquired && !missed {
            self.table.complete(&keys::outbox(&job.thread), job.goal.0).await?;
        }
        Ok(None)
    }

    /// Charges the inboxes of one more link to the user who wrote the entry, as one more request.
    async fn weigh(&self, fresh: &[Entry]) {
        let Some(entry) = fresh.last() else { return };
        let class = if matches!(entry.body, Body::Message(_)) { Class::Send } else { Class::Change };
        self.table.weigh(&entry.by, class, self.clock.now()).await;
    }
}
