//! What strangers learn and cost: as much as of a thread that does not exist.

use serde_json::{Value, json};
use sse_edge::config::Topology;
use tests::world::World;

/// Every route of a thread: method, what follows the thread, and a body.
fn routes() -> Vec<(&'static str, &'static str, Option<Value>)> {
    vec![
        ("GET", "", None),
        ("PATCH", "", Some(json!({"title": "mine"}))),
        ("PUT", "/members/mallory", None),
        ("POST", "/members", Some(json!({"users": ["mallory", "carol"]}))),
        ("PUT", "/members/carol", None),
        ("DELETE", "/members/mallory", None),
        ("DELETE", "/members/alice", None),
        ("GET", "/messages", None),
        ("GET", "/messages?limit=100", None),
        ("POST", "/messages", Some(json!({"text": "let me in"}))),
        ("PATCH", "/messages/2", Some(json!({"text": "let me in"}))),
        ("DELETE", "/messages/2", None),
        ("PUT", "/messages/2/reactions/+1", None),
        ("DELETE", "/messages/2/reactions/+1", None),
        ("POST", "/seen", Some(json!({"number": 1}))),
        ("POST", "/typing", Some(json!({"state": "started"}))),
        ("GET", "/presence", None),
        ("POST", "/accept", None),
    ]
}

#[tokio::test]
async fn a_thread_of_others_answers_and_costs_as_one_that_does_not_exist() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob, mallory) = (world.as_user("alice"), world.as_user("bob"), world.as_user("mallory"));
    let direct = alice.thread(json!({"members": ["bob"]})).await;
    let group = alice.thread(json!({"members": ["bob", "mallory"], "title": "ours"})).await;
    for thread in [&direct, &group] {
        for _ in 0..20 {
            alice.say(thread, &"x".repeat(16 * 1024)).await;
        }
        // This process has met them.
        bob.get(&format!("/v1/threads/{thread}")).await;
    }
    // One who was removed is a stranger from then on, even to a process that has let them in.
    mallory.get(&format!("/v1/threads/{group}")).await;
    let removed = alice.call("DELETE", &format!("/v1/threads/{group}/members/mallory"), None, &[]).await;
    assert_eq!(removed.status, 204);
    mallory.get("/v1/threads").await;
    let nowhere = |thread: &str| format!("{}{}", &thread[..2], "a".repeat(26));
    for (method, rest, body) in routes() {
        let key = format!("{method}{rest}").replace(['/', '?'], ".");
        for headers in [vec![], vec![("idempotency-key", key.as_str())]] {
            for thread in [&direct, &group] {
                let mut told = Vec::new();
                for thread in [thread.clone(), nowhere(thread)] {
                    world.calls.take();
                    let path = format!("/v1/threads/{thread}{rest}");
                    let answer = mallory.call(method, &path, body.clone(), &headers).await;
                    assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
                    told.push((
                        answer.body["type"].clone(),
                        answer.body["detail"].clone(),
                        world.calls.take(),
                    ));
                }
                assert_eq!(told[0], told[1], "{method} {rest} of {thread}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_messages_ends_where_too_much_else_lies_between() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let first = alice.say(&thread, "first").await;
    let path = format!("/v1/threads/{thread}/messages/{}", first["tseq"]);
    for _ in 0..20 {
        for method in ["PUT", "DELETE"] {
            bob.call(method, &format!("{path}/reactions/+1"), None, &[]).await;
        }
    }
    world.calls.take();
    let page = alice.get(&format!("/v1/threads/{thread}/messages?limit=1")).await;
    assert_eq!(page.body["items"][0]["text"], "first");
    let queries = world.calls.take().requests["Query"];
    assert!(queries <= 3, "{queries} queries");
}
