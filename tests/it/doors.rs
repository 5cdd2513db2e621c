//! Who may open a stream, and what those hear who may not.

use std::time::Duration;

use client::{
    http::Api,
    sse::{Frame, Stream},
};
use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault},
    world::World,
};

/// The only frame of an answer that must not close an EventSource for ever.
async fn bye(mut stream: Stream) -> Frame {
    assert_eq!(stream.status, 200, "any other status closes an EventSource for ever");
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let frame = stream.expect("bye").await;
    assert!(stream.any().await.is_none(), "bye is the last frame");
    assert_eq!(frame.data["retry_ms"].as_u64(), frame.retry.map(u64::from));
    frame
}

fn later(frame: &Frame) -> bool {
    (10_000..=60_000).contains(&frame.retry.unwrap())
}

#[tokio::test]
async fn the_ninth_stream_of_a_user_is_told_to_come_later() {
    let world = World::start(Topology::PerUser, 1).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = world.open(0, "bob", None).await;
        open.push((stream.expect("hello").await.id, stream));
    }
    let refused = bye(world.open(0, "bob", Some(&open[0].0)).await).await;
    assert_eq!((refused.data["reason"].as_str(), later(&refused)), (Some("busy"), true));
    let fresh = bye(world.open(0, "bob", None).await).await;
    assert_eq!(fresh.id, "", "it has brought no cursor, and is given none");
    assert_eq!(refused.id, open[0].0, "a bye moves no cursor");
    world.open(0, "alice", None).await.expect("hello").await;
    // One goes, and there is room: as soon as the edge has seen it go.
    open.pop();
    let again = tokio::time::timeout(client::PATIENCE, async {
        while world.open(0, "bob", None).await.next().await.event != "hello" {}
    });
    again.await.expect("there is room again");
}

#[tokio::test]
async fn a_ticket_is_good_for_one_stream_and_the_second_is_told_in_the_stream() {
    let world = World::start(Topology::PerUser, 1).await;
    let edge = world.edges[0].address;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let ticket = world.as_user("bob").post("/v1/tickets", json!({})).await.body["ticket"].clone();
    let path = format!("/v1/events?ticket={}", ticket.as_str().unwrap());
    let mut first = Stream::request(edge, &path, &[]).await;
    first.expect("hello").await;
    let second = bye(Stream::request(edge, &path, &[]).await).await;
    assert_eq!(second.data["reason"], "ticket");
    // The first goes on.
    alice.say(&thread, "still there").await;
    assert_eq!(first.expect("message").await.data["text"], "still there");
    let never = format!("/v1/events?ticket={}", "a".repeat(ticket.as_str().unwrap().len()));
    assert_eq!(bye(Stream::request(edge, &never, &[]).await).await.data["reason"], "ticket");
    assert_eq!(Stream::request(edge, "/v1/events?ticket=nonsense!", &[]).await.status, 401);
}

#[tokio::test]
async fn who_cannot_be_judged_just_now_may_come_back_soon() {
    let world = World::start(Topology::PerUser, 1).await;
    let ticket = world.as_user("bob").post("/v1/tickets", json!({})).await.body["ticket"].clone();
    let path = format!("/v1/events?ticket={}", ticket.as_str().unwrap());
    world.edges[0].faults.on(Call::to("DeleteItem"), Fault::Refuse(400, "AccessDeniedException"));
    let told = bye(Stream::request(world.edges[0].address, &path, &[]).await).await;
    assert_eq!(told.data["reason"], "busy");
    assert!(told.retry.unwrap() <= 10_000, "{told:?}");
    Stream::request(world.edges[0].address, &path, &[]).await.expect("hello").await;
}

#[tokio::test]
async fn an_expired_but_genuine_token_is_told_so_and_a_forged_one_refused() {
    let world = World::start(Topology::PerUser, 1).await;
    let edge = world.edges[0].address;
    let expired = world.token_from("bob", Duration::from_hours(2));
    let cursor = "0000000000000.7";
    let told = bye(Stream::open(edge, &expired, Some(cursor)).await).await;
    assert_eq!((told.data["reason"].as_str(), later(&told)), (Some("expired"), true));
    assert_eq!(told.id, cursor);
    let cookie = vec![("cookie", format!("runnel={expired}"))];
    assert_eq!(bye(Stream::request(edge, "/v1/events", &cookie).await).await.data["reason"], "expired");
    let forged = format!("{}x", &expired[..expired.len() - 1]);
    for token in [forged.as_str(), "nonsense", ""] {
        assert_eq!(Stream::open(edge, token, None).await.status, 401, "{token}");
    }
}

