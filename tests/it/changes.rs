//! Messages edited, deleted and reacted to, and groups renamed: HTTP in, frames out.

use client::{
    http::{Answer, Api},
    sse::Stream,
};
use serde_json::{Value, json};
use sse_edge::config::Topology;
use tests::world::World;

/// Where a message is.
fn place(message: &Value) -> String {
    format!("/v1/threads/{}/messages/{}", message["thread"].as_str().unwrap(), message["tseq"])
}

fn reaction(message: &Value, emoji: &str) -> String {
    format!("{}/reactions/{emoji}", place(message))
}

const UP: &str = "%F0%9F%91%8D";

async fn edit(api: &Api, message: &Value, text: &str) -> Answer {
    api.call("PATCH", &place(message), Some(json!({"text": text})), &[]).await
}

async fn delete(api: &Api, message: &Value) -> Answer {
    api.call("DELETE", &place(message), None, &[]).await
}

/// Every byte of a stream up to the first frame that says `last`.
async fn bytes_until(stream: &mut Stream, last: &str) -> String {
    let mut all = String::new();
    while !all.contains(last) {
        all.push_str(&stream.bytes().await.expect("the stream goes on"));
    }
    all
}

#[tokio::test]
async fn an_edit_is_told_listed_and_counts_as_no_message() {
    for members in [json!({"members": ["bob"]}), json!({"members": ["bob"], "title": "two"})] {
        let world = World::start(Topology::PerUser, 2).await;
        let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
        let thread = alice.thread(members).await;
        let mut stream = world.open(0, "bob", None).await;
        let cursor = stream.expect("hello").await.id;
        let said = alice.say(&thread, "hallo").await;
        stream.expect("message").await;
        let edited = edit(&alice, &said, "hello").await;
        assert_eq!(edited.status, 200, "{edited:?}");
        let frame = stream.expect("edit").await;
        let at = &frame.data["at"];
        assert_eq!(
            frame.data,
            json!({"thread": thread, "tseq": 3, "message": 2, "from": "alice", "text": "hello", "at": at})
        );
        let id = format!("{thread}.2");
        let now = json!({"id": id, "thread": thread, "tseq": 2, "number": 1, "from": "alice", "text": "hello",
            "at": said["at"], "edited_at": at, "changed": 3});
        assert_eq!(edited.body, now);
        let listed = bob.get(&format!("/v1/threads/{thread}/messages")).await;
        assert_eq!(listed.body["items"], json!([now]));
        let threads = bob.get("/v1/threads").await;
        let item = &threads.body["items"][0];
        assert_eq!((&item["number"], &item["unread"], &item["last"]), (&json!(1), &json!(1), &now));
        // The same text again is no event.
        assert_eq!(edit(&alice, &said, "hello").await.body, now);
        let next = alice.say(&thread, "next").await;
        assert_eq!((&next["tseq"], &next["number"]), (&json!(4), &json!(2)));
        // Who comes late is told of both as they are now.
        edit(&alice, &said, "hello!").await;
        let mut late = world.open(1, "bob", Some(&cursor)).await;
        late.expect("hello").await;
        assert_eq!(late.expect("message").await.data["text"], "hello!");
        assert_eq!(late.expect("edit").await.data["text"], "hello!");
    }
}

