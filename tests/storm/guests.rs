//! Guests: a thread's owner puts them in and takes them out, again and again.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{ask::Asker, cast::Thread};

/// Milliseconds between two changes of a thread.
const PAUSE_MS: std::ops::Range<u64> = 1_000..10_000;

/// Until it is quiet, and then once more if the guest is out: in the end everybody is in.
pub(crate) async fn come_and_go(asker: Asker, thread: Thread, quiet: CancellationToken) {
    let Some(guest) = &thread.guest else { return };
    let path = format!("/v1/threads/{}/members/{guest}", thread.id);
    let owner = &thread.members[0];
    for method in ["PUT", "DELETE"].into_iter().cycle() {
        let pause = Duration::from_millis(rand::random_range(PAUSE_MS));
        let over = quiet.run_until_cancelled(sleep(pause)).await.is_none();
        if over && method == "DELETE" {
            return;
        }
        asker.until_answered(owner, method, &path, Value::Null).await;
    }
}
