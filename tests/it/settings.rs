//! What holds in a group from its creation on: who adds members, and what new members read.

use client::http::Api;
use serde_json::{Value, json};
use sse_edge::config::Topology;
use tests::world::World;

async fn add(api: &Api, thread: &str, user: &str) -> u16 {
    api.call("PUT", &format!("/v1/threads/{thread}/members/{user}"), None, &[]).await.status.as_u16()
}

/// The texts on a page of messages, and the token of the next one.
async fn texts(api: &Api, thread: &str, query: &str) -> (Vec<Value>, Value) {
    let page = api.get(&format!("/v1/threads/{thread}/messages{query}")).await.body;
    let texts = page["items"].as_array().unwrap().iter().map(|message| message["text"].clone());
    (texts.collect(), page["next"].clone())
}

#[tokio::test]
async fn a_group_may_keep_the_adding_of_members_to_greater_roles() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let role = json!({"role": "moderator"});
    for (adds, may_moderator) in [("moderator", true), ("owner", false)] {
        let club = json!({"members": ["bob", "carol"], "title": "club", "adds": adds});
        let club = alice.post("/v1/threads", club).await.body;
        assert_eq!((&club["adds"], &club["history"]), (&json!(adds), &json!("all")));
        let thread = club["id"].as_str().unwrap();
        let path = format!("/v1/threads/{thread}/members");
        let refused = bob.call("PUT", &format!("{path}/dave"), None, &[]).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (403, "role-missing"));
        assert_eq!(add(&bob, thread, "carol").await, 204, "she is a member");
        assert_eq!(alice.call("PUT", &format!("{path}/bob"), Some(role.clone()), &[]).await.status, 204);
        assert_eq!(add(&bob, thread, "dave").await, if may_moderator { 204 } else { 403 });
        assert_eq!(add(&alice, thread, "erin").await, 204);
        let listed = bob.get("/v1/threads").await.body["items"][0].clone();
        assert_eq!((&listed["id"], &listed["adds"]), (&json!(thread), &json!(adds)));
    }
    for wrong in [json!({"adds": "everybody"}), json!({"history": "none"})] {
        let mut body = json!({"members": ["bob"], "title": "club"});
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(alice.post("/v1/threads", body).await.status, 422, "{wrong}");
    }
    // Settings are those of a group.
    let pair = alice.post("/v1/threads", json!({"members": ["bob"], "history": "joined"})).await.body;
    assert_eq!((&pair["kind"], &pair["history"]), (&json!("group"), &json!("joined")));
    let direct = alice.post("/v1/threads", json!({"members": ["bob"]})).await.body;
    assert_eq!(
        (&direct["kind"], &direct["history"], &direct["adds"]),
        (&json!("direct"), &json!("all"), &json!("member"))
    );
}

#[tokio::test]
async fn a_new_member_reads_the_time_before_only_where_the_group_shows_it() {
    let world = World::start(Topology::PerEdge, 1).await;
    let (alice, carol) = (world.as_user("alice"), world.as_user("carol"));
    let mut stream = world.open(0, "carol", None).await;
    stream.expect("hello").await;
    for (history, sees) in [("all", true), ("joined", false)] {
        let thread = alice.thread(json!({"members": ["bob"], "title": "club", "history": history})).await;
        let secret = alice.say(&thread, "secret").await["tseq"].clone();
        alice.say(&thread, "another secret").await;
        assert_eq!(add(&alice, &thread, "carol").await, 204);
        stream.expect("member").await;
        let (read, next) = texts(&carol, &thread, "").await;
        assert_eq!((read.len(), next), (if sees { 2 } else { 0 }, Value::Null));
        assert_eq!(carol.get(&format!("/v1/threads/{thread}")).await.body["unread"], 0);

        // What becomes of older messages, by stream and by poll.
        let message = format!("/v1/threads/{thread}/messages/{secret}");
        let reaction = format!("{message}/reactions/+1");
        let edit = json!({"text": "secret, still"});
        assert_eq!(alice.call("PATCH", &message, Some(edit.clone()), &[]).await.status, 200);
        let told = stream.expect("edit").await.data;
        assert_eq!(told["text"], if sees { json!("secret, still") } else { Value::Null });
        assert_eq!(told["deleted"], Value::Null, "it is still there");
        let poll = world.poll(0, "carol", None, 0).await.body.to_string();
        assert!(sees || !poll.contains("secret"), "{poll}");

        // A message that a member may not read does not exist for them.
        let absent =
            carol.call("PUT", &format!("/v1/threads/{thread}/messages/99/reactions/+1"), None, &[]).await;
        let answers = [
            carol.call("PUT", &reaction, None, &[]).await,
            carol.call("PATCH", &message, Some(edit), &[]).await,
            carol.call("DELETE", &message, None, &[]).await,
        ];
        for (answer, status) in answers.iter().zip([200, 403, 403]) {
            assert_eq!(answer.status.as_u16(), if sees { status } else { 404 }, "{answer:?}");
            assert!(sees || answer.body["detail"] == absent.body["detail"], "{answer:?}");
        }
        if sees {
            stream.expect("reaction").await;
        }

        // What is said from then on is there, page by page.
        for text in ["one", "two"] {
            alice.say(&thread, text).await;
            assert_eq!(stream.expect("message").await.data["text"], text);
        }
        let (read, next) = texts(&carol, &thread, "?limit=1").await;
        assert_eq!(read, ["two"]);
        let (read, next) =
            texts(&carol, &thread, &format!("?limit=1&before={}", next.as_str().unwrap())).await;
        assert_eq!(read, ["one"]);
        assert_eq!(next.is_null(), !sees);
        assert_eq!(texts(&world.as_user("bob"), &thread, "").await.0.len(), 4);

        // A moderator deletes what they may not read.
        let own = format!("/v1/threads/{thread}/members/carol");
        let role = json!({"role": "moderator"});
        assert_eq!(alice.call("PUT", &own, Some(role), &[]).await.status, 204);
        stream.expect("member").await;
        assert_eq!(carol.call("DELETE", &message, None, &[]).await.status, 204);
        assert_eq!(texts(&alice, &thread, "").await.0.last(), Some(&Value::Null));
        stream.expect("delete").await;

        // Who comes back is new.
        assert_eq!(alice.call("DELETE", &own, None, &[]).await.status, 204);
        stream.expect("member").await;
        alice.say(&thread, "meanwhile").await;
        assert_eq!(add(&alice, &thread, "carol").await, 204);
        stream.expect("member").await;
        assert_eq!(texts(&carol, &thread, "").await.0.len(), if sees { 5 } else { 0 });
    }
}
