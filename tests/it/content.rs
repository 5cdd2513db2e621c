//! Messages with more than a text, the windows of their list, and changes on condition of a version.

use client::http::{Answer, Api};
use serde_json::{Value, json};
use sse_edge::config::Topology;
use tests::{document::Document, world::World};

both!(what_a_message_has_is_told_listed_and_replayed);

fn messages(thread: &str) -> String {
    format!("/v1/threads/{thread}/messages")
}

fn at(message: &Value) -> String {
    format!("{}/{}", messages(message["thread"].as_str().unwrap()), message["tseq"])
}

/// A message without what only its author gets.
fn shared(message: &Value) -> Value {
    let mut shared = message.clone();
    shared.as_object_mut().unwrap().remove("key");
    shared
}

async fn what_a_message_has_is_told_listed_and_replayed(topology: Topology) {
    let world = World::start(topology, 2).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let groups = json!({"members": ["bob", "carol"], "title": "ours"});
    for (members, key) in [(json!({"members": ["bob"]}), "a,b/1"), (groups, "a,b/2")] {
        let thread = alice.thread(members).await;
        let first = bob.say(&thread, "first").await;
        let mut own = world.open(0, "alice", None).await;
        let mut other = world.open(1, "bob", None).await;
        let cursors = [own.expect("hello").await.id, other.expect("hello").await.id];
        let file = json!({"url": "https://files.example/a.png", "type": "image/png", "name": "a.png",
            "size": 9, "width": 2, "height": 3, "preview": "https://files.example/a.jpg"});
        let body = json!({"text": "look", "attachments": [file], "mentions": ["bob"],
            "reply_to": first["tseq"], "data": {"b": [1, null], "a": "\n"}});
        let named = [("idempotency-key", key)];
        let said = alice.call("POST", &messages(&thread), Some(body.clone()), &named).await;
        assert_eq!(said.status, 201, "{said:?}");
        for name in ["text", "attachments", "mentions", "data"] {
            assert_eq!(said.body[name], body[name]);
        }
        let reply = json!({"tseq": first["tseq"], "number": 1, "from": "bob"});
        assert_eq!((&said.body["reply"], &said.body["key"]), (&reply, &json!(key)));
        assert_eq!(said.body["id"], format!("{thread}.{}", said.body["tseq"]));
        // The author's devices are told the key, and nobody else.
        assert_eq!(own.expect("message").await.data, said.body);
        assert_eq!(other.expect("message").await.data, shared(&said.body));
        for (user, cursor) in [("alice", &cursors[0]), ("bob", &cursors[1])] {
            let told = if user == "alice" { said.body.clone() } else { shared(&said.body) };
            let mut late = world.open(1, user, Some(cursor)).await;
            late.expect("hello").await;
            assert_eq!(late.expect("message").await.data, told, "{user}");
            let read = world.as_user(user);
            assert_eq!(read.get(&at(&said.body)).await.body, told);
            assert_eq!(read.get(&messages(&thread)).await.body["items"][0], told);
            assert_eq!(read.get("/v1/threads").await.body["items"][0]["last"], told);
        }
        // An edit changes what it names, and tells all that the message says now.
        let edit = async |body: Value| alice.call("PATCH", &at(&said.body), Some(body), &[]).await;
        let edited = edit(json!({"data": {"c": true}})).await;
        assert_eq!(edited.status, 200, "{edited:?}");
        assert_eq!(
            (&edited.body["text"], &edited.body["attachments"]),
            (&json!("look"), &body["attachments"])
        );
        let told = other.expect("edit").await.data;
        assert_eq!((&told["text"], &told["attachments"]), (&json!("look"), &body["attachments"]));
        assert_eq!(told["data"], json!({"c": true}));
        let edited = edit(json!({"attachments": [], "data": {}})).await;
        assert!(edited.body.get("attachments").is_none() && edited.body.get("data").is_none(), "{edited:?}");
        assert_eq!((&edited.body["reply"], &edited.body["mentions"]), (&reply, &json!(["bob"])));
        let told = other.expect("edit").await.data;
        assert!(told.get("attachments").is_none() && told.get("data").is_none(), "{told}");
        for blank in [json!({"text": " "}), json!({}), json!({"mentions": []})] {
            assert_eq!(edit(blank.clone()).await.status, 422, "{blank}");
        }
        // Nothing of it is left once it is deleted.
        assert_eq!(alice.call("DELETE", &at(&said.body), None, &[]).await.status, 204);
        let gone = bob.get(&at(&said.body)).await.body;
        let names: Vec<&String> = gone.as_object().unwrap().keys().collect();
        assert_eq!(names, ["at", "changed", "deleted", "from", "id", "number", "thread", "tseq"]);
    }
}

