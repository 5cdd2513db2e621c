//! Membership as of the event.

use client::http::Api;
use serde_json::{Value, json};
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
    // The founder comes back as a plain member, after allowing it.
    assert_eq!(alice.post(&format!("/v1/threads/{thread}/accept"), json!({})).await.status, 204);
    assert_eq!(bob.call("PUT", &member("alice"), None, &[]).await.status, 204);
    assert_eq!(alice.call("DELETE", &member("bob"), None, &[]).await.status, 403);
    assert_eq!(carol.call("DELETE", &member("bob"), None, &[]).await.status, 204);
    // The last one leaves nobody behind.
    assert_eq!(alice.call("DELETE", &member("alice"), None, &[]).await.status, 204);
    assert_eq!(carol.call("DELETE", &member("carol"), None, &[]).await.status, 204);
}

#[tokio::test]
async fn the_owner_gives_roles_and_everybody_hears_of_them() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "club"})).await;
    let member = |user: &str| format!("/v1/threads/{thread}/members/{user}");
    let appoint = async |api: &Api, user: &str, role: &str| {
        api.call("PUT", &member(user), Some(json!({"role": role})), &[]).await.status
    };
    let mut stream = world.open(0, "carol", None).await;
    stream.expect("hello").await;
    // Nobody takes a role, and nobody but the owner gives one.
    for (user, role) in [("bob", "moderator"), ("bob", "owner"), ("alice", "member"), ("dave", "moderator")] {
        assert_eq!(appoint(&bob, user, role).await, 403, "{user} {role}");
    }
    assert_eq!(appoint(&alice, "bob", "moderator").await, 204);
    let told = stream.expect("member").await.data;
    assert_eq!(
        (&told["change"], &told["user"], &told["role"]),
        (&json!("role"), &json!("bob"), &json!("moderator"))
    );
    // The same once more changes nothing, and says nothing. A member keeps the role where none is named.
    assert_eq!(appoint(&alice, "bob", "moderator").await, 204);
    assert_eq!(alice.call("PUT", &member("bob"), None, &[]).await.status, 204);
    assert_eq!(appoint(&alice, "alice", "member").await, 409);
    assert_eq!(appoint(&alice, "dave", "owner").await, 409);
    assert_eq!(appoint(&alice, "dave", "king").await, 422);
    assert_eq!(appoint(&alice, "dave", "moderator").await, 204);
    let told = stream.expect("member").await.data;
    assert_eq!(
        (&told["change"], &told["user"], &told["role"]),
        (&json!("added"), &json!("dave"), &json!("moderator"))
    );
    assert_eq!(appoint(&alice, "bob", "owner").await, 204);
    let told = stream.expect("member").await.data;
    assert_eq!(
        (&told["user"], &told["role"], &told["owner"]),
        (&json!("alice"), &json!("moderator"), &json!("bob"))
    );
    let roles = bob.get(&format!("/v1/threads/{thread}")).await.body["members"].clone();
    let role = |user: &str, role: &str| json!({"user": user, "role": role});
    let wanted = [
        role("alice", "moderator"),
        role("bob", "owner"),
        role("carol", "member"),
        role("dave", "moderator"),
    ];
    assert_eq!(roles, json!(wanted));
    // An owner who leaves hands over to the moderator who has been there for longest.
    assert_eq!(bob.call("DELETE", &member("bob"), None, &[]).await.status, 204);
    let told = stream.expect("member").await.data;
    assert_eq!((&told["change"], &told["owner"]), (&json!("left"), &json!("alice")));
}

