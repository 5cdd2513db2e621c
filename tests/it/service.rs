//! Services: a back end that acts for users, ends their sessions and bans them.

use client::{http::Api, sse::Stream};
use domain::limits;
use http::StatusCode;
use serde_json::{Value, json};
use server::{auth::scope::Scope, clock::Clock};
use sse_edge::config::Topology;
use store::table::counter::Rate;
use tests::world::World;

const AS_ALICE: (&str, &str) = ("runnel-user", "alice");

/// Every route of a user, in an order in which each succeeds.
fn routes(thread: &str) -> Vec<(&'static str, String, Option<Value>)> {
    let of = |rest: &str| format!("/v1/threads/{thread}{rest}");
    vec![
        ("POST", "/v1/tickets".into(), None),
        ("GET", "/v1/threads".into(), None),
        ("POST", "/v1/threads".into(), Some(json!({"members": ["carol"]}))),
        ("GET", of(""), None),
        ("PATCH", of(""), Some(json!({"title": "mine"}))),
        ("POST", of("/members"), Some(json!({"users": ["dave"]}))),
        ("PUT", of("/members/carol"), Some(json!({"role": "moderator"}))),
        ("DELETE", of("/members/carol"), None),
        ("POST", of("/messages"), Some(json!({"text": "hi"}))),
        ("GET", of("/messages"), None),
        ("GET", of("/messages/2"), None),
        ("PATCH", of("/messages/2"), Some(json!({"text": "ho"}))),
        ("PUT", of("/messages/2/reactions/+1"), None),
        ("DELETE", of("/messages/2/reactions/+1"), None),
        ("DELETE", of("/messages/2"), None),
        ("POST", of("/seen"), Some(json!({"number": 1}))),
        ("POST", of("/typing"), Some(json!({"state": "started"}))),
        ("GET", of("/presence"), None),
        ("PUT", "/v1/me/profile".into(), Some(json!({"name": "Alice"}))),
        ("GET", "/v1/users?ids=bob".into(), None),
    ]
}

/// A group of alice's with one message in it.
async fn group(world: &World) -> String {
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "ours"})).await;
    alice.say(&thread, "first").await;
    thread
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say_on_every_route() {
    let world = World::start(Topology::PerUser, 0).await;
    let act = world.as_service("backend", &[Scope::Act]);
    let users = world.as_service("backend", &[Scope::Users]);
    let plain = world.as_user("backend");
    let none = Api { token: None, ..plain.clone() };
    let thread = group(&world).await;
    for (method, path, body) in routes(&thread) {
        for (api, status) in [(&none, 401), (&plain, 403), (&users, 403)] {
            let answer = api.call(method, &path, body.clone(), &[AS_ALICE]).await;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        }
        let answer = act.call(method, &path, body, &[AS_ALICE]).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
    }
    for (method, path) in [
        ("DELETE", "/v1/users/carol/sessions"),
        ("DELETE", "/v1/users/carol/sessions/a-session"),
        ("PUT", "/v1/users/carol/ban"),
        ("DELETE", "/v1/users/carol/ban"),
    ] {
        for (api, status) in [(&none, 401), (&plain, 403), (&act, 403), (&users, 204)] {
            let answer = api.call(method, path, None, &[]).await;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        }
    }
    // What acts for a user has that user's rights alone.
    let both = world.as_service("backend", &Scope::ALL);
    let twice = both.call("PUT", "/v1/users/carol/ban", None, &[AS_ALICE]).await;
    assert_eq!((twice.status.as_u16(), twice.problem()), (403, "user-named-twice"));
    assert!(!twice.headers.contains_key("www-authenticate"), "it has the scope");
    assert_eq!(both.call("DELETE", "/v1/session?everywhere=true", None, &[AS_ALICE]).await.status, 403);
    assert_eq!(both.call("POST", "/v1/session", None, &[AS_ALICE]).await.status, 403);
    assert_eq!(both.get("/v1/threads").await.status, 200, "its own sessions go on");
    // Without a name, the token is one of its own user.
    assert_eq!(act.get("/v1/threads").await.body["items"], json!([]));
    for name in ["", "no/body", "alice bob"] {
        assert_eq!(
            act.call("GET", "/v1/threads", None, &[("runnel-user", name)]).await.status,
            400,
            "{name}"
        );
    }
    let cookie = act.call("POST", "/v1/session", None, &[AS_ALICE]).await;
    assert_eq!((cookie.status, cookie.headers.get("set-cookie")), (StatusCode::FORBIDDEN, None));
}

