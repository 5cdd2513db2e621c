//! The orderly end of an edge: no client is refused, the clients do not reconnect all at once, and no lease stays behind.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::{
    context::Context,
    reconcile::Reconciler,
    user::{hub::Hub, work::Work},
    wire::reason::CloseReason,
};

/// How long streams may take to write their bye.
const BYE_WAIT: Duration = Duration::from_secs(5);
/// How long giving the leases back may take.
const GIVE_WAIT: Duration = Duration::from_secs(15);
/// Time between two attempts to give back the rest.
const GIVE_AGAIN: Duration = Duration::from_secs(1);
/// How long the last calls to DynamoDB and SQS may take.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Ends all streams, spread over the drain window, gives all leases back, and stops every task of the edge. New streams
/// are answered with `bye` meanwhile.
pub(crate) async fn drain(cx: &Context, hub: &Hub, reconciler: &Reconciler) {
    if !cx.begin_to_drain() {
        return;
    }
    tracing::info!("draining {} streams over {} s", hub.streams(), cx.config.drain.as_secs());
    end_streams(cx, hub).await;
    give_leases_back(hub).await;
    let boot = cx.identity.boot();
    let last = async {
        reconciler.close_edge_queue().await;
        cx.stop.cancel();
        cx.table.remove_edge(&boot).await
    };
    match timeout(LAST_WAIT, last).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => cx.failed("remove the edge's row", &error),
        Err(_) => tracing::warn!("could not remove the edge's row in time: another edge will mark it dead"),
    }
    cx.stop.cancel();
    tracing::info!("drained");
}

async fn end_streams(cx: &Context, hub: &Hub) {
    let mut handles: Vec<_> = hub.all().iter().flat_map(|user| user.handles()).collect();
    // The tabs of one user should not end together.
    rng::shuffle(&mut handles);
    let start = Instant::now();
    let many = u32::try_from(handles.len()).unwrap_or(u32::MAX).max(1);
    for (place, handle) in (0_u32..).zip(&handles) {
        sleep_until(start + cx.config.drain.mul_f64(f64::from(place) / f64::from(many))).await;
        handle.close(CloseReason::Drain);
    }
    if timeout(BYE_WAIT, hub.without_streams()).await.is_err() {
        tracing::info!("{} streams have not accepted their bye", hub.streams());
    }
}

async fn give_leases_back(hub: &Hub) {
    let end = Instant::now() + GIVE_WAIT;
    while Instant::now() < end {
        for user in hub.all() {
            hub.request(&user, Work::RELEASE);
        }
        let again = (Instant::now() + GIVE_AGAIN).min(end);
        if timeout_at(again, hub.empty()).await.is_ok() {
            return;
        }
    }
    tracing::warn!("some leases were not given back: other edges take them when this one is marked dead");
}
