//! A conversation over many processes, some of which die.

use std::{io::Write as _, net::TcpStream};

use client::sse::{Frame, Stream};
use serde_json::json;

use crate::{cut::Cut, fleet_of::Fleet};

#[tokio::test]
async fn a_fleet_with_a_queue_per_user_outlives_its_parts() {
    outlives_its_parts("per-user").await;
}

#[tokio::test]
async fn a_fleet_with_a_queue_per_edge_outlives_its_parts() {
    outlives_its_parts("per-edge").await;
}

async fn outlives_its_parts(topology: &str) {
    let mut fleet = Fleet::start(topology).await;
    let alice = fleet.as_user(0, "alice").await;
    let bob = fleet.as_user(1, "bob").await;
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "ours"})).await;
    let mut at_alice = fleet.open(0, "alice", None).await;
    let mut at_bob = fleet.open(1, "bob", None).await;
    at_alice.expect("hello").await;
    at_bob.expect("hello").await;

    // Two users on two edges, by two APIs.
    alice.say(&thread, "hi bob").await;
    bob.say(&thread, "hi alice").await;
    let mut last = Vec::new();
    for stream in [&mut at_alice, &mut at_bob] {
        shows(stream, "hi bob").await;
        last.push(shows(stream, "hi alice").await);
    }

    // An edge dies; its stream goes on at the other.
    fleet.edges[0].kill().await;
    assert!(at_alice.any().await.is_none());
    bob.say(&thread, "are you there").await;
    shows(&mut at_bob, "are you there").await;
    let mut at_alice = fleet.open(1, "alice", Some(&last[0].id)).await;
    assert_eq!(at_alice.expect("hello").await.data["status"], "resumed");
    shows(&mut at_alice, "are you there").await;
    alice.say(&thread, "yes").await;
    shows(&mut at_alice, "yes").await;
    shows(&mut at_bob, "yes").await;

    // An API dies as soon as its commit is answered; `runnel fanout` finishes what it left.
    let cut = Cut::start(fleet.emulators.address).await;
    let mut doomed = fleet.api_with_dynamodb_at(cut.address).await;
    cut.kill_after_the_commit(doomed.pid());
    let body = r#"{"text":"my last words"}"#;
    let token = alice.token.as_deref().unwrap();
    let mut socket = TcpStream::connect(doomed.address).unwrap();
    write!(
        socket,
        "POST /v1/threads/{thread}/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    assert!(!doomed.exit().await.success(), "it was killed");
    shows(&mut at_alice, "my last words").await;
    let last = shows(&mut at_bob, "my last words").await;

    // Whoever is asked to stop says so, and ends well.
    let (edge, bye) = tokio::join!(fleet.edges[1].stop(), at_bob.next());
    assert_eq!((bye.event.as_str(), bye.data["reason"].as_str(), &bye.id), ("bye", Some("drain"), &last.id));
    assert!(at_bob.any().await.is_none(), "bye is the last frame");
    assert!(edge.success(), "{edge}");
    for process in fleet.apis.iter_mut().chain([&mut fleet.fanout, &mut fleet.emulators]) {
        let end = process.stop().await;
        assert!(end.success(), "{end}");
    }
}

async fn shows(stream: &mut Stream, text: &str) -> Frame {
    let frame = stream.expect("message").await;
    assert_eq!(frame.data["text"], text);
    frame
}
