//! A write that others overtake between its reads and its commit.

use client::sse::Stream;
use http::StatusCode;
use serde_json::{Value, json};
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault, Moment},
    world::World,
};

/// Frames up to `id`, by event and data.
async fn up_to(stream: &mut Stream, id: &str) -> Vec<(String, Value)> {
    let mut shown = Vec::new();
    loop {
        let frame = stream.next().await;
        let done = frame.id == id;
        shown.push((frame.event, frame.data));
        if done {
            return shown;
        }
    }
}

#[tokio::test]
async fn who_is_removed_between_read_and_write_of_a_send_sends_nothing() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "club"})).await;
    let mut stream = world.open(0, "carol", None).await;
    stream.expect("hello").await;
    // Bob's own process has read that he is a member, and is about to commit.
    let slow = world.side().await;
    let commit = slow.faults.hold(Call::to("TransactWriteItems"), Moment::Before);
    let bob = client::http::Api { address: slow.api, ..world.as_user("bob") };
    let path = format!("/v1/threads/{thread}/messages");
    let sending = async {
        let sent = bob.post(&path, json!({"text": "too late"})).await;
        assert_eq!(sent.status, StatusCode::NOT_FOUND, "{sent:?}");
    };
    let removing = async {
        commit.reached().await;
        let removed = alice.call("DELETE", &format!("/v1/threads/{thread}/members/bob"), None, &[]).await;
        assert_eq!(removed.status, 204);
        commit.release();
    };
    tokio::join!(sending, removing);
    assert_eq!(stream.expect("member").await.data["change"], "removed");
    alice.say(&thread, "without bob").await;
    assert_eq!(stream.expect("message").await.data["text"], "without bob");
    let left = world.as_user("bob").get("/v1/threads").await.body;
    let mut bob = world.open(0, "bob", Some(&begin(&left))).await;
    bob.expect("hello").await;
    let shown = up_to(&mut bob, left["cursor"].as_str().unwrap()).await;
    assert_eq!(shown.last().unwrap().1["change"], "removed", "nothing after the leaving: {shown:?}");
}

/// The cursor before everything.
fn begin(list: &Value) -> String {
    format!("{}.0", list["cursor"].as_str().unwrap().split_once('.').unwrap().0)
}

#[tokio::test]
async fn a_fan_out_that_a_removal_overtakes_shows_the_leaver_what_was_before() {
    for moment in [Moment::Before, Moment::After] {
        let world = World::start(Topology::PerUser, 1).await;
        let alice = world.as_user("alice");
        let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "club"})).await;
        let slow = world.side().await;
        // The commit is done; bob's inbox is next.
        let append = slow.faults.hold(Call::to("UpdateItem").about("U#bob"), moment);
        let sender = client::http::Api { address: slow.api, ..alice.clone() };
        let sending = async { sender.say(&thread, "before").await };
        let removing = async {
            append.reached().await;
            alice.call("DELETE", &format!("/v1/threads/{thread}/members/bob"), None, &[]).await;
            alice.say(&thread, "after").await;
            append.release();
        };
        tokio::join!(sending, removing);
        let list = world.as_user("bob").get("/v1/threads").await.body;
        assert_eq!(list["items"], json!([]));
        let mut bob = world.open(0, "bob", Some(&begin(&list))).await;
        bob.expect("hello").await;
        let shown = up_to(&mut bob, list["cursor"].as_str().unwrap()).await;
        let events: Vec<&str> = shown.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(events, ["thread", "message", "member"], "{moment:?}: {shown:?}");
        assert_eq!(shown[1].1["text"], "before");
    }
}

#[tokio::test]
async fn two_who_send_at_once_are_both_heard_in_one_order() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let slow = world.side().await;
    let commit = slow.faults.hold(Call::to("TransactWriteItems"), Moment::Before);
    let overtaken = client::http::Api { address: slow.api, ..alice.clone() };
    let overtaking = async {
        commit.reached().await;
        bob.say(&thread, "first").await;
        commit.release();
    };
    let (second, ()) = tokio::join!(overtaken.say(&thread, "second"), overtaking);
    assert_eq!((&second["number"], &second["tseq"]), (&json!(2), &json!(3)));
}

#[tokio::test]
async fn an_answer_that_is_lost_doubles_nothing() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    // Once: the SDK repeats it. Thrice: the idempotency row decides.
    for times in [1, 3] {
        for n in 1..=times {
            world.faults.on(Call::to("TransactWriteItems").nth(n), Fault::Reset(Moment::After));
        }
        alice.post(&format!("/v1/threads/{thread}/messages"), json!({"text": times.to_string()})).await;
    }
    let listed = alice.get(&format!("/v1/threads/{thread}/messages")).await.body;
    let texts: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|m| &m["text"]).collect();
    assert_eq!(texts, ["3", "1"]);
}

