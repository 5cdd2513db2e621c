//! Consent: what strangers begin is an invitation.

use aws_sdk_dynamodb::types::AttributeValue;
use client::http::Api;
use domain::{contact::ContactPolicy, limits};
use futures_util::future::join_all;
use serde_json::{Value, json};
use server::auth::scope::Scope;
use sse_edge::config::Topology;
use store::table::keys;
use tests::{
    faults::{Call, Fault},
    world::World,
};

/// Ten accounts bring a user into a thousand threads.
const FLOODERS: usize = 10;
/// Views in their places: those that a list shows, as many that came since the inbox was tidied, and a few of other threads.
const MOST_IN_PLACE: usize = 2 * limits::INVITATIONS_SHOWN + 10;
const EACH: usize = 100;

async fn list(api: &Api, query: &str) -> Vec<Value> {
    api.get(&format!("/v1/threads?limit=100{query}")).await.body["items"].as_array().unwrap().clone()
}

async fn state(api: &Api, thread: &str) -> Value {
    api.get(&format!("/v1/threads/{thread}")).await.body["state"].clone()
}

async fn accept(api: &Api, thread: &str) -> u16 {
    api.call("POST", &format!("/v1/threads/{thread}/accept"), None, &[]).await.status.as_u16()
}

#[tokio::test]
async fn a_thread_that_another_has_begun_is_an_invitation_until_it_is_accepted() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let mut stream = world.open(0, "bob", None).await;
    stream.expect("hello").await;
    let direct = alice.thread(json!({"members": ["bob"]})).await;
    let told = stream.expect("thread").await.data;
    assert_eq!((&told["by"], &told["thread"]["state"]), (&json!("alice"), &json!("invited")));
    assert_eq!(
        (state(&alice, &direct).await, state(&bob, &direct).await),
        (json!("active"), json!("invited"))
    );
    assert_eq!(list(&bob, "&state=active").await, [] as [Value; 0]);
    assert_eq!(list(&bob, "&state=invited").await.len(), 1);
    assert_eq!(list(&bob, "").await[0]["state"], "invited");
    assert_eq!(bob.get("/v1/threads?state=hidden").await.status, 422);
    // The invited one hears everything, and is free to look at it.
    alice.say(&direct, "hello?").await;
    assert_eq!(stream.expect("message").await.data["text"], "hello?");
    assert_eq!(bob.get(&format!("/v1/threads/{direct}/messages")).await.status, 200);
    assert_eq!(state(&bob, &direct).await, "invited");
    for _ in 0..2 {
        assert_eq!(accept(&bob, &direct).await, 204);
    }
    let me = stream.expect("me").await.data;
    assert_eq!(me, json!({"thread": direct, "state": "active"}));
    assert_eq!((state(&bob, &direct).await, list(&bob, "&state=invited").await.len()), (json!("active"), 0));
    // Accepting twice tells once.
    alice.say(&direct, "welcome").await;
    assert_eq!(stream.expect("message").await.data["text"], "welcome");
    for (who, thread) in [("mallory", direct.as_str()), ("bob", "t_none")] {
        assert_eq!(accept(&world.as_user(who), thread).await, 404, "{who}");
    }
}

#[tokio::test]
async fn writing_reacting_and_reading_accept_an_invitation() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let others = ["writer", "reactor", "reader", "silent"];
    let thread = alice.thread(json!({"members": others, "title": "club"})).await;
    let said = alice.say(&thread, "hi").await;
    let path = |rest: &str| format!("/v1/threads/{thread}/{rest}");
    world.as_user("writer").say(&thread, "hi").await;
    let reaction = path(&format!("messages/{}/reactions/+1", said["tseq"]));
    assert_eq!(world.as_user("reactor").call("PUT", &reaction, None, &[]).await.status, 200);
    // What was there before the invitation is read already, and marking it accepts nothing.
    assert_eq!(world.as_user("silent").post(&path("seen"), json!({"number": 0})).await.status, 200);
    assert_eq!(world.as_user("reader").post(&path("seen"), json!({"number": 1})).await.status, 200);
    for who in others {
        let wanted = if who == "silent" { "invited" } else { "active" };
        assert_eq!(state(&world.as_user(who), &thread).await, wanted, "{who}");
        assert_eq!(list(&world.as_user(who), "").await[0]["state"], wanted, "{who}");
    }
}

