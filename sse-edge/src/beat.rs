//! The edge's own beat. Without it the edge holds nothing: see [`crate::fresh`].

use std::{sync::Arc, time::Duration};

use domain::{ids::BootId, limits};
use mistakes::mistake;
use store::edges::Beat;
use tokio::time::Instant;

use crate::{
    shared::Shared,
    tend::{self, Ask},
};

/// Pause before a beat that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Beats every [`limits::BEAT_PERIOD`], until the edge stops.
pub(crate) async fn beat(shared: Arc<Shared>) {
    let (mut count, mut failures) = (0, 0);
    loop {
        let (boot, sent_at) = (shared.fresh.boot(), Instant::now());
        let streams = shared.hub.streams();
        let pause = match shared.table.beat(&boot, count, streams, shared.clock.now()).await {
            Ok(Beat::Refused) if mistake!(DeadEdgeGoesOn) => {
                shared.fresh.confirm(&boot, sent_at);
                count += 1;
                limits::BEAT_PERIOD
            }
            Ok(Beat::Confirmed) => {
                let lapsed = shared.fresh.now().is_none() && count > 0;
                shared.fresh.confirm(&boot, sent_at);
                if lapsed {
                    // Nothing was received meanwhile, and queues forget.
                    shared.hub.check_all(Instant::now());
                }
                (count, failures) = (count + 1, 0);
                limits::BEAT_PERIOD
            }
            Ok(Beat::Refused) => {
                rename(&shared, &boot);
                count = 0;
                tidy(&shared, &boot).await;
                Duration::ZERO
            }
            Err(error) => {
                if failures == 0 {
                    shared.failed("beat", &error);
                }
                failures += 1;
                // It may have counted, and one beat counts once. Not so the first, which makes the row.
                count += u64::from(count > 0);
                AGAIN
            }
        };
        if !shared.sleep(pause).await {
            return;
        }
    }
}

/// Others have taken this edge for dead and may have its leases: it drops them all, then takes
/// another name, then takes them anew.
fn rename(shared: &Arc<Shared>, old: &BootId) {
    let boot = BootId::made(chance::random());
    tracing::warn!(edge.id = %boot, "edge `{old}` was taken for dead; going on as `{boot}`");
    let users = shared.hub.all();
    let drop_leases = || {
        for held in users.iter().filter_map(|user| user.lose_lease()) {
            held.receiving.cancel();
        }
    };
    drop_leases();
    shared.fresh.rename(boot);
    // Once more, for takes that were under way.
    drop_leases();
    for user in &users {
        tend::ask(shared, user, Ask::AGAIN);
    }
}

async fn tidy(shared: &Shared, old: &BootId) {
    // Absent counts as dead, so this only tidies up.
    if let Err(error) = shared.table.remove_edge(old).await {
        shared.failed("remove the row of the old name", &error);
    }
}