#[tokio::test]
async fn a_deleted_text_is_nowhere_to_be_had() {
    for members in [json!({"members": ["bob"]}), json!({"members": ["bob"], "title": "two"})] {
        let world = World::start(Topology::PerUser, 2).await;
        let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
        let thread = alice.thread(members).await;
        let mut live = world.open(0, "bob", None).await;
        let cursor = live.expect("hello").await.id;
        let key = [("idempotency-key", "one")];
        let path = format!("/v1/threads/{thread}/messages");
        let said = alice.call("POST", &path, Some(json!({"text": "secret"})), &key).await.body;
        // Who is there hears it, before it is gone.
        assert_eq!(live.expect("message").await.data["text"], "secret");
        edit(&alice, &said, "top secret").await;
        assert_eq!(live.expect("edit").await.data["text"], "top secret");
        bob.call("PUT", &reaction(&said, UP), None, &[]).await;
        assert_eq!(delete(&alice, &said).await.status, 204);
        live.expect("reaction").await;
        live.expect("delete").await;
        // From the ring of the edge that had it, and from the inbox alone.
        for edge in 0..2 {
            let mut late = world.open(edge, "bob", Some(&cursor)).await;
            let told = bytes_until(&mut late, "event: delete").await;
            assert!(told.contains("event: message") && told.contains("event: edit"), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
        let id = format!("{thread}.2");
        let gone = json!({"id": id, "thread": thread, "tseq": 2, "number": 1, "from": "alice", "deleted": true,
            "at": said["at"], "changed": 5});
        assert_eq!(bob.get(&path).await.body["items"], json!([gone]));
        let one = bob.get(&format!("/v1/threads/{thread}")).await;
        assert_eq!((&one.body["last"], &one.body["number"]), (&gone, &json!(1)));
        let threads = bob.get("/v1/threads").await.body["items"][0].clone();
        assert_eq!((&threads["last"], &threads["unread"]), (&gone, &json!(1)));
        let again = alice.call("POST", &path, Some(json!({"text": "secret"})), &key).await;
        let own = json!({"key": "one"});
        let own = gone.as_object().unwrap().iter().chain(own.as_object().unwrap());
        let own = Value::Object(own.map(|(name, value)| (name.clone(), value.clone())).collect());
        assert_eq!((again.status.as_u16(), &again.body), (200, &own), "a repetition yields it neither");
        // It stays deleted, whoever asks for what.
        assert_eq!(delete(&alice, &said).await.status, 204);
        assert_eq!(edit(&alice, &said, "back").await.status, 409);
        assert_eq!(bob.call("PUT", &reaction(&said, UP), None, &[]).await.status, 409);
        assert_eq!(alice.say(&thread, "next").await["tseq"], 6, "none of this was logged");
    }
}

#[tokio::test]
async fn an_edit_and_a_deletion_at_once_end_deleted() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    for members in [json!({"members": ["bob"]}), json!({"members": ["bob"], "title": "two"})] {
        let thread = alice.thread(members).await;
        let said = alice.say(&thread, "draft 0").await;
        let mut stream = world.open(0, "bob", None).await;
        let cursor = stream.expect("hello").await.id;
        let texts: Vec<String> = (1..=4).map(|n| format!("draft {n}")).collect();
        let edits = async {
            let mut statuses = Vec::new();
            for text in &texts {
                statuses.push(edit(&alice, &said, text).await.status.as_u16());
            }
            statuses
        };
        let deleted = async {
            alice.say(&thread, "between").await;
            delete(&alice, &said).await.status.as_u16()
        };
        let (statuses, deleted) = tokio::join!(edits, deleted);
        assert_eq!(deleted, 204);
        assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
        assert!(statuses.is_sorted(), "nothing is edited once it is deleted: {statuses:?}");
        let listed = alice.get(&format!("/v1/threads/{thread}/messages")).await;
        assert_eq!(listed.body["items"][1]["deleted"], true, "{listed:?}");
        bytes_until(&mut stream, "event: delete").await;
        let mut late = world.open(0, "bob", Some(&cursor)).await;
        let told = bytes_until(&mut late, "event: delete").await;
        assert!(!told.contains("draft"), "{told}");
    }
}

#[tokio::test]
async fn a_change_is_its_authors_and_of_a_message_that_is_there() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob, mallory) = (world.as_user("alice"), world.as_user("bob"), world.as_user("mallory"));
    let thread = alice.thread(json!({"members": ["bob"], "title": "two"})).await;
    let said = alice.say(&thread, "hi").await;
    let nowhere = json!({"thread": "t_doesnotexist", "tseq": 2});
    for (api, message, status) in [(&bob, &said, 403), (&mallory, &said, 404), (&alice, &nowhere, 404)] {
        assert_eq!(edit(api, message, "mine").await.status, status);
        assert_eq!(delete(api, message).await.status, status);
    }
    let title = Some(json!({"title": "mine"}));
    let same = |a: Answer, b: Answer| {
        let of =
            |answer: &Answer| (answer.status, answer.body["type"].clone(), answer.body["detail"].clone());
        assert_eq!(of(&a), of(&b));
        assert_eq!(a.status, 404);
    };
    same(edit(&mallory, &said, "x").await, edit(&mallory, &nowhere, "x").await);
    same(
        mallory.call("PUT", &reaction(&said, UP), None, &[]).await,
        mallory.call("PUT", &reaction(&nowhere, UP), None, &[]).await,
    );
    same(
        mallory.call("PATCH", &format!("/v1/threads/{thread}"), title.clone(), &[]).await,
        mallory.call("PATCH", "/v1/threads/t_doesnotexist", title, &[]).await,
    );
    // 1 is the thread's creation, 9 nothing at all.
    for tseq in [json!(0), json!(1), json!(9), json!(u64::MAX), json!("x"), json!(-1)] {
        let path = format!("/v1/threads/{thread}/messages/{}", tseq.to_string().trim_matches('"'));
        for (method, rest, body) in [
            ("PATCH", "", Some(json!({"text": "x"}))),
            ("DELETE", "", None),
            ("PUT", "/reactions/+1", None),
            ("DELETE", "/reactions/+1", None),
        ] {
            let answer = alice.call(method, &format!("{path}{rest}"), body, &[]).await;
            assert_eq!(answer.status, 404, "{method} {path}{rest}");
        }
    }
    for (body, status) in [
        (json!({}), 422),
        (json!({"text": " "}), 422),
        (json!({"text": "x", "more": 1}), 422),
        (json!({"text": "x".repeat(16 * 1024 + 1)}), 413),
    ] {
        let answer = alice.call("PATCH", &place(&said), Some(body.clone()), &[]).await;
        assert_eq!(answer.status, status, "{body}");
    }
    // Who has left may change what they said no more.
    let own = bob.say(&thread, "mine").await;
    bob.call("DELETE", &format!("/v1/threads/{thread}/members/bob"), None, &[]).await;
    assert_eq!(delete(&bob, &own).await.status, 404);
}

