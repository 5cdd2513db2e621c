//! `docs/WIRE.md` says what the service says.

use std::collections::BTreeMap;

use client::sse::{Frame, parse};
use serde_json::{Map, Value, json};
use sse_edge::config::Topology;
use tests::world::World;

/// A value with its scalars replaced by the names of their types, and a list by its first item.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(items) => items.first().map_or(json!([]), |first| json!([shape(first)])),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect::<Map<_, _>>(),
        ),
    }
}

/// The examples of the page, by the name in the comment before each.
fn examples(kind: &str) -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/WIRE.md")).unwrap();
    let mark = format!("<!-- {kind}: ");
    page.split(&mark)
        .skip(1)
        .map(|part| {
            let (name, rest) = part.split_once(" -->\n```").unwrap();
            let block = rest.split_once('\n').unwrap().1.split_once("```").unwrap().0;
            (name.to_owned(), block.to_owned())
        })
        .collect()
}

fn same_frame(examples: &mut BTreeMap<String, String>, seen: &Frame) {
    same_frame_as(&seen.event, examples, seen);
}

fn same_frame_as(name: &str, examples: &mut BTreeMap<String, String>, seen: &Frame) {
    let Some(example) = examples.remove(name) else { return };
    let example = parse(&format!("{example}\n"));
    assert_eq!(shape(&example.data), shape(&seen.data), "{seen:?}");
    assert_eq!(example.retry.is_some(), seen.retry.is_some(), "{seen:?}");
}

#[tokio::test]
async fn every_frame_in_the_docs_has_the_form_of_a_real_one() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let mut examples = examples("frame");
    let mut stream = world.open(0, "bob", Some("0000000000000.1")).await;
    let hello = stream.expect("hello").await;
    assert_eq!(hello.data["status"], "reset", "it says what follows");
    same_frame(&mut examples, &hello);
    same_frame(&mut examples, &stream.expect("reset").await);
    let thread = alice.thread(json!({"members": ["bob"], "title": "ours"})).await;
    same_frame(&mut examples, &stream.expect("thread").await);
    bob.post(&format!("/v1/threads/{thread}/accept"), json!({})).await;
    same_frame(&mut examples, &stream.expect("me").await);
    let said = alice.say(&thread, "hi").await;
    same_frame(&mut examples, &stream.expect("message").await);
    let message = format!("/v1/threads/{thread}/messages/{}", said["tseq"]);
    alice.call("PATCH", &message, Some(json!({"text": "hi all"})), &[]).await;
    same_frame(&mut examples, &stream.expect("edit").await);
    bob.call("PUT", &format!("{message}/reactions/+1"), None, &[]).await;
    same_frame(&mut examples, &stream.expect("reaction").await);
    alice.call("DELETE", &message, None, &[]).await;
    same_frame(&mut examples, &stream.expect("delete").await);
    alice.call("PATCH", &format!("/v1/threads/{thread}"), Some(json!({"title": "all of us"})), &[]).await;
    same_frame_as("thread renamed", &mut examples, &stream.expect("thread").await);
    alice.call("PUT", &format!("/v1/threads/{thread}/members/carol"), None, &[]).await;
    same_frame(&mut examples, &stream.expect("member").await);
    bob.post(&format!("/v1/threads/{thread}/seen"), json!({"number": 1})).await;
    same_frame(&mut examples, &stream.expect("seen").await);
    alice.post(&format!("/v1/threads/{thread}/typing"), json!({"state": "started"})).await;
    same_frame(&mut examples, &stream.expect("typing").await);
    let ((), bye) = tokio::join!(world.edges[0].edge.drain(), stream.next());
    same_frame(&mut examples, &bye);
    assert!(examples.is_empty(), "never seen: {examples:?}");
}

#[tokio::test]
async fn every_body_in_the_docs_has_the_form_of_a_real_one() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let mut examples = examples("body");
    let lost = world.poll(0, "alice", Some("0000000000000.1"), 0).await;
    let at = lost.body["cursor"].as_str().unwrap().to_owned();
    let picture =
        json!({"name": "Bob Stone", "avatar": "https://files.example/bob.png", "data": {"team": 7}});
    let profile = world.as_user("bob").call("PUT", "/v1/me/profile", Some(picture), &[]).await;
    let thread = alice.thread(json!({"members": ["bob"], "title": "ours"})).await;
    let path = format!("/v1/threads/{thread}");
    let first = alice.say(&thread, "hi").await;
    // The example shows the message only, and an answer may hold less than all there is.
    let opened = world.poll(0, "alice", Some(&at), 25).await;
    let mut polled = match opened.body["events"].as_array().unwrap().len() {
        1 => world.poll(0, "alice", opened.body["cursor"].as_str(), 25).await,
        _ => opened,
    };
    let events = polled.body["events"].as_array_mut().unwrap();
    events.retain(|event| event["event"] == "message");
    let message = |message: &Value| format!("{path}/messages/{}", message["tseq"]);
    alice.call("PATCH", &message(&first), Some(json!({"text": "hi all"})), &[]).await;
    let reaction = format!("{}/reactions/%F0%9F%91%8D", message(&first));
    let changed = alice.call("PUT", &reaction, None, &[]).await;
    let second = alice.say(&thread, "gone").await;
    alice.call("DELETE", &message(&second), None, &[]).await;
    let mut deleted = alice.get(&format!("{path}/messages")).await;
    deleted.body = deleted.body["items"][0].take();
    assert_eq!(alice.call("PUT", "/v1/me/blocks/mallory", None, &[]).await.status, 204);
    let reply = json!({"text": "yes", "reply_to": first["tseq"]});
    let reply = alice.post(&format!("{path}/messages"), reply).await.body;
    let mut page = alice.get(&format!("{path}/messages?limit=1&after={}", second["tseq"])).await;
    assert_eq!(page.body["items"][0]["id"], reply["id"]);
    // The example has the first message as it was sent.
    page.body["included"]["messages"][0] = first.clone();
    let answers = [
        ("changed message", changed),
        ("messages", page),
        ("service", alice.get("/v1").await),
        ("deleted message", deleted),
        ("poll", polled),
        ("poll-reset", lost),
        ("message", alice.post(&format!("{path}/messages"), json!({"text": "hi"})).await),
        ("thread", alice.get(&path).await),
        ("threads", alice.get("/v1/threads").await),
        ("seen", alice.post(&format!("{path}/seen"), json!({"number": 1})).await),
        ("presence", alice.get(&format!("{path}/presence")).await),
        ("profile", profile),
        ("users", alice.get("/v1/users?ids=bob,carol").await),
        ("blocks", alice.get("/v1/me/blocks").await),
        ("ticket", alice.post("/v1/tickets", json!({})).await),
        ("problem", alice.get("/v1/threads/t_none").await),
    ];
    for (name, answer) in answers {
        let example = examples.remove(name).expect("an example of every body");
        let example: Value = serde_json::from_str(&example).unwrap();
        assert_eq!(shape(&example), shape(&answer.body), "{name}");
    }
    assert!(examples.is_empty(), "never seen: {examples:?}");
}
