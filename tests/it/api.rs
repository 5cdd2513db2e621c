//! The HTTP API, by status and body.

use client::{http::Api, sse::Stream};
use domain::limits;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use sse_edge::config::Topology;
use tests::{document::Document, world::World};

#[tokio::test]
async fn a_repeated_message_is_the_same_message() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let path = format!("/v1/threads/{thread}/messages");
    let key = [("idempotency-key", "one")];
    let first = alice.call("POST", &path, Some(json!({"text": "once"})), &key).await;
    let again = alice.call("POST", &path, Some(json!({"text": "once"})), &key).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(first.body, again.body);
    let other = alice.call("POST", &path, Some(json!({"text": "twice"})), &key).await;
    assert_eq!((other.status.as_u16(), other.problem()), (422, "key-reused"));
    let listed = alice.get(&path).await;
    assert_eq!((&listed.body["items"], &listed.body["next"]), (&json!([first.body]), &json!(null)));
}

#[tokio::test]
async fn a_direct_thread_is_one_and_a_repeated_group_too() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let first = alice.post("/v1/threads", json!({"members": ["bob"]})).await;
    let second = bob.post("/v1/threads", json!({"members": ["alice"]})).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 200));
    assert_eq!(first.body["id"], second.body["id"]);
    let key = [("idempotency-key", "group")];
    let body = json!({"members": ["bob", "carol"], "title": "ours"});
    let group = alice.call("POST", "/v1/threads", Some(body.clone()), &key).await;
    let again = alice.call("POST", "/v1/threads", Some(body), &key).await;
    assert_eq!((group.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(group.body["id"], again.body["id"]);
}

#[tokio::test]
async fn a_key_in_quotes_is_the_same_key_and_a_replay_says_so() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "ours"})).await;
    let path = format!("/v1/threads/{thread}/messages");
    let long = "k#".repeat(127) + "!";
    for key in ["8e03978e-40d5-43dd-bc93-6894a57f9324", &long] {
        let ask = async |key: &str| {
            alice.call("POST", &path, Some(json!({"text": "once"})), &[("idempotency-key", key)]).await
        };
        let (bare, quoted) = (ask(key).await, ask(&format!("\"{key}\"")).await);
        assert_eq!((bare.status.as_u16(), quoted.status.as_u16()), (201, 200), "{key}");
        assert_eq!(bare.body, quoted.body);
        assert!(!bare.headers.contains_key("idempotent-replayed"));
        assert_eq!(quoted.headers["idempotent-replayed"], "true");
    }
    for bad in ["\"\"", "\"", "a\"b", "a\\b", "a b", "\"a", &format!("{long}k")] {
        let answer =
            alice.call("POST", &path, Some(json!({"text": "hi"})), &[("idempotency-key", bad)]).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (400, "bad-request"), "{bad}");
    }
    let at = format!("{path}/2");
    for (method, path, body) in [
        ("POST", "/v1/threads".to_owned(), Some(json!({"members": ["bob", "carol"]}))),
        ("PATCH", format!("/v1/threads/{thread}"), Some(json!({"title": "all of us"}))),
        ("PATCH", at.clone(), Some(json!({"text": "twice"}))),
        ("PUT", format!("{at}/reactions/+1"), None),
        ("DELETE", at, None),
        ("POST", format!("/v1/threads/{thread}/members"), Some(json!({"users": ["dave"]}))),
        ("PUT", format!("/v1/threads/{thread}/members/erin"), None),
        ("DELETE", format!("/v1/threads/{thread}/members/erin"), None),
    ] {
        let key = format!("{method}{path}");
        for replayed in [false, true] {
            let answer = alice.call(method, &path, body.clone(), &[("idempotency-key", &key)]).await;
            assert!(answer.status.is_success(), "{key}: {answer:?}");
            assert_eq!(answer.headers.contains_key("idempotent-replayed"), replayed, "{key}");
        }
    }
}

#[tokio::test]
async fn what_is_created_can_be_read_where_its_location_says() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, mallory) = (world.as_user("alice"), world.as_user("mallory"));
    let thread = alice.post("/v1/threads", json!({"members": ["bob"], "title": "ours"})).await;
    let path = format!("/v1/threads/{}/messages", thread.body["id"].as_str().unwrap());
    let message = alice.post(&path, json!({"text": "hi"})).await;
    for created in [&thread, &message] {
        let location = created.headers["location"].to_str().unwrap();
        let read = alice.get(location).await;
        assert_eq!((read.status.as_u16(), &read.body["id"]), (200, &created.body["id"]));
        assert_eq!(mallory.get(location).await.status, 404);
    }
    assert_eq!(alice.get(message.headers["location"].to_str().unwrap()).await.body, message.body);
    for nothing in ["1", "99", "0", "x"] {
        assert_eq!(alice.get(&format!("{path}/{nothing}")).await.status, 404, "{nothing}");
    }
}