#[tokio::test]
async fn what_a_service_does_for_a_user_the_user_has_done() {
    let world = World::start(Topology::PerUser, 1).await;
    let service = world.as_service("backend", &[Scope::Act]);
    let thread = group(&world).await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    let said = service
        .call(
            "POST",
            &format!("/v1/threads/{thread}/messages"),
            Some(json!({"text": "by the back end"})),
            &[AS_ALICE],
        )
        .await;
    assert_eq!((said.status, &said.body["from"]), (StatusCode::CREATED, &json!("alice")));
    assert_eq!(bob.expect("message").await.data["from"], "alice");
    // It opens the user's stream, by its token or by a ticket.
    let token = ("authorization", format!("Bearer {}", world.service_token("backend", &[Scope::Act])));
    let headers = [token.clone(), ("runnel-user", "bob".to_owned())];
    let mut stream = Stream::request(world.edges[0].address, "/v1/events", &headers).await;
    stream.expect("hello").await;
    let ticket = service.call("POST", "/v1/tickets", None, &[("runnel-user", "bob")]).await.body;
    let path = format!("/v1/events?ticket={}", ticket["ticket"].as_str().unwrap());
    let mut other = Stream::request(world.edges[0].address, &path, &[]).await;
    other.expect("hello").await;
    world.as_user("alice").say(&thread, "to all").await;
    for stream in [&mut bob, &mut stream, &mut other] {
        assert_eq!(stream.expect("message").await.data["text"], "to all");
    }
    // A user opens nobody else's.
    let headers = [("authorization", format!("Bearer {}", world.token("carol"))), headers[1].clone()];
    assert_eq!(Stream::request(world.edges[0].address, "/v1/events", &headers).await.status, 403);
}

#[tokio::test]
async fn the_keys_of_a_service_are_its_own() {
    let world = World::start(Topology::PerUser, 0).await;
    let thread = group(&world).await;
    let path = format!("/v1/threads/{thread}/messages");
    let send = async |api: &Api, user: Option<&str>, text: &str| {
        let mut headers = vec![("idempotency-key", "k1")];
        headers.extend(user.map(|user| ("runnel-user", user)));
        api.call("POST", &path, Some(json!({"text": text})), &headers).await
    };
    let (one, two) = (world.as_service("one", &[Scope::Act]), world.as_service("two", &[Scope::Act]));
    let first = send(&world.as_user("alice"), None, "hi").await;
    let second = send(&one, Some("alice"), "hi").await;
    let third = send(&two, Some("alice"), "hi").await;
    for answer in [&first, &second, &third] {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let again = send(&one, Some("alice"), "hi").await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &second.body));
    // The same words for another user are another request.
    assert_eq!(send(&one, Some("bob"), "hi").await.status, 422);
}