#[tokio::test]
async fn files_may_say_it_all_and_a_reply_may_be_to_what_is_deleted() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"], "title": "ours"})).await;
    let path = messages(&thread);
    let file = json!({"url": "https://files.example/a"});
    let sent = alice.post(&path, json!({"attachments": [file]})).await;
    assert_eq!((sent.status.as_u16(), &sent.body["text"]), (201, &json!("")), "{sent:?}");
    // Without the file it would say nothing.
    let bare = alice.call("PATCH", &at(&sent.body), Some(json!({"attachments": []})), &[]).await;
    assert_eq!((bare.status.as_u16(), &bare.body["field"]), (422, &json!("text")), "{bare:?}");
    assert_eq!(alice.call("DELETE", &at(&sent.body), None, &[]).await.status, 204);
    let reply = bob.post(&path, json!({"text": "why?", "reply_to": sent.body["tseq"]})).await;
    assert_eq!((reply.status.as_u16(), &reply.body["reply"]["from"]), (201, &json!("alice")));
    let page = bob.get(&format!("{path}?limit=1")).await.body;
    assert_eq!(page["included"]["messages"][0]["deleted"], true, "{page}");
    let page = bob.get(&path).await.body;
    assert!(page.get("included").is_none(), "it is on the page: {page}");
}

#[tokio::test]
async fn what_a_message_may_not_have_is_refused_with_its_field() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, carol) = (world.as_user("alice"), world.as_user("carol"));
    let thread = alice.thread(json!({"members": ["bob"], "title": "ours", "history": "joined"})).await;
    let early = alice.say(&thread, "early").await;
    let add = format!("/v1/threads/{thread}/members/carol");
    assert_eq!(alice.call("PUT", &add, None, &[]).await.status, 204);
    let file = |name: &str, value: Value| {
        let mut file = json!({"url": "https://files.example/a"});
        file[name] = value;
        json!({"text": "hi", "attachments": [file]})
    };
    let many = |n: usize| (0..n).map(|n| format!("user{n}")).collect::<Vec<_>>();
    let document = Document::of(&alice).await;
    let files = vec![json!({"url": "https://files.example/a"}); 11];
    for (body, status, field) in [
        (json!({}), 422, "text"),
        (json!({"text": " ", "data": {"a": 1}}), 422, "text"),
        (file("url", json!("http://files.example/a")), 422, "attachments[0].url"),
        (file("url", json!("https://alice@files.example/a")), 422, "attachments[0].url"),
        (file("type", json!("image")), 422, "attachments[0].type"),
        (file("name", json!("../a")), 422, "attachments[0].name"),
        (file("size", json!(-1)), 422, "attachments[0].size"),
        (file("seconds", json!(1)), 422, "attachments[0].seconds"),
        (json!({"text": "hi", "attachments": files}), 422, "attachments"),
        (json!({"text": "hi", "mentions": many(21)}), 422, "mentions"),
        (json!({"text": "hi", "mentions": ["dave"]}), 409, "mentions"),
        (json!({"text": "hi", "data": []}), 422, "data"),
        (json!({"text": "hi", "reply_to": 1}), 409, "reply_to"),
        (json!({"text": "hi", "reply_to": 99}), 409, "reply_to"),
        (json!({"text": "hi", "data": {"a": "x".repeat(4_096)}}), 413, ""),
    ] {
        let refused = alice.post(&messages(&thread), body.clone()).await;
        assert_eq!(document.objection("POST", &messages(&thread), &refused), None);
        assert_eq!(refused.status, status, "{body}: {refused:?}");
        assert_eq!(refused.body["field"].as_str().unwrap_or_default(), field, "{body}: {refused:?}");
    }
    // Who may not read a message does not learn of it by replying to it.
    let absent = carol.post(&messages(&thread), json!({"text": "hi", "reply_to": 99})).await;
    let hidden = carol.post(&messages(&thread), json!({"text": "hi", "reply_to": early["tseq"]})).await;
    assert_eq!((hidden.status, &hidden.body["detail"]), (absent.status, &absent.body["detail"]));
    let reply = alice.post(&messages(&thread), json!({"text": "a reply", "reply_to": early["tseq"]})).await;
    assert_eq!(reply.status, 201);
    let page = carol.get(&format!("{}?limit=1", messages(&thread))).await.body;
    assert!(page.get("included").is_none() && !page.to_string().contains("early"), "{page}");
    // In a direct thread both are there, and nobody else.
    let direct = alice.thread(json!({"members": ["bob"]})).await;
    for (mentions, status) in [(json!(["alice", "bob"]), 201), (json!(["carol"]), 409)] {
        let body = json!({"text": "hi", "mentions": mentions});
        assert_eq!(alice.post(&messages(&direct), body).await.status, status);
    }
    // The largest message that fits, and what others make of it, fits a frame.
    let largest = json!({"text": "\"".repeat(16 * 1024), "data": {"a": "x".repeat(4_079)}});
    assert_eq!(alice.post(&messages(&direct), largest).await.status, 201);
}