#[tokio::test]
async fn a_member_who_left_a_group_is_added_again_only_with_consent() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "club"})).await;
    let member = |user: &str| format!("/v1/threads/{thread}/members/{user}");
    assert_eq!(bob.call("DELETE", &member("bob"), None, &[]).await.status, 204);
    for by in ["alice", "carol"] {
        let refused = world.as_user(by).call("PUT", &member("bob"), None, &[]).await;
        assert_eq!(refused.status, 403, "{refused:?}");
    }
    assert_eq!(bob.get(&format!("/v1/threads/{thread}")).await.status, 404);
    assert_eq!(accept(&bob, &thread).await, 204);
    assert_eq!(bob.get(&format!("/v1/threads/{thread}")).await.status, 404, "it only allows others to");
    assert_eq!(alice.call("PUT", &member("bob"), None, &[]).await.status, 204);
    assert_eq!(state(&bob, &thread).await, "invited");
    // One who was taken out may be taken in again.
    assert_eq!(alice.call("DELETE", &member("carol"), None, &[]).await.status, 204);
    assert_eq!(accept(&world.as_user("carol"), &thread).await, 404);
    assert_eq!(alice.call("PUT", &member("carol"), None, &[]).await.status, 204);
}

#[tokio::test]
async fn a_user_flooded_with_invitations_still_writes_and_receives() {
    let world = World::start(Topology::PerUser, 1).await;
    let (victim, friend) = (world.as_user("victim"), world.as_user("friend"));
    let old = friend.thread(json!({"members": ["victim"], "title": "old friends"})).await;
    assert_eq!(accept(&victim, &old).await, 204);
    let flooded = (0..FLOODERS).map(|flooder| {
        let flooder = world.as_user(&format!("flooder{flooder}"));
        async move {
            for n in 0..EACH {
                flooder.thread(json!({"members": ["victim"], "title": format!("buy {n}")})).await;
            }
        }
    });
    join_all(flooded).await;
    assert_eq!(list(&victim, "&state=invited").await.len(), limits::INVITATIONS_SHOWN);
    assert_eq!(list(&victim, "&state=active").await.len(), 1);
    let mut stream = world.open(0, "victim", None).await;
    stream.expect("hello").await;
    let direct = friend.thread(json!({"members": ["victim"]})).await;
    stream.expect("thread").await;
    friend.say(&direct, "still there?").await;
    assert_eq!(stream.expect("message").await.data["text"], "still there?");
    assert_eq!(list(&victim, "&state=invited").await[0]["id"], direct.as_str());
    victim.say(&direct, "yes").await;
    victim.thread(json!({"members": ["another"], "title": "mine"})).await;
    assert_eq!(list(&victim, "&state=active").await.len(), 3);
    // No list reads all of the others.
    let (places, shelf) = rows_of_views(&world, "victim").await;
    assert!(places <= MOST_IN_PLACE, "{places} in their places, {shelf} on the shelf");
    // The latest few are not folded yet.
    assert!(places + shelf + 50 >= FLOODERS * EACH, "{places} in their places, {shelf} on the shelf");
    // One that has fallen off the list comes back with the next word in it.
    let first = world.as_user("flooder0");
    let lost = list(&first, "").await.pop().unwrap()["id"].as_str().unwrap().to_owned();
    let is_listed =
        async || list(&victim, "&state=invited").await.iter().any(|thread| thread["id"] == lost.as_str());
    assert!(!is_listed().await);
    first.say(&lost, "and now?").await;
    assert!(is_listed().await);
    // It is told once, and nothing before it again.
    for (event, text) in [("message", json!("yes")), ("thread", Value::Null), ("message", json!("and now?"))]
    {
        assert_eq!(stream.expect(event).await.data["text"], text);
    }
    assert_eq!(accept(&victim, &lost).await, 204);
    assert_eq!(stream.expect("me").await.data["thread"], lost.as_str());
    assert_eq!(list(&victim, "&state=active").await.len(), 4);
}

/// The rows of a user's views: in their places, and on the shelf.
async fn rows_of_views(world: &World, user: &str) -> (usize, usize) {
    let count = async |prefix: &str| {
        let query = world.dynamodb.query().table_name(&world.stage);
        let query = query.key_condition_expression("pk = :pk AND begins_with(sk, :prefix)");
        let query = query.expression_attribute_values(":pk", AttributeValue::S(format!("U#{user}")));
        let query = query.expression_attribute_values(":prefix", AttributeValue::S(prefix.into()));
        query.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap().len()
    };
    (count(keys::VIEWS).await, count(keys::SHELF).await)
}

