//! The orderly end of an edge: nobody is refused, nobody reconnects in a wave, nothing is held
//! in vain.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::{
    frames::Bye,
    shared::Shared,
    tend::{self, Ask},
};

/// How long streams may take to ship their bye.
const BYE_WAIT: Duration = Duration::from_secs(5);
/// How long giving the leases back may take.
const GIVE_WAIT: Duration = Duration::from_secs(15);
/// Time between two tries of giving back what is left.
const GIVE_AGAIN: Duration = Duration::from_secs(1);
/// How long the last words to DynamoDB may take.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Ends all streams, spread over the drain window, gives all leases back, and stops every task of
/// the edge. Meanwhile new streams are answered with `bye`.
pub(crate) async fn drain(shared: &Arc<Shared>) {
    if shared.draining.swap(true, Ordering::SeqCst) {
        return;
    }
    tracing::info!("draining {} streams over {} s", shared.hub.streams(), shared.config.drain_seconds);
    end_streams(shared).await;
    give_leases_back(shared).await;
    let boot = shared.fresh.boot();
    let last = async {
        shared.own_queue.close(shared).await;
        shared.stop.cancel();
        shared.table.remove_edge(&boot).await
    };
    match timeout(LAST_WAIT, last).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => shared.failed("remove the edge's row", &error),
        Err(_) => tracing::warn!("the edge's row stays: the table does not answer"),
    }
    shared.stop.cancel();
    tracing::info!("drained");
}

async fn end_streams(shared: &Shared) {
    let mut handles: Vec<_> = shared.hub.all().iter().flat_map(|user| user.handles()).collect();
    // The tabs of one user should not end together.
    chance::shuffle(&mut handles);
    let start = Instant::now();
    let many = u32::try_from(handles.len()).unwrap_or(u32::MAX).max(1);
    for (place, handle) in (0_u32..).zip(&handles) {
        sleep_until(start + shared.config.drain().mul_f64(f64::from(place) / f64::from(many))).await;
        handle.bye(Bye::Drain);
    }
    if timeout(BYE_WAIT, shared.hub.without_streams()).await.is_err() {
        tracing::info!("{} streams do not take their bye", shared.hub.streams());
    }
}

async fn give_leases_back(shared: &Arc<Shared>) {
    let end = Instant::now() + GIVE_WAIT;
    while Instant::now() < end {
        for user in shared.hub.all() {
            tend::ask(shared, &user, Ask::RELEASE);
        }
        let again = (Instant::now() + GIVE_AGAIN).min(end);
        if timeout_at(again, shared.hub.empty()).await.is_ok() {
            return;
        }
    }
    tracing::warn!("some leases were not given back; others take them once this edge counts as dead");
}
