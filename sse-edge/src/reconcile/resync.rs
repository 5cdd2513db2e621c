//! The once-a-second timer of the edge: it visits the users with a due timer, requests their work, and checks their
//! cursors against the user rows.

use std::{sync::Arc, time::Duration};

use mistakes::mistake;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    context::Context,
    upstream::row_reader::BATCH,
    user::{User, hub::Hub, work::Work},
};

/// Time between two visits.
const PERIOD: Duration = Duration::from_secs(1);
/// A visit this late means that the edge's tasks wait for their turn.
const LATE: Duration = Duration::from_millis(250);
/// A visit this late follows a pause of the process, or of its machine.
const PAUSED: Duration = Duration::from_secs(5);

/// Visits the users until the edge stops.
pub(crate) async fn resync(cx: Arc<Context>, hub: Arc<Hub>) {
    let resync = Arc::new(Resync { cx, hub });
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    let mut reported = last;
    while resync.cx.until_stop(ticks.tick()).await.is_some() {
        let now = Instant::now();
        resync.cx.budget.set_late(now - last > PERIOD + LATE);
        let oldest = resync.visit(now, now - last > PAUSED).await;
        last = now;
        if resync.cx.config.report.is_some_and(|every| now - reported >= every) {
            resync.report(oldest);
            reported = now;
        }
        resync.cx.metrics.fold();
    }
}

struct Resync {
    cx: Arc<Context>,
    hub: Arc<Hub>,
}

/// Users whose cursor is being compared. Dropping the value ends the checks. So the users are checked again, even if the
/// task panics or is cancelled.
struct Checking(Vec<Arc<User>>);

impl Drop for Checking {
    fn drop(&mut self) {
        self.0.iter().for_each(|user| user.schedule().check_ended());
    }
}

impl Resync {
    /// Reports the state of the edge. `infra/edge.yaml` makes metrics of the fields: keep their names.
    fn report(&self, oldest: Duration) {
        let streams = self.hub.streams();
        tracing::info!(
            edge_streams = streams,
            edge_oldest_unchecked_seconds = oldest.as_secs_f64(),
            edge_lag_max_seconds = self.cx.metrics.take_longest_lag().as_secs_f64(),
            "the edge holds {streams} streams"
        );
    }

    /// Visits the users once, and returns for how long the most overdue comparison has been due.
    async fn visit(self: &Arc<Self>, now: Instant, paused: bool) -> Duration {
        if paused {
            self.hub.check_all(now);
        }
        let (head_check, linger) = (self.cx.config.head_check, self.cx.config.linger);
        let visit = self.hub.visit(now, |user| user.due(now, head_check, linger)).await;
        let mut unchecked = Vec::new();
        for (user, due) in visit.due {
            // While the edge drains, leases go only when all streams have ended.
            if !self.cx.is_draining() {
                self.hub.request(&user, due.work);
            }
            if due.check && !mistake!(NoHeadCheck) {
                unchecked.push(user);
            }
        }
        let oldest = now - visit.longest_overdue.unwrap_or(now).min(now);
        self.cx.metrics.unchecked.set(oldest.as_secs_f64());
        for batch in unchecked.chunks(BATCH) {
            self.cx.tracker.spawn(self.clone().check(Checking(batch.to_vec())));
        }
        oldest
    }

    /// Compares the cursors of some users with their rows.
    async fn check(self: Arc<Self>, users: Checking) {
        let Checking(users) = &users;
        let ids: Vec<_> = users.iter().map(|user| user.id.clone()).collect();
        let read = async {
            let _permit = self.cx.budget.checks.acquire().await;
            self.cx.table.images(&ids, false).await
        };
        let images = match self.cx.until_stop(read).await {
            None => return,
            Some(Ok(images)) => images,
            Some(Err(error)) => {
                self.cx.failed("compare cursors with user rows", &error);
                let soon = Instant::now() + 2 * PERIOD;
                return users.iter().for_each(|user| user.schedule().check_from(soon));
            }
        };
        let me = self.cx.identity.boot();
        for user in users {
            let work = if let Some(image) = images.get(&user.id) {
                let is_held = image.row.leases.iter().any(|lease| lease.holder.boot() == Some(&me));
                user.row_compared(image, is_held)
            } else {
                user.schedule().checked();
                // A row that is gone means another table: reading it makes it anew.
                Work::READ_ROW
            };
            if work != Work::NOTHING {
                self.cx.metrics.behind.increment(1);
                self.hub.request(user, work);
            }
        }
    }
}
