//! What AWS refuses, told apart: what passes is 503 with `Retry-After`, what a person has to mend is 500.

use client::http::Api;
use domain::limits;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault, Moment},
    world::World,
};

/// Calls of one request to AWS with all that is tried again, and more.
const ALWAYS: usize = 4 * limits::FUTILE_TRIES as usize;

/// What a client is told: the status, and when to come back.
type Told = (StatusCode, Option<&'static str>);

const RETRY: Told = (StatusCode::SERVICE_UNAVAILABLE, Some("1"));
const THROTTLED: Told = (StatusCode::SERVICE_UNAVAILABLE, Some("5"));
const OURS: Told = (StatusCode::INTERNAL_SERVER_ERROR, None);

/// Errors of any operation, and what a client is told.
const ERRORS: [(u16, &str, Told); 13] = [
    (500, "InternalServerError", RETRY),
    (503, "ServiceUnavailable", RETRY),
    (400, "ThrottlingException", THROTTLED),
    (400, "ProvisionedThroughputExceededException", THROTTLED),
    (400, "RequestLimitExceeded", THROTTLED),
    (429, "SomethingNewException", THROTTLED),
    (408, "RequestTimeoutException", RETRY),
    (400, "AccessDeniedException", OURS),
    (400, "ValidationException", OURS),
    (400, "ResourceNotFoundException", OURS),
    (400, "UnrecognizedClientException", OURS),
    (400, "ItemCollectionSizeLimitExceededException", OURS),
    (400, "SomethingNewException", OURS),
];

/// Codes of a transaction that is cancelled.
const REASONS: [(&[&str], Told); 9] = [
    (&["ConditionalCheckFailed"], RETRY),
    (&["None", "TransactionConflict"], RETRY),
    (&["ThrottlingError"], THROTTLED),
    (&["None", "ProvisionedThroughputExceeded"], THROTTLED),
    (&["TransactionConflict", "ThrottlingError"], THROTTLED),
    (&["ValidationError"], OURS),
    (&["None", "ItemCollectionSizeLimitExceeded"], OURS),
    (&["AccessDenied", "ConditionalCheckFailed"], OURS),
    (&["SomethingNew"], OURS),
];

/// What the sender of a message is told, and how often the operation was called, when each call of it meets `fault`.
/// Afterwards the same request succeeds.
async fn meets(world: &World, operation: &'static str, fault: Fault) -> (StatusCode, Option<String>, usize) {
    let thread = world.as_user("alice").thread(json!({"members": ["bob"], "title": "club"})).await;
    let side = world.side().await;
    let alice = Api { address: side.api, ..world.as_user("alice") };
    for nth in 1..=ALWAYS {
        side.faults.on(Call::to(operation).nth(nth), fault.clone());
    }
    let path = format!("/v1/threads/{thread}/messages");
    let ask = async || {
        alice.call("POST", &path, Some(json!({"text": "hi"})), &[("idempotency-key", &thread)]).await
    };
    let told = ask().await;
    let called = side.faults.take().iter().filter(|made| made.operation == operation).count();
    side.faults.forget();
    assert!(!told.problem().is_empty(), "{told:?}");
    let again = ask().await;
    assert!(again.status.is_success(), "{again:?}");
    let after = told.headers.get("retry-after").map(|seconds| seconds.to_str().unwrap().to_owned());
    (told.status, after, called)
}

#[tokio::test]
async fn an_error_of_a_read_passes_or_is_ours() {
    let world = World::start(Topology::PerEdge, 0).await;
    let met = ERRORS.map(|(status, code, _)| meets(&world, "Query", Fault::Refuse(status, code)));
    for ((_, code, (told, after)), met) in ERRORS.into_iter().zip(join_all(met).await) {
        assert_eq!((met.0, met.1.as_deref()), (told, after), "{code}");
        assert!(told != OURS.0 || met.2 == 1, "{code} was tried {} times", met.2);
    }
}

#[tokio::test]
async fn an_error_of_a_transaction_passes_or_is_ours() {
    let world = World::start(Topology::PerEdge, 0).await;
    let theirs =
        [(400, "TransactionInProgressException", RETRY), (400, "IdempotentParameterMismatchException", OURS)];
    let cases: Vec<_> = ERRORS.into_iter().chain(theirs).collect();
    let met = cases
        .iter()
        .map(|(status, code, _)| meets(&world, "TransactWriteItems", Fault::Refuse(*status, code)));
    for ((_, code, (told, after)), met) in cases.iter().zip(join_all(met).await) {
        assert_eq!((met.0, met.1.as_deref()), (*told, *after), "{code}");
        assert_eq!(met.2 == 1, *told == OURS.0, "{code} was tried {} times", met.2);
    }
}

#[tokio::test]
async fn the_reason_of_a_cancelled_transaction_passes_or_is_ours() {
    let world = World::start(Topology::PerEdge, 0).await;
    let met = REASONS.map(|(codes, _)| meets(&world, "TransactWriteItems", Fault::Cancel(codes)));
    for ((codes, (told, after)), met) in REASONS.into_iter().zip(join_all(met).await) {
        assert_eq!((met.0, met.1.as_deref()), (told, after), "{codes:?}");
        let tries = if told == OURS.0 { 1 } else { limits::FUTILE_TRIES as usize };
        assert_eq!(met.2, tries, "{codes:?}");
    }
}

/// A world, and where messages go to a group of two.
async fn group() -> (World, String) {
    let world = World::start(Topology::PerEdge, 0).await;
    let thread = world.as_user("alice").thread(json!({"members": ["bob"], "title": "club"})).await;
    (world, format!("/v1/threads/{thread}"))
}

#[tokio::test]
async fn what_passes_is_tried_again_before_anybody_hears_of_it() {
    let (world, thread) = group().await;
    let alice = world.as_user("alice");
    for (n, codes) in
        [&["ConditionalCheckFailed"], &["TransactionConflict"], &["ThrottlingError"]].iter().enumerate()
    {
        world.faults.on(Call::to("TransactWriteItems"), Fault::Cancel(*codes));
        let said = alice.post(&format!("{thread}/messages"), json!({"text": n.to_string()})).await;
        assert_eq!(said.status, StatusCode::CREATED, "{codes:?}: {said:?}");
        assert!(world.faults.have_struck());
    }
}

#[tokio::test]
async fn a_write_to_one_row_that_meets_a_transaction_is_tried_again() {
    let (world, thread) = group().await;
    let alice = world.as_user("alice");
    // It is called so already: all that is written is its key.
    let ask = async || {
        alice.call("PATCH", &thread, Some(json!({"title": "club"})), &[("idempotency-key", "same")]).await
    };
    let conflict = Fault::Refuse(400, "TransactionConflictException");
    world.faults.on(Call::to("PutItem").about("K#"), conflict.clone());
    let told = ask().await;
    assert!(told.status.is_success(), "{told:?}");
    assert!(world.faults.have_struck());
}

#[tokio::test]
async fn a_request_that_comes_again_waits_for_a_transaction_and_for_nothing_else() {
    let (world, thread) = group().await;
    let (alice, faults) = (world.as_user("alice"), &world.faults);
    // What its key is known for is one row.
    for (codes, (status, after)) in REASONS.into_iter().filter(|(codes, _)| codes.len() == 1) {
        let key = [("idempotency-key", codes[0])];
        let say = async || {
            alice.call("POST", &format!("{thread}/messages"), Some(json!({"text": "once"})), &key).await
        };
        assert_eq!(say().await.status, StatusCode::CREATED);
        faults.take();
        for nth in 1..=ALWAYS {
            faults.on(Call::to("TransactGetItems").about("K#").nth(nth), Fault::Cancel(codes));
        }
        let told = say().await;
        let called = faults.take().iter().filter(|made| made.operation == "TransactGetItems").count();
        faults.forget();
        assert_eq!(told.status, status, "{codes:?}: {told:?}");
        assert_eq!(told.headers.get("retry-after").map(|s| s.to_str().unwrap()), after, "{codes:?}");
        assert!(status != OURS.0 || called == 1, "{codes:?}");
        assert_eq!(say().await.status, StatusCode::OK, "{codes:?}");
    }
}

#[tokio::test]
async fn a_queue_that_refuses_delays_and_loses_nothing() {
    let (mut world, thread) = group().await;
    world.add_edge(Topology::PerEdge).await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    let alice = world.as_user("alice");
    for code in ["AccessDenied", "InvalidParameterValue", "RequestThrottled", "InternalError"] {
        let status = if code == "InternalError" { 500 } else { 400 };
        for nth in 1..=ALWAYS {
            world.faults.on(Call::to("SendMessage").nth(nth), Fault::Refuse(status, code));
        }
        let said = alice.post(&format!("{thread}/messages"), json!({"text": code})).await;
        assert_eq!(said.status, StatusCode::CREATED, "{said:?}");
        world.faults.forget();
        // The next head check finds it.
        assert_eq!(bob.expect("message").await.data["text"], code);
    }
}

#[tokio::test]
async fn a_replay_that_cannot_tell_the_members_leaves_that_to_the_sweeper() {
    let world = World::start_idle(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    let path = format!("/v1/threads/{thread}/messages");
    let say = || alice.call("POST", &path, Some(json!({"text": "hi"})), &[("idempotency-key", "one")]);
    assert_eq!(say().await.status, StatusCode::CREATED);
    bob.expect("message").await;
    // A commit in a direct thread leaves no outbox row.
    assert_eq!(world.owed().await, 0);
    for nth in 1..=ALWAYS {
        world.faults.on(Call::to("SendMessage").nth(nth), Fault::Refuse(500, "InternalError"));
    }
    assert_eq!(say().await.status, StatusCode::OK);
    world.faults.forget();
    assert_eq!(world.owed().await, 1);
}

#[tokio::test]
async fn a_first_request_whose_commit_was_in_doubt_is_no_replay() {
    let world = World::start_idle(Topology::PerUser, 0).await;
    let side = world.side().await;
    let alice = Api { address: side.api, ..world.as_user("alice") };
    for members in [json!(["bob"]), json!(["bob", "carol"])] {
        let thread = alice.thread(json!({"members": members})).await;
        let path = format!("/v1/threads/{thread}/messages");
        for nth in 1..=ALWAYS {
            side.faults.on(Call::to("TransactWriteItems").nth(nth), Fault::Reset(Moment::After));
        }
        let said = alice.post(&path, json!({"text": "hi"})).await;
        side.faults.forget();
        assert_eq!(said.status, StatusCode::CREATED, "{said:?}");
        assert!(!said.headers.contains_key("idempotent-replayed"), "{said:?}");
        assert_eq!(alice.get(&path).await.body["items"], json!([said.body]));
    }
}
