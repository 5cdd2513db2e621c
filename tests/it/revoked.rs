//! A token that was revoked: no route takes it.

use std::time::Duration;

use client::{http::Api, sse::Stream};
use domain::{
    credential::Credential,
    ids::{ThreadId, UserId},
    limits,
    sequence::ThreadSeq,
};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use sse_edge::config::Topology;
use tests::world::World;

/// Every route that takes a token, and a body.
fn routes(thread: &str) -> Vec<(&'static str, String, Option<Value>)> {
    let of = |rest: &str| format!("/v1/threads/{thread}{rest}");
    vec![
        ("POST", "/v1/session".into(), None),
        ("POST", "/v1/tickets".into(), None),
        ("GET", "/v1/threads".into(), None),
        ("POST", "/v1/threads".into(), Some(json!({"members": ["carol"]}))),
        ("GET", of(""), None),
        ("PATCH", of(""), Some(json!({"title": "mine"}))),
        ("PUT", of("/members/carol"), None),
        ("POST", of("/members"), Some(json!({"users": ["carol"]}))),
        ("DELETE", of("/members/alice"), None),
        ("GET", of("/messages"), None),
        ("POST", of("/messages"), Some(json!({"text": "it is me"}))),
        ("GET", of("/messages/2"), None),
        ("PATCH", of("/messages/2"), Some(json!({"text": "it is me"}))),
        ("DELETE", of("/messages/2"), None),
        ("PUT", of("/messages/2/reactions/+1"), None),
        ("DELETE", of("/messages/2/reactions/+1"), None),
        ("POST", of("/seen"), Some(json!({"number": 1}))),
        ("POST", of("/typing"), Some(json!({"state": "started"}))),
        ("GET", of("/presence"), None),
        ("POST", of("/accept"), None),
        ("GET", "/v1/me/blocks".into(), None),
        ("PUT", "/v1/me/blocks/carol".into(), None),
        ("DELETE", "/v1/me/blocks/carol".into(), None),
    ]
}

#[tokio::test]
async fn no_route_takes_a_token_that_was_revoked() {
    let world = World::start(Topology::PerUser, 0).await;
    let bob = world.as_user("bob");
    let thread = bob.thread(json!({"members": ["alice", "dave"], "title": "ours"})).await;
    bob.say(&thread, "me").await;
    let id = ThreadId::parse(&thread).unwrap();
    let log = async || world.table.latest(&id, ThreadSeq::MAX, 10).await.unwrap();
    let before = log().await;
    let ended = world.as_user("bob").call("DELETE", "/v1/session?everywhere=true", None, &[]).await;
    assert_eq!(ended.status, 204);
    for (method, path, body) in routes(&thread) {
        let answer = bob.call(method, &path, body, &[]).await;
        assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains("revoked"), "{answer:?}");
    }
    assert_eq!(log().await, before);
}

#[tokio::test]
async fn a_process_that_has_not_heard_of_it_refuses_the_token_seconds_later() {
    let world = World::start(Topology::PerUser, 0).await;
    let (bob, issued) = (UserId::parse("bob").unwrap(), Timestamp::now() - Duration::from_mins(1));
    // One process reads that nothing was revoked; in another one something is.
    let read = Timestamp::now();
    let revokes = async |issued: Timestamp, now| {
        let credential = Credential { issued_at: issued, session: None };
        world.table.revoking_cutoff(&bob, &credential, now).await.unwrap().is_some()
    };
    assert!(!revokes(issued, read).await);
    let ended = world.as_user("bob").call("DELETE", "/v1/session?everywhere=true", None, &[]).await;
    assert_eq!(ended.status, 204);
    assert!(!revokes(issued, read + Duration::from_secs(1)).await, "it is kept");
    assert!(revokes(issued, read + limits::CUTOFF_READ).await);
    let newer = Timestamp::now() + Duration::from_secs(5);
    assert!(!revokes(newer, read + limits::CUTOFF_READ).await);
    const { assert!(limits::CUTOFF_READ.as_secs() < 10) };
}

#[tokio::test]
async fn one_session_ends_and_the_others_go_on() {
    let world = World::start(Topology::PerUser, 1).await;
    let (phone, laptop) = (world.as_user("bob"), world.as_user("bob"));
    let edge = world.edges[0].address;
    let open = async |api: &Api| Stream::open(edge, api.token.as_deref().unwrap(), None).await;
    let (mut of_phone, mut of_laptop) = (open(&phone).await, open(&laptop).await);
    of_phone.expect("hello").await;
    of_laptop.expect("hello").await;
    let ticket = phone.call("POST", "/v1/tickets", None, &[]).await.body;
    assert_eq!(phone.call("DELETE", "/v1/session?session=true", None, &[]).await.status, 204);
    assert_eq!(of_phone.expect("bye").await.data["reason"], "revoked");
    assert_eq!(
        (phone.get("/v1/threads").await.status, laptop.get("/v1/threads").await.status.as_u16()),
        (StatusCode::UNAUTHORIZED, 200)
    );
    assert_eq!(open(&phone).await.status, 204);
    let path = format!("/v1/events?ticket={}", ticket["ticket"].as_str().unwrap());
    assert_eq!(Stream::request(edge, &path, &[]).await.status, 204, "its ticket has ended as well");
    world.as_user("alice").say(&world.as_user("alice").thread(json!({"members": ["bob"]})).await, "hi").await;
    of_laptop.expect("thread").await;
    // One more than can be remembered ends them all.
    for _ in 0..limits::ENDED_SESSIONS {
        let other = world.as_user("bob");
        assert_eq!(other.call("DELETE", "/v1/session?session=true", None, &[]).await.status, 204);
    }
    assert_eq!(laptop.get("/v1/threads").await.status, 401);
    // From then on one session ends alone again.
    let later = Timestamp::now() + Duration::from_secs(3);
    let [first, second] = [0, 1].map(|_| Api { token: Some(world.token_at("bob", later)), ..laptop.clone() });
    assert_eq!(first.call("DELETE", "/v1/session?session=true", None, &[]).await.status, 204);
    let listed = async |api: &Api| api.get("/v1/threads").await.status.as_u16();
    assert_eq!((listed(&first).await, listed(&second).await), (401, 200));
}