/// Ends every session of whom `api` speaks for.
async fn end_everywhere(api: &Api) {
    let ended = api.call("DELETE", "/v1/session?everywhere=true", None, &[]).await;
    assert_eq!(ended.status, 204, "{ended:?}");
}

#[tokio::test]
async fn who_ends_every_session_is_told_once_and_none_of_them_ever_comes_back() {
    let world = World::start(Topology::PerUser, 1).await;
    let bob = world.as_user("bob");
    let mut open = world.open(0, "bob", None).await;
    let hello = open.expect("hello").await;
    let ticket = bob.post("/v1/tickets", json!({})).await.body["ticket"].clone();
    let cookie = vec![("cookie", format!("runnel={}", world.token("bob")))];
    // With the latest token: of one second, only the token in hand is known to be from before.
    end_everywhere(&world.as_user("bob")).await;
    // The next comparison with the user row says so.
    assert_eq!(bye(open).await.data["reason"], "revoked");
    let edge = world.edges[0].address;
    let back = Stream::open(edge, bob.token.as_ref().unwrap(), Some(&hello.id)).await;
    assert_eq!(back.status, 204, "an EventSource that gets 204 never comes back");
    assert_eq!(Stream::request(edge, "/v1/events", &cookie).await.status, 204);
    let path = format!("/v1/events?ticket={}", ticket.as_str().unwrap());
    assert_eq!(Stream::request(edge, &path, &[]).await.status, 204);
    let old = Api { address: edge, ..bob.clone() };
    assert_eq!(old.get("/v1/events/poll?wait=0").await.status, 401);
    // No other credential is had for the old one.
    for path in ["/v1/session", "/v1/tickets"] {
        assert_eq!(bob.post(path, json!({})).await.status, 401, "{path}");
    }
    assert_eq!(bob.get("/v1/threads").await.status, 401);
    world.open(0, "alice", None).await.expect("hello").await;
}

#[tokio::test]
async fn who_signs_in_after_the_end_of_every_session_is_let_in_and_stays() {
    let world = World::start(Topology::PerUser, 1).await;
    let stolen = Api { token: Some(world.token_from("bob", Duration::from_mins(9))), ..world.as_user("bob") };
    let used = Api { token: Some(world.token_from("bob", Duration::from_mins(5))), ..world.as_user("bob") };
    end_everywhere(&used).await;
    let fresh = world.as_user("bob");
    let mut stream = world.open(0, "bob", None).await;
    stream.expect("hello").await;
    assert_eq!(fresh.post("/v1/session", json!({})).await.status, 204);
    // One that was ended ends nothing in its turn, and a repetition is answered as the first.
    for ended in [&stolen, &used] {
        end_everywhere(ended).await;
        assert_eq!(ended.post("/v1/tickets", json!({})).await.status, 401);
    }
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    stream.expect("thread").await;
    alice.say(&thread, "still there").await;
    assert_eq!(stream.expect("message").await.data["text"], "still there");
    assert_eq!(fresh.post("/v1/tickets", json!({})).await.status, 201);
}

#[tokio::test]
async fn the_cookie_alone_ends_only_itself() {
    let world = World::start(Topology::PerUser, 1).await;
    let nobody = Api { token: None, ..world.as_user("bob") };
    let cookie = format!("runnel={}", world.token("bob"));
    let cookie = [("cookie", cookie.as_str())];
    let all = nobody.call("DELETE", "/v1/session?everywhere=true", None, &cookie).await;
    assert_eq!(all.status, 401, "a page of others can make a browser send it");
    let ended = nobody.call("DELETE", "/v1/session", None, &cookie).await;
    assert_eq!(ended.status, 204);
    assert_eq!(ended.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(nobody.call("DELETE", "/v1/session?everywhere=perhaps", None, &[]).await.status, 422);
    assert_eq!(world.as_user("bob").get("/v1/threads").await.status, 200);
}