#[tokio::test]
async fn each_cause_of_a_conflict_is_a_problem_of_its_own() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let direct = format!("/v1/threads/{}", alice.thread(json!({"members": ["bob"]})).await);
    let group = format!("/v1/threads/{}", alice.thread(json!({"members": ["bob"], "title": "ours"})).await);
    let said = alice.say(&group["/v1/threads/".len()..], "hi").await;
    let message = format!("{group}/messages/{}", said["tseq"]);
    let document = Document::of(&alice).await;
    let of = async |user: &Api, method: &str, path: &str, body: Value| {
        let body = Some(body).filter(|body| !body.is_null());
        let answer = user.call(method, path, body, &[]).await;
        assert_eq!(document.objection(method, path, &answer), None);
        (answer.status.as_u16(), answer.problem().to_owned())
    };
    let edit = json!({"text": "ho"});
    assert_eq!(of(&bob, "PATCH", &message, edit.clone()).await, (403, "not-author".into()));
    for n in 0..limits::MESSAGE_EMOJI {
        assert_eq!(of(&bob, "PUT", &format!("{message}/reactions/e{n}"), Value::Null).await.0, 200);
    }
    assert_eq!(
        of(&bob, "PUT", &format!("{message}/reactions/more"), Value::Null).await,
        (409, "reactions-full".into())
    );
    assert_eq!(of(&alice, "DELETE", &message, Value::Null).await.0, 204);
    assert_eq!(of(&alice, "PATCH", &message, edit).await, (409, "message-deleted".into()));
    let title = json!({"title": "ours"});
    assert_eq!(of(&alice, "PATCH", &direct, title).await, (409, "thread-direct".into()));
    let carol = format!("{direct}/members/carol");
    assert_eq!(of(&alice, "PUT", &carol, Value::Null).await, (409, "thread-direct".into()));
    let owner = json!({"role": "owner"});
    let stranger = format!("{group}/members/stranger");
    assert_eq!(of(&alice, "PUT", &stranger, owner).await, (409, "member-needed".into()));
    let own = format!("{group}/members/alice");
    assert_eq!(of(&alice, "PUT", &own, json!({"role": "member"})).await, (409, "owner-needed".into()));
    assert_eq!(of(&bob, "DELETE", &own, Value::Null).await, (403, "role-missing".into()));
}

#[tokio::test]
async fn lists_come_in_pages_without_gap_or_double() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let mut threads = Vec::new();
    for n in 0..5 {
        threads.push(alice.thread(json!({"members": [format!("user{n}")]})).await);
    }
    for n in 1..=7 {
        alice.say(&threads[2], &n.to_string()).await;
    }
    let ids = pages(&alice, "/v1/threads?limit=2", "after", |item| item["id"].clone()).await;
    assert_eq!(ids.len(), 5);
    assert_eq!(ids[0], json!(threads[2]), "the latest activity comes first");
    let path = format!("/v1/threads/{}/messages?limit=3", threads[2]);
    let numbers = pages(&alice, &path, "before", |item| item["number"].clone()).await;
    assert_eq!(numbers, [7, 6, 5, 4, 3, 2, 1].map(Value::from));
}