/// The numbers of a page, and its tokens.
fn read(page: &Answer) -> (Vec<u64>, &Value, Option<&Value>) {
    assert_eq!(page.status, 200, "{page:?}");
    let items = page.body["items"].as_array().unwrap();
    let numbers = items.iter().map(|item| item["number"].as_u64().unwrap()).collect();
    (numbers, &page.body["next"], page.body.get("newer"))
}

#[tokio::test]
async fn a_list_goes_back_and_forth_and_around_a_message() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"], "title": "ours"})).await;
    let mut tseqs = vec![0];
    for n in 1..=9 {
        let said = alice.say(&thread, &n.to_string()).await;
        tseqs.push(said["tseq"].as_u64().unwrap());
        // Something else lies between two messages.
        bob.call("PUT", &format!("{}/reactions/+1", at(&said)), None, &[]).await;
    }
    let list = async |query: String| alice.get(&format!("{}?{query}", messages(&thread))).await;
    let page = list("limit=3".into()).await;
    let (numbers, next, newer) = read(&page);
    assert_eq!((numbers.as_slice(), newer), (&[9, 8, 7][..], None));
    let page = list(format!("limit=3&before={}", next.as_str().unwrap())).await;
    assert_eq!(read(&page).0, [6, 5, 4]);
    let page = list(format!("limit=3&before={}", tseqs[3])).await;
    assert_eq!(read(&page), (vec![2, 1], &Value::Null, None));

    let page = list(format!("limit=3&around={}", tseqs[5])).await;
    let (numbers, next, newer) = read(&page);
    assert_eq!(numbers, [6, 5, 4]);
    let (next, newer) = (next.as_str().unwrap(), newer.unwrap().as_str().unwrap());
    let page = list(format!("limit=9&before={next}")).await;
    assert_eq!(read(&page).0, [3, 2, 1]);
    let page = list(format!("limit=2&after={newer}")).await;
    let (numbers, next, newer) = read(&page);
    assert_eq!(numbers, [8, 7]);
    let page = list(format!("limit=1&before={}", next.as_str().unwrap())).await;
    assert_eq!(read(&page).0, [6], "the two directions meet");
    let page = list(format!("limit=2&after={}", newer.unwrap().as_str().unwrap())).await;
    assert_eq!((read(&page).0, read(&page).2), (vec![9], Some(&Value::Null)));
    let page = list(format!("after={}", tseqs[9] + 50)).await;
    assert_eq!((read(&page).0.len(), read(&page).2), (0, Some(&Value::Null)));
    let page = list("after=0".into()).await;
    assert_eq!((read(&page).0.len(), read(&page).1), (9, &Value::Null));
    let page = list(format!("limit=1&around={}", tseqs[2])).await;
    assert_eq!(read(&page).0, [2]);

    for bad in ["around=1&before=2", "after=1&before=2", "around=x", "after=", "before=-1", "around=%22"] {
        assert_eq!(list(bad.into()).await.status, 422, "{bad}");
    }
}