#[tokio::test]
async fn a_moderator_removes_members_and_messages_and_nobody_above() {
    let world = World::start(Topology::PerUser, 0).await;
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|user| world.as_user(user));
    let thread = alice.thread(json!({"members": ["bob", "carol", "dave", "erin"], "title": "club"})).await;
    let member = |user: &str| format!("/v1/threads/{thread}/members/{user}");
    for user in ["bob", "carol"] {
        let role = Some(json!({"role": "moderator"}));
        assert_eq!(alice.call("PUT", &member(user), role, &[]).await.status, 204);
    }
    let said = alice.say(&thread, "rude").await;
    let message = format!("/v1/threads/{thread}/messages/{}", said["tseq"]);
    assert_eq!(dave.call("DELETE", &message, None, &[]).await.status, 403);
    assert_eq!(bob.call("PATCH", &message, Some(json!({"text": "polite"})), &[]).await.status, 403);
    assert_eq!(bob.call("DELETE", &message, None, &[]).await.status, 204);
    let list = dave.get(&format!("/v1/threads/{thread}/messages")).await.body;
    assert_eq!((&list["items"][0]["from"], &list["items"][0]["deleted"]), (&json!("alice"), &json!(true)));
    assert_eq!(dave.call("DELETE", &member("erin"), None, &[]).await.status, 403);
    assert_eq!(bob.call("DELETE", &member("carol"), None, &[]).await.status, 403);
    assert_eq!(bob.call("DELETE", &member("alice"), None, &[]).await.status, 403);
    assert_eq!(bob.call("DELETE", &member("erin"), None, &[]).await.status, 204);
    assert_eq!(alice.call("PUT", &member("carol"), Some(json!({"role": "member"})), &[]).await.status, 204);
    assert_eq!(carol.call("DELETE", &member("dave"), None, &[]).await.status, 403);
    let down = async || bob.call("PUT", &member("bob"), Some(json!({"role": "member"})), &[]).await.status;
    assert_eq!(down().await, 204, "a moderator steps down");
    assert_eq!(bob.call("DELETE", &member("dave"), None, &[]).await.status, 403);
    assert_eq!(alice.call("DELETE", &member("bob"), None, &[]).await.status, 204);
}

#[tokio::test]
async fn several_users_are_added_by_one_event_or_nobody_is() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob", "gone"], "title": "all"})).await;
    let path = format!("/v1/threads/{thread}/members");
    let add = async |users: &[&str]| alice.post(&path, json!({"users": users})).await.status.as_u16();
    let mut stream = world.open(0, "dave", None).await;
    stream.expect("hello").await;

    assert_eq!(add(&["bob", "carol", "dave"]).await, 204);
    let told = stream.expect("member").await.data;
    assert_eq!(
        (&told["user"], &told["others"], &told["state"]),
        (&json!("carol"), &json!(["dave"]), &json!("invited"))
    );
    alice.say(&thread, "welcome").await;
    assert_eq!(stream.expect("message").await.data["text"], "welcome");
    let after = alice.get(&format!("/v1/threads/{thread}")).await.body;
    let members: Vec<&Value> = after["members"].as_array().unwrap().iter().map(|m| &m["user"]).collect();
    assert_eq!(members, ["alice", "bob", "carol", "dave", "gone"]);
    assert_eq!(after["last"]["tseq"], 3, "one event for both");
    assert_eq!(add(&["carol", "dave"]).await, 204, "nothing to do");
    world.as_user("carol").say(&thread, "thanks").await;

    // One who does not want to keeps the others out as well.
    let own = format!("{path}/gone");
    assert_eq!(world.as_user("gone").call("DELETE", &own, None, &[]).await.status, 204);
    assert_eq!(add(&["erin", "gone"]).await, 403);
    assert_eq!(world.as_user("erin").get(&format!("/v1/threads/{thread}")).await.status, 404);
    assert_eq!(add(&[]).await, 422);
    let crowd: Vec<String> = (0..91).map(|n| format!("u{n}")).collect();
    assert_eq!(alice.post(&path, json!({"users": crowd})).await.status, 422);
    assert_eq!(alice.post(&path, json!({"users": &crowd[..90]})).await.status, 204);
    let stranger = world.as_user("mallory").post(&path, json!({"users": ["mallory"]})).await;
    assert_eq!(stranger.status, 404);
    let direct = alice.thread(json!({"members": ["bob"]})).await;
    let answer = alice.post(&format!("/v1/threads/{direct}/members"), json!({"users": ["carol"]})).await;
    assert_eq!(answer.status, 409);
}