async fn pages(api: &Api, path: &str, parameter: &str, of: impl Fn(&Value) -> Value) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{path}{next}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        all.extend(page.body["items"].as_array().unwrap().iter().map(&of));
        match page.body["next"].as_str() {
            Some(token) => next = format!("&{parameter}={token}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn who_is_no_member_sees_no_thread() {
    let world = World::start(Topology::PerUser, 0).await;
    let thread = world.as_user("alice").thread(json!({"members": ["bob"]})).await;
    let mallory = world.as_user("mallory");
    for id in [thread.as_str(), "t_doesnotexist", "no-thread-at-all"] {
        let path = format!("/v1/threads/{id}");
        for (method, rest, body) in [
            ("GET", "", None),
            ("GET", "/messages", None),
            ("POST", "/messages", Some(json!({"text": "let me in"}))),
            ("POST", "/typing", Some(json!({"state": "started"}))),
            ("POST", "/seen", Some(json!({"number": 1}))),
            ("GET", "/presence", None),
            ("PUT", "/members/mallory", None),
            ("DELETE", "/members/bob", None),
        ] {
            let answer = mallory.call(method, &format!("{path}{rest}"), body, &[]).await;
            assert_eq!(answer.status, 404, "{method} {path}{rest}: {answer:?}");
            assert_eq!(answer.problem(), "not-found");
        }
    }
}

#[tokio::test]
async fn bad_input_gets_a_clear_problem() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let messages = format!("/v1/threads/{thread}/messages");
    let seen = format!("/v1/threads/{thread}/seen");
    let many: Vec<String> = (0..=limits::CREATE_MEMBERS).map(|n| format!("user{n}")).collect();
    for (path, body, status) in [
        (messages.as_str(), json!({}), 422),
        (&messages, json!({"text": 1}), 422),
        (&messages, json!({"text": "  "}), 422),
        (&messages, json!({"text": "x", "more": 1}), 422),
        (&messages, json!({"text": "x".repeat(16 * 1024 + 1)}), 413),
        (&messages, json!({"text": "\u{7f}".repeat(16 * 1024 / 6 + 1)}), 413),
        (&messages, json!({"text": "x".repeat(33 * 1024)}), 413),
        (&seen, json!({"number": -1}), 422),
        ("/v1/threads", json!({"members": []}), 422),
        ("/v1/threads", json!({"members": ["alice"]}), 422),
        ("/v1/threads", json!({"members": ["a#b"]}), 422),
        ("/v1/threads", json!({"members": many}), 422),
        ("/v1/threads", json!({"members": ["bob"], "title": "x".repeat(201)}), 422),
        ("/v1/nothing", json!({}), 404),
    ] {
        let answer = alice.post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(answer.body["detail"].is_string() && answer.body["instance"].is_string(), "{answer:?}");
    }
    // What is just short enough is taken.
    for text in ["\u{7f}".repeat(16 * 1024 / 6), format!("x{}", "\"".repeat(16 * 1024 - 1))] {
        assert_eq!(alice.post(&messages, json!({"text": text})).await.status, 201);
    }
    let text = Some(json!({"text": "x"}));
    assert_eq!(
        alice.call("POST", &messages, text.clone(), &[("content-type", "text/plain")]).await.status,
        415
    );
    assert_eq!(alice.call("POST", &messages, text.clone(), &[("idempotency-key", "a b")]).await.status, 400);
    assert_eq!(alice.call("PATCH", &messages, text.clone(), &[]).await.status, 405);
    for query in ["limit=0", "limit=101", "before=nonsense", "other=1"] {
        assert_eq!(alice.get(&format!("{messages}?{query}")).await.status, 422, "{query}");
    }
    let nobody = Api { token: None, ..alice };
    assert_eq!(nobody.call("POST", &messages, text, &[]).await.status, 401);
}

#[tokio::test]
async fn a_ticket_opens_one_stream_and_the_cookie_any() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let edge = world.edges[0].address;
    let ticket = alice.post("/v1/tickets", json!({})).await.body["ticket"].as_str().unwrap().to_owned();
    let path = format!("/v1/events?ticket={ticket}");
    Stream::request(edge, &path, &[]).await.expect("hello").await;
    assert_eq!(Stream::request(edge, &path, &[]).await.expect("bye").await.data["reason"], "ticket");
    let session = alice.post("/v1/session", json!({})).await;
    assert_eq!(session.status, 204);
    let cookie = session.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    Stream::request(edge, "/v1/events", &[("cookie", cookie)]).await.expect("hello").await;
    assert_eq!(Stream::request(edge, "/v1/events", &[]).await.status, 401);
}

#[tokio::test]
async fn presence_tells_who_has_a_stream() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    alice.say(&thread, "are you there").await;
    bob.expect("message").await;
    let presence = alice.get(&format!("/v1/threads/{thread}/presence")).await;
    let online =
        |n: usize| (presence.body["items"][n]["user"].clone(), presence.body["items"][n]["online"].clone());
    let offline = (json!("bob"), json!(false));
    assert_eq!([online(0), online(1)], [(json!("alice"), json!(false)), offline], "bob is only invited");
    world.as_user("bob").say(&thread, "yes").await;
    let presence = alice.get(&format!("/v1/threads/{thread}/presence")).await;
    assert_eq!(presence.body["items"][1]["online"], true);
    // Who is added again is invited again.
    let group = alice.thread(json!({"members": ["bob"], "title": "ours"})).await;
    let own = format!("/v1/threads/{group}/members/bob");
    let online = async || {
        let presence = alice.get(&format!("/v1/threads/{group}/presence")).await;
        presence.body["items"][1]["online"].clone()
    };
    world.as_user("bob").say(&group, "hello").await;
    assert_eq!(online().await, true);
    for method in ["DELETE", "PUT"] {
        assert_eq!(alice.call(method, &own, None, &[]).await.status, 204);
    }
    assert_eq!(online().await, false);
}

#[tokio::test]
async fn all_who_ask_for_presence_share_one_read_of_the_edges() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let path = format!("/v1/threads/{thread}/presence");
    world.faults.take();
    let all = join_all((0..20).map(|_| alice.get(&path))).await;
    assert!(all.iter().all(|presence| presence.status == StatusCode::OK));
    let reads = world.faults.take().into_iter().filter(|made| made.is("Query", &["EDGE"])).count();
    // A machine that is busy for longer than an answer is good for reads once more.
    assert!((1..10).contains(&reads), "{reads} reads");
}