#[tokio::test]
async fn a_change_on_condition_of_a_version_that_has_passed_changes_nothing() {
    let world = World::start(Topology::PerUser, 0).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    for members in [json!({"members": ["bob"]}), json!({"members": ["bob"], "title": "ours"})] {
        let thread = alice.thread(members).await;
        let said = alice.post(&messages(&thread), json!({"text": "hi"})).await;
        let tag = |answer: &Answer| answer.headers["etag"].to_str().unwrap().to_owned();
        let (path, old) = (at(&said.body), tag(&said));
        let change = async |api: &Api, method: &str, path: &str, body: Value, tag: &str| {
            let body = Some(body).filter(|body| !body.is_null());
            let key = tag.replace(['"', ' '], "") + method + path;
            api.call(method, path, body, &[("if-match", tag), ("idempotency-key", &key)]).await
        };
        assert_eq!(tag(&bob.get(&path).await), old);
        let reacted = bob.call("PUT", &format!("{path}/reactions/+1"), None, &[]).await;
        let now = tag(&reacted);
        assert_ne!(now, old);
        for (method, path, body) in [
            ("PATCH", path.clone(), json!({"text": "ho"})),
            ("DELETE", path.clone(), Value::Null),
            ("PUT", format!("{path}/reactions/heart"), Value::Null),
        ] {
            let late = change(&alice, method, &path, body, &old).await;
            assert_eq!((late.status.as_u16(), late.problem()), (412, "changed-since"), "{method} {path}");
        }
        let weak = change(&alice, "PATCH", &path, json!({"text": "ho"}), &format!("W/{now}")).await;
        assert_eq!(weak.status, 412, "a write needs a strong tag");
        assert_eq!(bob.get(&path).await.body, reacted.body, "nothing has changed");
        let edited = change(&alice, "PATCH", &path, json!({"text": "ho"}), &format!("\"0\", {now}")).await;
        assert_eq!(edited.status, 200, "{edited:?}");
        // The same request again is answered as before, though its condition holds no more.
        let again = change(&alice, "PATCH", &path, json!({"text": "ho"}), &format!("\"0\", {now}")).await;
        assert_eq!((again.status, &again.body), (edited.status, &edited.body));
        for bad in ["18", "\"18", ""] {
            assert_eq!(change(&alice, "DELETE", &path, Value::Null, bad).await.status, 400, "{bad}");
        }
        assert_eq!(change(&alice, "DELETE", &path, Value::Null, "*").await.status, 204);
    }
    // Of a group, its title has the version: messages between do not count.
    let group = alice.post("/v1/threads", json!({"members": ["bob"], "title": "ours"})).await;
    let path = format!("/v1/threads/{}", group.body["id"].as_str().unwrap());
    let rename = async |title: &str, tag: &str| {
        alice.call("PATCH", &path, Some(json!({"title": title})), &[("if-match", tag)]).await
    };
    let tag = group.headers["etag"].to_str().unwrap();
    alice.say(group.body["id"].as_str().unwrap(), "between").await;
    assert_eq!(bob.get(&path).await.headers["etag"], tag);
    assert_eq!(rename("all of us", tag).await.status, 200);
    assert_eq!(rename("nobody", tag).await.status, 412);
    assert_eq!(bob.get(&path).await.body["title"], "all of us");
}

#[tokio::test]
async fn the_service_says_what_it_can_do_and_takes() {
    let world = World::start(Topology::PerUser, 0).await;
    let about = world.as_user("alice").get("/v1").await.body;
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    let features = about["features"].as_array().unwrap();
    assert!(
        features.is_sorted_by_key(|name| name.as_str()) && features.contains(&json!("replies")),
        "{about}"
    );
    assert_eq!(about["limits"]["text_bytes"], 16 * 1024);
    let anonymous = Api { token: None, ..world.as_user("alice") };
    assert_eq!(anonymous.get("/v1").await.status, 401);
}