#[tokio::test]
async fn a_repeated_change_is_the_same_change() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "two"})).await;
    let said = alice.say(&thread, "one").await;
    let body = |text: &str| Some(json!({"text": text}));
    let key = |key: &'static str| [("idempotency-key", key)];
    let first = alice.call("PATCH", &place(&said), body("two"), &key("a")).await;
    edit(&alice, &said, "three").await;
    let again = alice.call("PATCH", &place(&said), body("two"), &key("a")).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 200));
    assert_eq!(again.body["text"], "three", "it is known, and not done again");
    assert_eq!(alice.call("PATCH", &place(&said), body("four"), &key("a")).await.status, 422);
    assert_eq!(alice.call("DELETE", &place(&said), None, &key("a")).await.status, 422);
    let up = reaction(&said, UP);
    alice.call("PUT", &up, None, &key("b")).await;
    alice.call("DELETE", &up, None, &key("c")).await;
    let again = alice.call("PUT", &up, None, &key("b")).await;
    assert_eq!((again.status.as_u16(), again.body.get("reactions")), (200, None));
    for _ in 0..2 {
        assert_eq!(alice.call("DELETE", &place(&said), None, &key("d")).await.status, 204);
    }
    assert_eq!(alice.say(&thread, "next").await["tseq"], 8);
}

#[tokio::test]
async fn a_reaction_is_told_once_and_stays_with_the_message() {
    for members in [json!({"members": ["bob"]}), json!({"members": ["bob"], "title": "two"})] {
        let world = World::start(Topology::PerUser, 1).await;
        let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
        let thread = alice.thread(members).await;
        let mut stream = world.open(0, "bob", None).await;
        let cursor = stream.expect("hello").await.id;
        let said = alice.say(&thread, "hi").await;
        stream.expect("message").await;
        let path = reaction(&said, UP);
        for _ in 0..2 {
            let put = bob.call("PUT", &path, None, &[]).await;
            assert_eq!((put.status.as_u16(), &put.body["reactions"]), (200, &json!({"👍": ["bob"]})));
        }
        let put = alice.call("PUT", &path, None, &[]).await;
        assert_eq!(put.body["reactions"], json!({"👍": ["bob", "alice"]}));
        let added = stream.expect("reaction").await.data;
        let expected = json!({"thread": thread, "tseq": 3, "message": 2, "from": "bob", "emoji": "👍",
            "state": "added", "at": added["at"]});
        assert_eq!(added, expected);
        assert_eq!(stream.expect("reaction").await.data["from"], "alice", "the second PUT was no event");
        let listed = bob.get(&format!("/v1/threads/{thread}/messages")).await;
        assert_eq!(listed.body["items"], json!([put.body]));
        let mut late = world.open(0, "bob", Some(&cursor)).await;
        late.expect("hello").await;
        late.expect("message").await;
        for _ in 0..2 {
            let taken = bob.call("DELETE", &path, None, &[]).await;
            assert_eq!((taken.status.as_u16(), &taken.body["reactions"]), (200, &json!({"👍": ["alice"]})));
        }
        assert_eq!(stream.expect("reaction").await.data["state"], "removed");
        assert_eq!(alice.say(&thread, "next").await["tseq"], 6);
        stream.expect("message").await;
        for bad in ["%07", "a%20b", "%E2%80%AEx", "%F0%9F%91%8D%F0%9F%91%8D", &"x".repeat(41)] {
            assert_eq!(bob.call("PUT", &reaction(&said, bad), None, &[]).await.status, 422, "{bad}");
        }
    }
}

