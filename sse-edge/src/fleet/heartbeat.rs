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
                    cx.failed("send a heartbeat", &error);
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
    let boot = BootId::made(rng::random());
    tracing::warn!(edge.id = %boot, "another edge marked `{old}` dead: this edge continues as `{boot}`");
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use client::aws::{Answer, Aws};
    use domain::ids::QueueId;
    use jiff::Timestamp;
    use serde_json::json;
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::{
        context::{
            config::EdgeArgs,
            testing::{context, user},
        },
        user::{
            lease::{Held, Receiving},
            stream_handle::StreamHandle,
            work::WorkItem,
        },
    };

    /// An edge whose beats are answered in turn, the last of them for ever; and the counts that it sent.
    async fn beating(answers: Vec<Answer>) -> (Arc<Context>, Arc<Hub>, Arc<Mutex<Vec<String>>>) {
        let counts = Arc::new(Mutex::new(Vec::new()));
        let sent = counts.clone();
        let aws = Aws::new(move |operation, body| {
            if operation != "UpdateItem" {
                return Answer::Ok(json!({}));
            }
            let mut sent = sent.lock().unwrap();
            sent.push(body["ExpressionAttributeValues"][":beat"]["N"].as_str().unwrap().to_owned());
            answers[(sent.len() - 1).min(answers.len() - 1)].clone()
        });
        let cx = context(&aws, EdgeArgs::default()).await;
        let (hub, _) = Hub::new();
        let hub = Arc::new(hub);
        cx.tracker.spawn(beat(cx.clone(), hub.clone()));
        (cx, hub, counts)
    }

    fn ok() -> Answer {
        Answer::Ok(json!({}))
    }

    #[tokio::test(start_paused = true)]
    async fn an_edge_that_others_took_for_dead_goes_on_under_another_name_without_its_leases() {
        let refused = Answer::Refused("ConditionalCheckFailedException", json!({}));
        let (cx, hub, counts) = beating(vec![ok(), refused, ok()]).await;
        sleep(limits::BEAT_PERIOD / 2).await;
        let first = cx.identity.if_confirmed().expect("the first beat is confirmed");
        let handle = Arc::new(StreamHandle::opened_at(Timestamp::UNIX_EPOCH));
        let (alice, _) = hub.join(&user("alice"), handle, 10, Instant::now()).unwrap();
        let held = Held { queue: QueueId::made(1), receiving: Receiving::Edges };
        assert!(alice.lease_taken(held, Instant::now(), || true).is_none());
        sleep(limits::BEAT_PERIOD).await;
        let second = cx.identity.if_confirmed().expect("the new name is confirmed");
        assert_ne!(first, second);
        assert!(alice.held().is_none(), "another edge may have the lease");
        assert!(matches!(alice.next_work(), Some(WorkItem::TakeLease)), "it is taken anew");
        assert_eq!(*counts.lock().unwrap(), ["0", "1", "0"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_of_unknown_outcome_is_followed_by_the_next_count() {
        let (cx, _, counts) = beating(vec![Answer::Lost, ok(), Answer::Lost, ok()]).await;
        sleep(RETRY / 2).await;
        assert_eq!(cx.identity.if_confirmed(), None);
        sleep(RETRY + limits::BEAT_PERIOD + RETRY).await;
        assert!(cx.identity.if_confirmed().is_some());
        // The first makes the row, and is repeated as it is.
        assert_eq!(*counts.lock().unwrap(), ["0", "0", "1", "2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_beyond_the_lapse_every_user_is_checked() {
        let (cx, hub, _) = beating(vec![ok()]).await;
        sleep(limits::BEAT_PERIOD / 2).await;
        let handle = Arc::new(StreamHandle::opened_at(Timestamp::UNIX_EPOCH));
        let (alice, _) = hub.join(&user("alice"), handle, 10, Instant::now()).unwrap();
        let held = Held { queue: QueueId::made(1), receiving: Receiving::Edges };
        assert!(alice.lease_taken(held, Instant::now(), || true).is_none());
        let is_checked = || alice.due(Instant::now(), limits::HEAD_CHECK, limits::LINGER).check;
        sleep(limits::BEAT_PERIOD).await;
        assert!(!is_checked());
        advance(limits::BEAT_LAPSE + limits::BEAT_PERIOD).await;
        sleep(Duration::from_millis(1)).await;
        assert!(cx.identity.if_confirmed().is_some() && is_checked());
    }
}