#[tokio::test]
async fn a_service_counts_against_no_user_and_costs_no_unit_more() {
    let world = World::start(Topology::PerUser, 0).await;
    let side = world.limited_side(Rate::Exact, Clock::system()).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let (path, body) = (format!("/v1/threads/{thread}/messages"), || Some(json!({"text": "hi"})));
    alice.say(&thread, "first").await;
    world.calls.take();
    alice.say(&thread, "nobody counts").await;
    let without = world.calls.take().write_units;
    let service = Api { address: side.api, ..world.as_service("backend", &[Scope::Act]) };
    assert_eq!(service.call("POST", &path, body(), &[AS_ALICE]).await.status, 201);
    assert_eq!(side.calls.take().write_units, without);
    for _ in 0..limits::SENDS[0].most {
        let said = service.call("POST", &path, body(), &[AS_ALICE]).await;
        assert_eq!((said.status.as_u16(), said.headers.get("ratelimit")), (201, None), "{said:?}");
    }
    let said = Api { address: side.api, ..alice }.call("POST", &path, body(), &[]).await;
    let left = said.headers["ratelimit"].to_str().unwrap();
    assert!(left.starts_with(&format!(r#""send";r={};"#, limits::SENDS[0].most - 1)), "{left}");
}

#[tokio::test]
async fn a_service_ends_the_sessions_of_a_user_and_its_own_end_as_well() {
    let world = World::start(Topology::PerUser, 1).await;
    let admin = world.as_service("admin", &[Scope::Users]);
    let (bob, backend) = (world.as_user("bob"), world.as_service("backend", &[Scope::Act]));
    let mut stream = world.open(0, "bob", None).await;
    stream.expect("hello").await;
    assert_eq!(admin.call("DELETE", "/v1/users/bob/sessions", None, &[]).await.status, 204);
    assert_eq!(stream.expect("bye").await.data["reason"], "revoked");
    assert_eq!(bob.get("/v1/threads").await.status, 401);
    // The service is not one of the user's sessions, nor is the ticket that it gets for the user.
    let ticket = backend.call("POST", "/v1/tickets", None, &[("runnel-user", "bob")]).await.body;
    let path = format!("/v1/events?ticket={}", ticket["ticket"].as_str().unwrap());
    Stream::request(world.edges[0].address, &path, &[]).await.expect("hello").await;
    assert_eq!(backend.call("GET", "/v1/threads", None, &[("runnel-user", "bob")]).await.status, 200);
    assert_eq!(admin.call("DELETE", "/v1/users/backend/sessions", None, &[]).await.status, 204);
    assert_eq!(backend.call("GET", "/v1/threads", None, &[("runnel-user", "bob")]).await.status, 401);
    let token = ("authorization", format!("Bearer {}", backend.token.unwrap()));
    let headers = [token, ("runnel-user", "bob".to_owned())];
    assert_eq!(Stream::request(world.edges[0].address, "/v1/events", &headers).await.status, 401);
}

#[tokio::test]
async fn a_banned_user_is_out_until_the_ban_ends_whatever_token_they_bring() {
    let world = World::start(Topology::PerUser, 1).await;
    let admin = world.as_service("admin", &[Scope::Users]);
    let mut stream = world.open(0, "bob", None).await;
    stream.expect("hello").await;
    let ban = async |body: Option<Value>| admin.call("PUT", "/v1/users/bob/ban", body, &[]).await.status;
    assert_eq!(ban(Some(json!({"until": "2020-01-01T00:00:00Z"}))).await, 422);
    assert_eq!(ban(Some(json!({"until": "9000-01-01T00:00:00Z"}))).await, 204);
    assert_eq!(stream.expect("bye").await.data["reason"], "revoked");
    let refused = world.as_user("bob").get("/v1/threads").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body["detail"].as_str().unwrap().contains("banned until 9000-01-01"), "{refused:?}");
    assert_eq!(Stream::request(world.edges[0].address, "/v1/events", &[]).await.status, 401);
    let mut next = world.open(0, "bob", None).await;
    assert_eq!(next.status, 204, "{:?}", next.headers);
    // A poll says the same, so that its client does not sign in again and again.
    let polled = world.poll(0, "bob", None, 0).await;
    assert_eq!((polled.status.as_u16(), polled.problem()), (403, "user-banned"), "{polled:?}");
    let backend = world.as_service("backend", &[Scope::Act]);
    assert_eq!(backend.call("POST", "/v1/tickets", None, &[("runnel-user", "bob")]).await.status, 403);
    // Without an end it has none. A shorter one replaces it.
    assert_eq!(ban(None).await, 204);
    let refused = world.as_user("bob").get("/v1/threads").await;
    assert!(refused.body["detail"].as_str().unwrap().ends_with("is banned"), "{refused:?}");
    assert_eq!(admin.call("DELETE", "/v1/users/bob/ban", None, &[]).await.status, 204);
    let later = world.token_at("bob", jiff::Timestamp::now() + std::time::Duration::from_secs(1));
    let bob = Api { token: Some(later), ..world.as_user("bob") };
    assert_eq!(bob.get("/v1/threads").await.status, 200);
    next = Stream::open(world.edges[0].address, bob.token.as_deref().unwrap(), None).await;
    next.expect("hello").await;
    // Lifting it once more ends no session.
    assert_eq!(admin.call("DELETE", "/v1/users/bob/ban", None, &[]).await.status, 204);
    assert_eq!(admin.call("DELETE", "/v1/users/nobody/ban", None, &[]).await.status, 204);
    assert_eq!(bob.get("/v1/threads").await.status, 200);
}
