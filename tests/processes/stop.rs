//! Who is asked to stop while DynamoDB does not answer.

use std::time::Duration;

use client::http::Api;
use serde_json::json;
use tests::process::{Running, signal};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::{fleet_of::Fleet, hole::Hole};

/// Longer than what is at work may take.
const SOON: Duration = Duration::from_secs(8);
/// Where its table is, and the first sweep.
const BEGINNING: usize = 1 + 16;

#[tokio::test]
async fn a_sweep_does_not_keep_the_fanout() {
    let fleet = Fleet::start("per-user").await;
    let hole = Hole::start(fleet.emulators.address).await;
    let mut fanout = Running::start(fleet.with_dynamodb_at(hole.address, &["runnel", "fanout"]));
    hole.has_passed(BEGINNING).await;
    hole.swallows().await;
    ends_soon(&mut fanout).await;
}

#[tokio::test]
async fn a_table_that_is_not_found_does_not_keep_what_has_just_begun() {
    let fleet = Fleet::start("per-user").await;
    for words in [
        &["runnel", "fanout"] as &[_],
        &["runnel", "api", "--listen", "127.0.0.1:0"],
        &["sse-edge", "--listen", "127.0.0.1:0"],
    ] {
        let hole = Hole::start(fleet.emulators.address).await;
        let mut process = Running::start(fleet.with_dynamodb_at(hole.address, words));
        hole.swallows().await;
        ends_soon(&mut process).await;
    }
}

#[tokio::test]
async fn a_request_does_not_keep_the_api() {
    let fleet = Fleet::start("per-user").await;
    let hole = Hole::start(fleet.emulators.address).await;
    let mut api = fleet.api_with_dynamodb_at(hole.address).await;
    let alice = Api { address: api.address, ..fleet.as_user(0, "alice").await };
    let asking =
        async move { alice.call("POST", "/v1/threads", Some(json!({"members": ["bob"]})), &[]).await };
    let _asking = AbortOnDropHandle::new(TaskTracker::new().spawn(asking));
    hole.swallows().await;
    ends_soon(&mut api).await;
}

async fn ends_soon(process: &mut Running) {
    signal(process.pid(), "TERM");
    let end = process.ends_in(SOON).await.expect("it ends soon");
    assert!(end.success(), "{end}");
}
