//! Membership as of the event.

use serde_json::json;
use sse_edge::config::Topology;
use tests::world::World;

#[tokio::test]
async fn who_is_removed_sees_the_leaving_and_nothing_after() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "club"})).await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    alice.say(&thread, "one").await;
    bob.expect("message").await;
    let member = format!("/v1/threads/{thread}/members/bob");
    assert_eq!(alice.call("DELETE", &member, None, &[]).await.status, 204);
    let left = bob.expect("member").await;
    assert_eq!((left.data["change"].as_str(), left.data["user"].as_str()), (Some("removed"), Some("bob")));
    alice.say(&thread, "not for bob").await;
    assert_eq!(world.as_user("bob").get(&format!("/v1/threads/{thread}")).await.status, 404);
    assert_eq!(alice.call("PUT", &member, None, &[]).await.status, 204);
    assert_eq!(bob.expect("member").await.data["change"], "added");
    alice.say(&thread, "welcome back").await;
    assert_eq!(bob.expect("message").await.data["text"], "welcome back");
    let seen = world.as_user("bob").get("/v1/threads").await;
    assert_eq!(seen.body["items"][0]["unread"], 1);
}

#[tokio::test]
async fn only_the_owner_takes_others_out_and_anyone_may_leave() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "club"})).await;
    let member = |user: &str| format!("/v1/threads/{thread}/members/{user}");
    assert_eq!(bob.call("DELETE", &member("carol"), None, &[]).await.status, 403);
    assert_eq!(bob.call("DELETE", &member("bob"), None, &[]).await.status, 204);
    assert_eq!(bob.call("DELETE", &member("carol"), None, &[]).await.status, 404);
    let direct = alice.thread(json!({"members": ["bob"]})).await;
    assert_eq!(
        alice.call("PUT", &format!("/v1/threads/{direct}/members/carol"), None, &[]).await.status,
        409
    );
}

#[tokio::test]
async fn an_owner_who_leaves_hands_the_group_to_who_has_been_there_for_longest() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob, carol) = (world.as_user("alice"), world.as_user("bob"), world.as_user("carol"));
    let thread = alice.thread(json!({"members": ["carol"], "title": "club"})).await;
    let member = |user: &str| format!("/v1/threads/{thread}/members/{user}");
    // Before carol by name, after her by joining.
    assert_eq!(alice.call("PUT", &member("bob"), None, &[]).await.status, 204);
    let mut stream = world.open(0, "bob", None).await;
    stream.expect("hello").await;
    assert_eq!(alice.call("DELETE", &member("alice"), None, &[]).await.status, 204);
    let left = stream.expect("member").await.data;
    assert_eq!((&left["change"], &left["owner"]), (&json!("left"), &json!("carol")));
    let roles = async || bob.get(&format!("/v1/threads/{thread}")).await.body["members"].clone();
    assert_eq!(roles().await, json!([{"user": "bob", "role": "member"}, {"user": "carol", "role": "owner"}]));
    // Who has founded it comes back as one of many.
    assert_eq!(bob.call("PUT", &member("alice"), None, &[]).await.status, 204);
    assert_eq!(alice.call("DELETE", &member("bob"), None, &[]).await.status, 403);
    assert_eq!(carol.call("DELETE", &member("bob"), None, &[]).await.status, 204);
    // The last one leaves nobody behind.
    assert_eq!(alice.call("DELETE", &member("alice"), None, &[]).await.status, 204);
    assert_eq!(carol.call("DELETE", &member("carol"), None, &[]).await.status, 204);
}
