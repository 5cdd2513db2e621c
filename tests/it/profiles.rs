//! Profiles: who sets them, where they are told, and how others learn of a newer one.

use domain::limits;
use serde_json::{Value, json};
use server::{auth::scope::Scope, clock::Clock};
use sse_edge::config::Topology;
use tests::{
    document::Document,
    faults::{Call, Fault, Moment},
    world::World,
};

const MINE: &str = "/v1/me/profile";

async fn put(api: &client::http::Api, profile: Value) -> client::http::Answer {
    api.call("PUT", MINE, Some(profile), &[]).await
}

#[tokio::test]
async fn a_profile_is_told_wherever_its_user_is_named() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let whole =
        json!({"name": "Bob Stone", "avatar": "https://files.example/bob.png", "data": {"team": [1]}});
    let set =
        put(&bob, json!({"name": " Bob Stone ", "avatar": whole["avatar"], "data": whole["data"]})).await;
    let told = json!({"user": "bob", "name": "Bob Stone", "avatar": whole["avatar"], "data": whole["data"], "version": 1});
    assert_eq!((set.status.as_u16(), &set.body), (200, &told));
    // The order is that of the question, and of a user without a profile it says so.
    let read = alice.get("/v1/users?ids=ghost,bob,ghost").await;
    assert_eq!(read.body, json!({"items": [{"user": "ghost", "version": 0}, told], "next": null}));
    let face = json!({"alice": {"version": 0}, "bob": {"name": "Bob Stone", "avatar": whole["avatar"], "version": 1}});
    for (members, text) in
        [(json!({"members": ["bob"]}), "hi"), (json!({"members": ["bob"], "title": "ours"}), "ho")]
    {
        let created = alice.post("/v1/threads", members).await;
        assert_eq!(created.body["users"], face, "{created:?}");
        let thread = created.body["id"].as_str().unwrap();
        let path = format!("/v1/threads/{thread}");
        let mut stream = world.open(0, "alice", None).await;
        stream.expect("hello").await;
        assert!(alice.say(thread, "I have none").await.get("from_version").is_none());
        stream.expect("message").await;
        let said = bob.say(thread, text).await;
        assert_eq!(said["from_version"], 1);
        assert_eq!(stream.expect("message").await.data["from_version"], 1);
        for path in [path.clone(), format!("{path}/messages"), "/v1/threads".into()] {
            assert_eq!(alice.get(&path).await.body["users"], face, "{path}");
        }
    }
}

#[tokio::test]
async fn the_next_message_tells_of_a_newer_profile_and_the_same_one_is_none() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut expected = 0;
    for (profile, is_new) in [
        (json!({}), true),
        (json!({"name": "Bob"}), true),
        (json!({"name": "Bob", "data": {}}), false),
        (json!({"name": "Bob", "data": {"a": 1, "b": 2}}), true),
        (json!({"data": {"b": 2, "a": 1}, "name": "Bob"}), false),
        (json!({"name": ""}), true),
    ] {
        expected += u64::from(is_new);
        assert_eq!(put(&bob, profile.clone()).await.body["version"], expected, "{profile}");
        assert_eq!(bob.say(&thread, "hi").await["from_version"], expected);
    }
    let gone = alice.get("/v1/users?ids=bob").await.body["items"][0].take();
    assert_eq!(gone, json!({"user": "bob", "version": expected}));
    // A message that is deleted tells no more than that.
    let said = bob.say(&thread, "hi").await;
    let path = format!("/v1/threads/{thread}/messages/{}", said["tseq"]);
    assert_eq!(bob.call("DELETE", &path, None, &[]).await.status, 204);
    assert!(alice.get(&path).await.body.get("from_version").is_none());
}

#[tokio::test]
async fn a_back_end_sets_the_profile_of_the_user_for_whom_it_acts() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, service) = (world.as_user("alice"), world.as_service("backend", &[Scope::Act]));
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let as_bob = [("runnel-user", "bob")];
    let set = service.call("PUT", MINE, Some(json!({"name": "Bob"})), &as_bob).await;
    assert_eq!((set.status.as_u16(), &set.body["user"]), (200, &json!("bob")), "{set:?}");
    let path = format!("/v1/threads/{thread}/messages");
    let said = service.call("POST", &path, Some(json!({"text": "hi"})), &as_bob).await;
    assert_eq!(said.body["from_version"], 1, "{said:?}");
    assert_eq!(alice.get(&path).await.body["users"]["bob"]["name"], "Bob");
}

#[tokio::test]
async fn what_a_profile_may_not_have_is_refused_with_its_field() {
    let world = World::start(Topology::PerUser, 0).await;
    let bob = world.as_user("bob");
    let document = Document::of(&bob).await;
    let long = format!("https://files.example/{}", "a".repeat(limits::AVATAR_BYTES));
    for (profile, field) in [
        (json!({"name": "a".repeat(81)}), "name"),
        (json!({"name": "Admin \u{202e}gnp"}), "name"),
        (json!({"name": "\u{3164}"}), "name"),
        (json!({"avatar": "http://files.example/bob.png"}), "avatar"),
        (json!({"avatar": long}), "avatar"),
        (json!({"data": {"a": "b".repeat(limits::PROFILE_DATA_BYTES)}}), "data"),
        (json!({"data": []}), "data"),
        (json!({"nickname": "Bob"}), "nickname"),
    ] {
        let refused = put(&bob, profile.clone()).await;
        assert_eq!(refused.status, 422, "{profile}: {refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains(field), "{profile}: {refused:?}");
        assert_eq!(document.objection("PUT", MINE, &refused), None);
    }
    let many: Vec<String> = (0..=limits::PROFILES).map(|n| format!("u{n}")).collect();
    for ids in ["", "?ids=", "?ids=a,,b", "?ids=a%20b", "?ids=a&more=1", &format!("?ids={}", many.join(","))]
    {
        let refused = bob.get(&format!("/v1/users{ids}")).await;
        assert_eq!(refused.status, 422, "{ids}: {refused:?}");
        assert_eq!(document.objection("GET", "/v1/users", &refused), None);
    }
    let all = bob.get(&format!("/v1/users?ids={}", many[1..].join(","))).await;
    assert_eq!(all.body["items"].as_array().unwrap().len(), limits::PROFILES);
    assert_eq!(bob.get("/v1/users?ids=bob").await.body["items"][0]["version"], 0, "nothing was kept");
}

#[tokio::test]
async fn a_profile_whose_writer_died_is_told_of_when_it_is_put_again_and_a_repair_keeps_it() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let side = world.side().await;
    side.faults.on(Call::to("UpdateItem").about("profile_version"), Fault::Die(Moment::Before));
    let dying = client::http::Api { address: side.api, ..bob.clone() };
    tokio::select! {
        answer = put(&dying, json!({"name": "Bob"})) => panic!("{answer:?}"),
        () = side.faults.died() => {}
    }
    // It is there, and no message tells of it.
    assert_eq!(alice.get("/v1/users?ids=bob").await.body["items"][0]["name"], "Bob");
    assert!(bob.say(&thread, "hi").await.get("from_version").is_none());
    assert_eq!(put(&bob, json!({"name": "Bob"})).await.body["version"], 1);
    assert_eq!(bob.say(&thread, "hi").await["from_version"], 1);
    world.table.repair(Clock::system().now(), false, &|_| ()).await.unwrap();
    // Another process has nothing in mind of before.
    let later = client::http::Api { address: world.side().await.api, ..bob };
    assert_eq!(later.say(&thread, "ho").await["from_version"], 1);
    assert_eq!(alice.get("/v1/threads").await.body["users"]["bob"]["name"], "Bob");
}
