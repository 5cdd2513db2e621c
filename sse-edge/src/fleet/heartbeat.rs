//! The edge's own heartbeat. Without it the edge holds no lease: see [`crate::context::identity`].

use std::{sync::Arc, time::Duration};

use domain::{ids::BootId, limits};
use mistakes::mistake;
use store::lease::edges::Beat;
use tokio::time::Instant;

use crate::{
    context::Context,
    user::{hub::Hub, work::Work},
};

/// Pause before a heartbeat that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Beats every [`limits::BEAT_PERIOD`], until the edge stops.
pub(crate) async fn beat(cx: Arc<Context>, hub: Arc<Hub>) {
    let (mut count, mut failures) = (0, 0);
    loop {
        let (boot, sent_at) = (cx.identity.boot(), Instant::now());
        let pause = match cx.table.beat(&boot, count, hub.streams(), cx.clock.now()).await {
            Ok(Beat::Refused) if mistake!(DeadEdgeGoesOn) => {
                cx.identity.confirm(&boot, sent_at);
                count += 1;
                limits::BEAT_PERIOD
            }
            Ok(Beat::Confirmed) => {
                let lapsed = cx.identity.if_confirmed().is_none() && count > 0;
                cx.identity.confirm(&boot, sent_at);
                if lapsed {
                    // The edge received nothing meanwhile, and queues drop old messages.
                    hub.check_all(Instant::now());
                }
                (count, failures) = (count + 1, 0);
                limits::BEAT_PERIOD
            }
            Ok(Beat::Refused) => {
                begin_anew(&cx, &hub, &boot);
                count = 0;
                remove_row(&cx, &boot).await;
                Duration::ZERO
            }
            Err(error) => {
                if failures == 0 {
                    cx.failed("beat", &error);
                }
                failures += 1;
                // The call may have taken effect, and each count takes effect once, so the next call uses the next
                // count. Count 0 stays, because it creates the row.
                count += u64::from(count > 0);
                RETRY
            }
        };
        if !cx.sleep(pause).await {
            return;
        }
    }
}

/// Other edges have marked this one dead and may have its leases. It drops them all, takes a new boot id, and then takes
/// the leases anew.
fn begin_anew(cx: &Context, hub: &Hub, old: &BootId) {
    let boot = BootId::made(chance::random());
    tracing::warn!(edge.id = %boot, "edge `{old}` was taken for dead; going on as `{boot}`");
    let users = hub.all();
    let drop_leases = || {
        for held in users.iter().filter_map(|user| user.schedule().lose_lease()) {
            held.receiving.cancel();
        }
    };
    drop_leases();
    cx.identity.replace(boot);
    // Once more, for leases that were being taken.
    drop_leases();
    for user in &users {
        hub.request(user, Work::REPAIR);
    }
}

async fn remove_row(cx: &Context, old: &BootId) {
    // An edge without a row counts as dead, so this only tidies up.
    if let Err(error) = cx.table.remove_edge(old).await {
        cx.failed("remove the row of the old boot id", &error);
    }
}
