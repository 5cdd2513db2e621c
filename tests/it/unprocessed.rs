//! Keys that DynamoDB leaves unprocessed in a `BatchGetItem`.

use domain::limits;
use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault},
    world::World,
};

#[tokio::test]
async fn rows_left_unprocessed_are_asked_for_again_but_not_for_ever() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = format!("/v1/threads/{}", alice.thread(json!({"members": ["bob"], "title": "two"})).await);
    let messages = format!("{thread}/messages");
    assert_eq!(alice.post(&messages, json!({"text": "hi"})).await.status, 201);
    let (message, reaction) = (format!("{messages}/2"), format!("{messages}/2/reactions/+1"));
    for (method, path, body, row) in [
        ("GET", &thread, None, "HEAD"),
        ("POST", &messages, Some(json!({"text": "and on"})), "META"),
        ("PATCH", &message, Some(json!({"text": "ho"})), "META"),
        ("PUT", &reaction, None, "META"),
        ("POST", &format!("{thread}/seen"), Some(json!({"number": 1})), "HEAD"),
    ] {
        for (times, succeeds) in [(limits::FUTILE_TRIES as usize, false), (2, true)] {
            for n in 1..=times {
                world.faults.on(Call::to("BatchGetItem").about(row).nth(n), Fault::Unprocessed);
            }
            let told = alice.call(method, path, body.clone(), &[]).await;
            assert_eq!(told.status.is_success(), succeeds, "{method} {path} {times} times: {told:?}");
            assert_eq!(told.status == 503, !succeeds, "{method} {path} {times} times: {told:?}");
            assert_eq!(told.headers.contains_key("retry-after"), !succeeds);
            assert!(world.faults.have_struck());
        }
    }
}

#[tokio::test]
async fn a_message_to_one_other_needs_no_view_and_no_head() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let path = format!("/v1/threads/{}/messages", alice.thread(json!({"members": ["bob"]})).await);
    for n in 1..=limits::FUTILE_TRIES as usize {
        world.faults.on(Call::to("BatchGetItem").about("HEAD").nth(n), Fault::Unprocessed);
    }
    let sent = alice.post(&path, json!({"text": "hi"})).await;
    assert_eq!(sent.status, 201, "{}", sent.body);
    assert!(world.faults.have_struck());
}

#[tokio::test]
async fn a_read_that_gets_on_row_by_row_gets_to_its_end() {
    const MEMBERS: usize = 2 * limits::FUTILE_TRIES as usize;
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let others: Vec<String> = (1..MEMBERS).map(|n| format!("u{n}")).collect();
    let thread = alice.thread(json!({"members": others, "title": "crowd"})).await;
    for n in 1..=MEMBERS {
        // Of the members' views: one is among them until all are read.
        world.faults.on(Call::to("BatchGetItem").about("U#alice").nth(n + 1), Fault::OneProcessed);
    }
    let told = alice.get(&format!("/v1/threads/{thread}")).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.body["seen_by"].as_object().unwrap().len(), MEMBERS);
    assert!(world.faults.have_struck(), "row by row");
}