#[tokio::test]
async fn invitations_that_come_back_to_the_list_push_others_out() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, victim) = (world.as_user("alice"), world.as_user("victim"));
    let mut threads = Vec::new();
    for n in 0..limits::INVITATIONS_SHOWN + 60 {
        threads.push(alice.thread(json!({"members": ["victim"], "title": format!("buy {n}")})).await);
    }
    for thread in &threads {
        alice.say(thread, "buy").await;
    }
    let (places, shelf) = rows_of_views(&world, "victim").await;
    assert!(places <= MOST_IN_PLACE, "{places} in their places, {shelf} on the shelf");
    // One on the shelf can be accepted as well.
    let shelved = threads[0].as_str();
    assert_ne!(list(&victim, "&state=invited").await.last().unwrap()["id"], shelved);
    assert_eq!(accept(&victim, shelved).await, 204);
    let active = list(&victim, "&state=active").await;
    assert_eq!(
        (&active[0]["id"], &active[0]["number"], &active[0]["unread"]),
        (&json!(shelved), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn an_invitation_that_cannot_be_shelved_stays_where_it_is() {
    let world = World::start(Topology::PerUser, 1).await;
    let side = world.side_showing(2).await;
    let [alice, victim] = ["alice", "victim"].map(|user| Api { address: side.api, ..world.as_user(user) });
    let first = alice.thread(json!({"members": ["victim"], "title": "first"})).await;
    alice.say(&first, "hello").await;
    // The shelf takes none.
    for nth in 1..=200 {
        side.faults.on(Call::to("PutItem").about("S#t_").nth(nth), Fault::Refuse(400, "ValidationException"));
    }
    for n in 0..40 {
        alice.thread(json!({"members": ["victim"], "title": format!("buy {n}")})).await;
    }
    let calls = side.faults.take();
    assert!(calls.iter().any(|call| call.is("PutItem", &["S#", "U#"])), "no view was to be shelved");
    assert_eq!(rows_of_views(&world, "victim").await.1, 0);
    let mut stream = world.open(0, "victim", None).await;
    stream.expect("hello").await;
    alice.say(&first, "are you there?").await;
    let told = stream.expect("message").await.data;
    assert_eq!((&told["text"], &told["number"]), (&json!("are you there?"), &json!(2)));
    assert_eq!(list(&victim, "&state=invited").await[0]["id"], first.as_str());
}

#[tokio::test]
async fn a_view_goes_to_the_shelf_and_back_as_often_as_its_thread_has_news() {
    let world = World::start(Topology::PerUser, 0).await;
    let side = world.side_showing(1).await;
    let [alice, victim] = ["alice", "victim"].map(|user| Api { address: side.api, ..world.as_user(user) });
    let mut threads = Vec::new();
    for n in 0..4 {
        threads.push(alice.thread(json!({"members": ["victim"], "title": format!("group {n}")})).await);
    }
    let mut most = 0;
    for _ in 0..3 {
        for thread in &threads {
            for _ in 0..20 {
                alice.say(thread, "hi").await;
            }
        }
        most = most.max(rows_of_views(&world, "victim").await.1);
    }
    assert!(most >= 2, "{most} on the shelf");
    for thread in &threads {
        assert_eq!(accept(&victim, thread).await, 204);
    }
    let listed = list(&victim, "&state=active").await;
    let told: Vec<_> = listed.iter().map(|thread| (&thread["number"], &thread["last"]["number"])).collect();
    assert_eq!(told, vec![(&json!(60), &json!(60)); 4]);
}

#[tokio::test]
async fn the_contact_policy_decides_who_creates_threads() {
    let world = World::start(Topology::PerUser, 0).await;
    let anyone = world.side_with(ContactPolicy::Anyone).await;
    let at = |api: Api, side: &tests::world::Side| Api { address: side.api, ..api };
    let bob = world.as_user("bob");
    let open = at(world.as_user("alice"), &anyone).thread(json!({"members": ["bob"], "title": "open"})).await;
    assert_eq!(state(&bob, &open).await, "active");
    let service = world.side_with(ContactPolicy::Service).await;
    let alice = at(world.as_user("alice"), &service);
    for members in [json!(["bob"]), json!(["bob", "carol"])] {
        assert_eq!(alice.post("/v1/threads", json!({"members": members})).await.status, 403);
    }
    let add = format!("/v1/threads/{open}/members/carol");
    assert_eq!(alice.call("PUT", &add, None, &[]).await.status, 403);
    let backend = at(world.as_service("backend", &[Scope::Act]), &service);
    let as_alice = [("runnel-user", "alice")];
    assert_eq!(backend.call("PUT", &add, None, &as_alice).await.status, 204);
    let body = Some(json!({"members": ["bob"]}));
    let made = backend.call("POST", "/v1/threads", body, &as_alice).await;
    assert_eq!(made.status, 201, "{made:?}");
    let direct = made.body["id"].as_str().unwrap();
    assert_eq!(
        (state(&bob, direct).await, state(&world.as_user("carol"), &open).await),
        (json!("active"), json!("active"))
    );
    // A thread that is there is found, and used.
    assert_eq!(alice.thread(json!({"members": ["bob"]})).await, direct);
    alice.say(direct, "hi").await;
}