#[tokio::test]
async fn reactions_beyond_the_limit_are_refused() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let said = alice.say(&thread, "hi").await;
    for n in 0..20 {
        assert_eq!(alice.call("PUT", &reaction(&said, &format!("e{n}")), None, &[]).await.status, 200);
    }
    assert_eq!(alice.call("PUT", &reaction(&said, "e20"), None, &[]).await.status, 409);
    assert_eq!(alice.call("PUT", &reaction(&said, "e19"), None, &[]).await.status, 200);
    // Twenty events stand between the two messages of this page.
    alice.say(&thread, "after").await;
    let page = alice.get(&format!("/v1/threads/{thread}/messages?limit=2")).await;
    let numbers: Vec<&Value> = page.body["items"].as_array().unwrap().iter().map(|m| &m["number"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(1)]);
}

#[tokio::test]
async fn who_joins_while_a_group_is_renamed_knows_its_title() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "old"})).await;
    let path = format!("/v1/threads/{thread}");
    for n in 0..12 {
        let (user, title) = (format!("user{n}"), format!("title {n}"));
        let member = format!("{path}/members/{user}");
        let (renamed, added) = tokio::join!(
            alice.call("PATCH", &path, Some(json!({"title": title})), &[]),
            alice.call("PUT", &member, None, &[]),
        );
        assert_eq!((renamed.status.as_u16(), added.status.as_u16()), (200, 204));
        let listed = world.as_user(&user).get("/v1/threads").await;
        assert_eq!(listed.body["items"][0]["title"], title);
    }
}

#[tokio::test]
async fn a_group_is_renamed_for_everybody() {
    let world = World::start(Topology::PerUser, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"], "title": "old"})).await;
    let path = format!("/v1/threads/{thread}");
    let mut stream = world.open(0, "alice", None).await;
    stream.expect("hello").await;
    let title = |title: &str| Some(json!({ "title": title }));
    for _ in 0..2 {
        let renamed = bob.call("PATCH", &path, title(" new "), &[]).await;
        assert_eq!((renamed.status.as_u16(), &renamed.body["title"]), (200, &json!("new")));
    }
    let frame = stream.expect("thread").await.data;
    let expected =
        json!({"thread": {"id": thread, "title": "new"}, "tseq": 2, "by": "bob", "at": frame["at"]});
    assert_eq!(frame, expected);
    for api in [&alice, &bob] {
        assert_eq!(api.get("/v1/threads").await.body["items"][0]["title"], "new");
        assert_eq!(api.get(&path).await.body["title"], "new");
    }
    alice.call("PUT", &format!("{path}/members/carol"), None, &[]).await;
    let carol = world.as_user("carol").get("/v1/threads").await;
    assert_eq!(carol.body["items"][0]["title"], "new", "who comes later knows no other");
    assert_eq!(stream.expect("member").await.data["tseq"], 3, "the same title again was no event");
    for (body, status) in [
        (json!({}), 422),
        (json!({"title": null}), 422),
        (json!({"title": " "}), 422),
        (json!({"title": "a\nb"}), 422),
        (json!({"title": "x".repeat(201)}), 422),
    ] {
        assert_eq!(bob.call("PATCH", &path, Some(body.clone()), &[]).await.status, status, "{body}");
    }
    let direct = alice.thread(json!({"members": ["bob"]})).await;
    let refused = alice.call("PATCH", &format!("/v1/threads/{direct}"), title("ours"), &[]).await;
    assert_eq!(refused.status, 409);
}
