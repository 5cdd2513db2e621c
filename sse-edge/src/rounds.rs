//! What time asks for: leases that nobody needs any more, leases still to be had, and the
//! comparison of every cursor with HEAD. One task for all users.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mistakes::mistake;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    heads::BATCH,
    shared::Shared,
    tend::{self, Ask},
    user_streams::UserStreams,
};

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// A round that comes this late means that the edge's tasks wait for their turn.
const LATE: Duration = Duration::from_millis(250);
/// A round that comes this late follows a pause of the process, or of its machine.
const PAUSED: Duration = Duration::from_secs(5);

/// Goes round until the edge stops.
pub(crate) async fn rounds(shared: Arc<Shared>) {
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    let mut reported = last;
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = Instant::now();
        shared.late.store(now - last > ROUND + LATE, Ordering::Relaxed);
        let oldest = round(&shared, now, now - last > PAUSED).await;
        last = now;
        if shared.config.report().is_some_and(|every| now - reported >= every) {
            report(&shared, oldest);
            reported = now;
        }
        shared.meters.fold();
    }
}

/// Says how the edge is. `infra/edge.yaml` makes metrics of the fields: keep their names.
fn report(shared: &Shared, oldest: Duration) {
    let streams = shared.hub.streams();
    tracing::info!(
        edge_streams = streams,
        edge_oldest_unchecked_seconds = oldest.as_secs_f64(),
        edge_lag_max_seconds = shared.meters.take_longest_lag().as_secs_f64(),
        "the edge holds {streams} streams"
    );
}

/// Goes round once, and answers how long the user who has waited longest is unchecked.
async fn round(shared: &Arc<Shared>, now: Instant, paused: bool) -> Duration {
    if paused {
        shared.hub.check_all(now);
    }
    let (head_check, linger) = (shared.config.head_check(), shared.config.linger());
    let looked = shared.hub.look(now, |user| user.round(now, head_check, linger)).await;
    let mut due = Vec::new();
    for (user, round) in looked.due {
        // While draining, leases go only when all streams have ended.
        if !shared.is_draining() {
            tend::ask(shared, &user, round.ask);
        }
        if round.check && !mistake!(NoHeadCheck) {
            due.push(user);
        }
    }
    let oldest = now - looked.oldest.unwrap_or(now).min(now);
    shared.meters.unchecked.set(oldest.as_secs_f64());
    for batch in due.chunks(BATCH) {
        shared.tracker.spawn(check(shared.clone(), batch.to_vec()));
    }
    oldest
}

/// Users whose cursors are being compared, until it is dropped: whatever becomes of the task that does so,
/// they are compared again.
struct Comparing<'a>(&'a Shared, Vec<Arc<UserStreams>>);

impl Drop for Comparing<'_> {
    fn drop(&mut self) {
        self.0.hub.compared(&self.1);
    }
}

async fn check(shared: Arc<Shared>, users: Vec<Arc<UserStreams>>) {
    let ids: Vec<_> = users.iter().map(|user| user.user.clone()).collect();
    let Comparing(_, users) = &Comparing(&shared, users);
    let heads = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return,
        heads = async {
            let _permit = shared.checks.acquire().await;
            shared.table.heads(&ids, false).await
        } => heads,
    };
    let heads = match heads {
        Ok(heads) => heads,
        Err(error) => {
            shared.failed("compare with the inboxes' heads", &error);
            let soon = Instant::now() + 2 * ROUND;
            return users.iter().for_each(|user| user.check_at(soon));
        }
    };
    for user in users {
        let now = Instant::now();
        let ask = if let Some(head) = heads.get(&user.user) {
            user.compare(head, now)
        } else {
            user.not_compared(now);
            // A HEAD that is gone is another table: reading it makes it anew.
            Ask::HEAD
        };
        if ask != Ask::NOTHING {
            shared.meters.behind.increment(1);
            tend::ask(&shared, user, ask);
        }
    }
}
