//! Users who have blocked others.

use client::http::{Answer, Api};
use domain::limits;
use serde_json::{Value, json};
use sse_edge::config::Topology;
use tests::world::World;

async fn put(api: &Api, path: &str) -> u16 {
    api.call("PUT", path, None, &[]).await.status.as_u16()
}

fn is_closed(answer: &Answer) -> bool {
    answer.status == 403 && answer.problem() == "thread-closed"
}

#[tokio::test]
async fn a_blocked_user_reaches_the_other_no_more_and_is_not_told_why() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob, carol) = (world.as_user("alice"), world.as_user("bob"), world.as_user("carol"));
    let direct = alice.thread(json!({"members": ["bob"]})).await;
    let path = |rest: &str| format!("/v1/threads/{direct}/{rest}");
    let known = [("idempotency-key", "known")];
    let hello = json!({"text": "hello"});
    let said = alice.call("POST", &path("messages"), Some(hello.clone()), &known).await.body;
    bob.say(&direct, "stop that").await;
    for _ in 0..2 {
        assert_eq!(put(&bob, "/v1/me/blocks/alice").await, 204);
    }
    let blocks = bob.get("/v1/me/blocks").await.body;
    assert_eq!(
        (blocks["items"].as_array().unwrap().len(), &blocks["items"][0]["user"]),
        (1, &json!("alice"))
    );
    assert_eq!(alice.get("/v1/me/blocks").await.body["items"], json!([]));
    let mut stream = world.open(0, "bob", None).await;
    stream.expect("hello").await;

    let message = path(&format!("messages/{}", said["tseq"]));
    for (method, path, body) in [
        ("POST", path("messages"), Some(json!({"text": "why?"}))),
        ("PATCH", message.clone(), Some(json!({"text": "hello there"}))),
        ("PUT", format!("{message}/reactions/+1"), None),
        ("DELETE", message.clone(), None),
    ] {
        let answer = alice.call(method, &path, body, &[]).await;
        assert!(is_closed(&answer), "{method} {path}: {answer:?}");
        assert!(!answer.body.to_string().contains("block"), "{answer:?}");
    }
    // What was accepted before is answered as it was, and the thread is still there.
    assert_eq!(alice.call("POST", &path("messages"), Some(hello), &known).await.body["tseq"], said["tseq"]);
    assert_eq!(alice.thread(json!({"members": ["bob"]})).await, direct);
    // Reading and typing are accepted, and tell the other nothing.
    assert_eq!(alice.post(&path("seen"), json!({"number": 2})).await.status, 200);
    assert_eq!(alice.post(&path("typing"), json!({"state": "started"})).await.status, 202);
    let online = async |api: &Api| {
        let members = api.get(&path("presence")).await.body["items"].clone();
        let bob = members.as_array().unwrap().iter().find(|member| member["user"] == "bob");
        bob.map(|bob| bob["online"].clone())
    };
    assert_eq!((online(&alice).await, online(&bob).await), (Some(json!(false)), Some(json!(true))));
    let read = alice.get(&format!("/v1/threads/{direct}")).await.body["seen_by"]["bob"].clone();
    carol.thread(json!({"members": ["bob"]})).await;
    assert_eq!(stream.next().await.event, "thread", "nothing came between");

    // The one who has blocked may still write, and what they read is theirs.
    bob.say(&direct, "I mean it").await;
    assert_eq!(bob.post(&path("seen"), json!({"number": 3})).await.status, 200);
    let then = alice.get(&format!("/v1/threads/{direct}")).await.body["seen_by"]["bob"].clone();
    assert_eq!(then, read, "alice is not told how far bob has read");
    assert_eq!(bob.call("DELETE", "/v1/me/blocks/alice", None, &[]).await.status, 204);
    assert_eq!(bob.get("/v1/me/blocks").await.body["items"], json!([]));
    alice.say(&direct, "sorry").await;
}

#[tokio::test]
async fn a_blocked_user_brings_the_other_into_no_thread() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let shared = bob.thread(json!({"members": ["alice"], "title": "shared"})).await;
    let club = alice.thread(json!({"members": ["carol", "dave"], "title": "club"})).await;
    // Dave has left the club, so he cannot be added either.
    let member = |user: &str| format!("/v1/threads/{club}/members/{user}");
    let dave = world.as_user("dave");
    assert_eq!(dave.call("DELETE", &member("dave"), None, &[]).await.status, 204);
    assert_eq!(put(&bob, "/v1/me/blocks/alice").await, 204);
    let direct = alice.post("/v1/threads", json!({"members": ["bob"]})).await;
    assert_eq!((direct.status.as_u16(), direct.problem()), (403, "member-refused"));
    let unwilling = alice.call("PUT", &member("dave"), None, &[]).await;
    assert_eq!(unwilling.status, 403);
    let group = json!({"members": ["bob", "carol"], "title": "come on"});
    for answer in
        [alice.call("PUT", &member("bob"), None, &[]).await, alice.post("/v1/threads", group.clone()).await]
    {
        let told = |answer: &Answer| (answer.body["type"].clone(), answer.body["detail"].clone());
        assert_eq!((answer.status, told(&answer)), (unwilling.status, told(&unwilling)));
    }
    assert_eq!(put(&world.as_user("carol"), &member("bob")).await, 204, "others add him");
    // A group that both are in goes on.
    alice.say(&shared, "hello all").await;
    assert_eq!(bob.call("DELETE", "/v1/me/blocks/alice", None, &[]).await.status, 204);
    assert_eq!(alice.post("/v1/threads", group).await.status, 201);
    alice.thread(json!({"members": ["bob"]})).await;
}

#[tokio::test]
async fn a_user_blocks_so_many_and_never_themselves() {
    let world = World::start(Topology::PerUser, 0).await;
    let bob = world.as_user("bob");
    assert_eq!(put(&bob, "/v1/me/blocks/bob").await, 422);
    for n in 0..limits::BLOCKS {
        assert_eq!(put(&bob, &format!("/v1/me/blocks/u{n:03}")).await, 204);
    }
    assert_eq!(put(&bob, "/v1/me/blocks/u000").await, 204, "that one is blocked");
    assert_eq!(put(&bob, "/v1/me/blocks/another").await, 409);
    assert_eq!(bob.call("DELETE", "/v1/me/blocks/u007", None, &[]).await.status, 204);
    assert_eq!(put(&bob, "/v1/me/blocks/another").await, 204);
    let items = bob.get("/v1/me/blocks").await.body["items"].clone();
    let users: Vec<&Value> = items.as_array().unwrap().iter().map(|block| &block["user"]).collect();
    assert_eq!(users.len(), limits::BLOCKS);
    assert!(users.contains(&&json!("another")) && !users.contains(&&json!("u007")));
}
