//! The worker: receives jobs and works them, where no Lambda does.

use std::time::Duration;

use domain::{job::Job, limits};
use futures_util::future::join_all;
use queue::queues::Received;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{deliver::Fanout, log};

/// Receives that wait side by side, so that a slow link does not keep other threads waiting.
pub const RECEIVES: usize = 4;
/// Time between two receives while the queue cannot be reached.
const REST: Duration = Duration::from_secs(1);

impl Fanout {
    /// Runs jobs until `stop`, then waits for the links in progress.
    pub async fn work_until(&self, stop: CancellationToken) {
        join_all((0..RECEIVES).map(|_| self.receive_until(&stop))).await;
    }

    async fn receive_until(&self, stop: &CancellationToken) {
        while let Some(received) = stop.run_until_cancelled(self.queues.receive(&self.jobs)).await {
            match received {
                Ok(jobs) => self.work_all(jobs).await,
                Err(error) => {
                    log("cannot receive jobs, and tries again", None, &error);
                    stop.run_until_cancelled(tokio::time::sleep(REST)).await;
                }
            }
        }
    }

    /// Works received jobs side by side, and acks those that are done with.
    async fn work_all(&self, jobs: Vec<Received>) {
        let until = Instant::now() + limits::LINK_TIME;
        let done = join_all(jobs.iter().map(|job| self.done_with(&job.body, until))).await;
        let done: Vec<Received> =
            jobs.into_iter().zip(done).filter_map(|(job, done)| done.then_some(job)).collect();
        if let Err(error) = self.queues.ack(&self.jobs, &done).await {
            log("could not ack jobs, so they come again", None, &error);
        }
    }

    /// Works the body of a job. False if it has to come again.
    pub(super) async fn done_with(&self, body: &str, until: Instant) -> bool {
        let job = match Job::decode(body) {
            Ok(job) => job,
            Err(bad) => {
                // The outbox row still records the work of an unreadable job.
                tracing::error!(fanout.bad_jobs = 1, "deleted a message of the fan-out queue: {bad}");
                return true;
            }
        };
        let worked = self.work(&job, until).await;
        if let Err(error) = &worked {
            log("a job is not done, and comes again", Some(&job.thread), error);
        }
        worked.is_ok()
    }
}