#[tokio::test]
async fn who_repeats_a_request_after_leaving_is_not_shown_what_was_changed_since() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"], "title": "club"})).await;
    let path = format!("/v1/threads/{thread}");
    let messages = format!("{path}/messages");
    let said = alice.say(&thread, "hi").await;
    let reaction = format!("{messages}/{}/reactions/+1", said["tseq"]);
    let key = |key: &'static str| [("idempotency-key", key)];
    let react = async || bob.call("PUT", &reaction, None, &key("react")).await;
    let own = async || bob.call("POST", &messages, Some(json!({"text": "mine"})), &key("own")).await;
    assert_eq!(react().await.body["text"], "hi");
    let mine = own().await.body;
    assert_eq!(alice.call("DELETE", &format!("{path}/members/bob"), None, &[]).await.status, 204);
    let text = Some(json!({"text": "since"}));
    alice.call("PATCH", &format!("{messages}/{}", said["tseq"]), text, &[]).await;
    let reaction = format!("{messages}/{}/reactions/+1", mine["tseq"]);
    alice.call("PUT", &reaction, None, &[]).await;
    let again = react().await;
    assert_eq!((again.status.as_u16(), &again.body["text"]), (200, &json!(null)), "{again:?}");
    let again = own().await;
    assert_eq!((again.status.as_u16(), &again.body["reactions"]), (200, &json!(null)), "{again:?}");
}

#[tokio::test]
async fn a_request_that_was_accepted_is_not_refused_when_it_comes_again_though_its_sender_has_left_since() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "club"})).await;
    // Both of bob's requests have read that his key is unknown: one is about to commit, the other to look
    // whether he is a member.
    let (slow, other) = (world.side().await, world.side().await);
    let commit = slow.faults.hold(Call::to("TransactWriteItems"), Moment::Before);
    let membership = other.faults.hold(Call::to("BatchGetItem").about("M#bob"), Moment::Before);
    let say = async |address| {
        let bob = client::http::Api { address, ..world.as_user("bob") };
        let path = format!("/v1/threads/{thread}/messages");
        bob.call("POST", &path, Some(json!({"text": "once"})), &[("idempotency-key", "one")]).await
    };
    let leaving = async {
        commit.reached().await;
        membership.reached().await;
        commit.release();
        slow.faults.answered(|made| made.operation == "TransactWriteItems").await;
        let left = world.as_user("bob");
        let left = left.call("DELETE", &format!("/v1/threads/{thread}/members/bob"), None, &[]).await;
        assert_eq!(left.status, 204);
        membership.release();
    };
    let (sent, again, ()) = tokio::join!(say(slow.api), say(other.api), leaving);
    assert_eq!((sent.status, again.status), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(sent.body, again.body);
}

#[tokio::test]
async fn an_edit_of_a_message_that_was_read_before_another_change_keeps_that_change() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let direct = || json!({"members": ["bob"]});
    let group = || json!({"members": ["bob"], "title": "two"});
    for (members, deletes) in [(direct(), false), (group(), false), (direct(), true), (group(), true)] {
        let thread = alice.thread(members).await;
        let said = alice.say(&thread, "draft").await;
        let message = format!("/v1/threads/{thread}/messages/{}", said["tseq"]);
        let reaction = format!("{message}/reactions/+1");
        // It has read the message without the other change.
        let slow = world.side().await;
        let found = slow.faults.hold(Call::to("BatchGetItem").about("E#"), Moment::After);
        let editing = async {
            let alice = client::http::Api { address: slow.api, ..world.as_user("alice") };
            alice.call("PATCH", &message, Some(json!({"text": "final"})), &[]).await
        };
        let changing = async {
            found.reached().await;
            let changed = if deletes {
                alice.call("DELETE", &message, None, &[]).await
            } else {
                world.as_user("bob").call("PUT", &reaction, None, &[]).await
            };
            assert!(changed.status.is_success(), "{changed:?}");
            found.release();
        };
        let (edited, ()) = tokio::join!(editing, changing);
        let listed = &alice.get(&format!("/v1/threads/{thread}/messages")).await.body["items"][0];
        let seen = (edited.status, &listed["text"], &listed["reactions"]["+1"], &listed["deleted"]);
        let bob = json!(["bob"]);
        if deletes {
            assert_eq!(seen, (StatusCode::CONFLICT, &Value::Null, &Value::Null, &json!(true)));
        } else {
            assert_eq!(seen, (StatusCode::OK, &json!("final"), &bob, &Value::Null));
        }
    }
}
