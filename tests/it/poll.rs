//! The long poll: the stream, cut into answers.

use std::time::Duration;

use client::http::Answer;
use http::StatusCode;
use serde_json::{Value, json};
use sse_edge::config::Topology;
use tests::world::World;
use tokio::time::{Instant, timeout};

both!(
    catching_up_shows_at_once_what_was_written_before,
    catching_up_needs_no_word_from_a_queue,
    a_poll_waits_for_what_comes,
    a_client_hops_between_stream_and_poll_and_edges_and_sees_all_once,
    a_poll_with_a_cursor_of_no_use_is_reset,
    a_drained_edge_answers_a_waiting_poll,
);

fn cursor(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body["cursor"].as_str().unwrap().to_owned()
}

fn texts(answer: &Answer) -> Vec<&str> {
    let events = answer.body["events"].as_array().unwrap();
    events.iter().map(|event| event["data"]["text"].as_str().unwrap()).collect()
}

async fn catching_up_shows_at_once_what_was_written_before(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let fresh = world.poll(0, "bob", None, 0).await;
    assert_eq!(fresh.body["events"], json!([]));
    let mut at = cursor(&fresh);
    // With the lease taken anew, held, and lingering alike.
    for n in 0..5 {
        let said = alice.say(&thread, &n.to_string()).await;
        let answer = world.poll(0, "bob", Some(&at), 0).await;
        assert_eq!(texts(&answer), [n.to_string()]);
        let event = &answer.body["events"][0];
        assert_eq!((&event["event"], &event["id"]), (&json!("message"), &answer.body["cursor"]));
        assert_eq!((&event["data"]["tseq"], &event["data"]["at"]), (&said["tseq"], &said["at"]));
        assert_eq!(answer.headers["cache-control"], "no-store");
        at = cursor(&answer);
    }
    let nothing = world.poll(0, "bob", Some(&at), 0).await;
    assert_eq!(nothing.body, json!({"events": [], "cursor": at}));
}

async fn catching_up_needs_no_word_from_a_queue(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let at = cursor(&world.poll(0, "bob", None, 0).await);
    world.lose_leases("bob").await;
    alice.say(&thread, "nobody is told").await;
    assert_eq!(texts(&world.poll(0, "bob", Some(&at), 0).await), ["nobody is told"]);
}

async fn a_poll_waits_for_what_comes(topology: Topology) {
    let world = World::start(topology, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let at = cursor(&world.poll(0, "bob", None, 0).await);
    let (answer, _) = tokio::join!(world.poll(0, "bob", Some(&at), 25), async {
        world.edges[0].streams(1).await;
        alice.say(&thread, "hi").await
    });
    assert_eq!(texts(&answer), ["hi"]);
    let at = cursor(&answer);
    let typing = format!("/v1/threads/{thread}/typing");
    let (answer, _) = tokio::join!(world.poll(0, "bob", Some(&at), 25), async {
        world.edges[0].streams(1).await;
        alice.post(&typing, json!({"state": "started"})).await
    });
    assert_eq!((&answer.body["events"][0]["event"], cursor(&answer)), (&json!("typing"), at.clone()));
    // It was told once, and nothing else happens.
    let start = Instant::now();
    let answer = world.poll(0, "bob", Some(&at), 1).await;
    assert_eq!(answer.body, json!({"events": [], "cursor": at}));
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(bob.get(&format!("/v1/threads/{thread}")).await.status, StatusCode::OK);
}

async fn a_client_hops_between_stream_and_poll_and_edges_and_sees_all_once(topology: Topology) {
    let world = World::start(topology, 2).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut at = cursor(&world.poll(0, "bob", None, 0).await);
    let writing = async {
        for n in 0..60 {
            alice.say(&thread, &n.to_string()).await;
        }
    };
    let reading = async {
        let mut shown: Vec<String> = Vec::new();
        for hop in 0.. {
            if shown.len() == 60 {
                break;
            }
            let edge = hop / 2 % 2;
            if hop % 2 == 0 {
                let answer = world.poll(edge, "bob", Some(&at), 20).await;
                shown.extend(texts(&answer).into_iter().map(str::to_owned));
                at = cursor(&answer);
            } else {
                let mut stream = world.open(edge, "bob", Some(&at)).await;
                assert_eq!(stream.expect("hello").await.id, at);
                let frame = stream.expect("message").await;
                shown.push(frame.data["text"].as_str().unwrap().to_owned());
                at = frame.id;
            }
        }
        shown
    };
    let ((), shown) =
        timeout(Duration::from_secs(120), async { tokio::join!(writing, reading) }).await.unwrap();
    assert_eq!(shown, (0..60).map(|n| n.to_string()).collect::<Vec<_>>());
}

async fn a_poll_with_a_cursor_of_no_use_is_reset(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    alice.say(&thread, "one").await;
    let head = cursor(&world.poll(0, "bob", None, 0).await);
    let above = format!("{head}9");
    for (bad, reason) in [("nonsense", "unreadable"), ("0000000000000.1", "generation"), (&above, "above")] {
        let answer = world.poll(0, "bob", Some(bad), 0).await;
        assert_eq!(answer.body, json!({"events": [], "cursor": head, "reset": {"reason": reason}}));
    }
}

async fn a_drained_edge_answers_a_waiting_poll(topology: Topology) {
    let world = World::start(topology, 1).await;
    let at = cursor(&world.poll(0, "bob", None, 0).await);
    let (answer, ()) = tokio::join!(world.poll(0, "bob", Some(&at), 25), async {
        world.edges[0].streams(1).await;
        world.edges[0].edge.drain().await;
    });
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(world.poll(0, "bob", Some(&at), 25).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_long_way_behind_comes_in_several_answers() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut at = cursor(&world.poll(0, "bob", None, 0).await);
    for n in 0..130 {
        alice.say(&thread, &n.to_string()).await;
    }
    let mut shown = Vec::new();
    loop {
        let answer = world.poll(0, "bob", Some(&at), 0).await;
        let count = answer.body["events"].as_array().unwrap().len();
        assert!(count <= 100);
        shown.extend(texts(&answer).into_iter().map(str::to_owned));
        at = cursor(&answer);
        if count == 0 {
            break;
        }
    }
    assert_eq!(shown, (0..130).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_poll_answers_with_statuses_and_says_when_to_come_back() {
    let world = World::start(Topology::PerUser, 1).await;
    let mut bob = world.edge_as_user(0, "bob");
    assert_eq!(bob.get("/v1/events/poll?wait=soon").await.body["field"], json!("wait"));
    assert_eq!(bob.call("HEAD", "/v1/events/poll", None, &[]).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let mut streams = Vec::new();
    for _ in 0..domain::limits::USER_STREAMS {
        let mut stream = world.open(0, "bob", None).await;
        stream.expect("hello").await;
        streams.push(stream);
    }
    let full = bob.get("/v1/events/poll?wait=0").await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS);
    let after: u32 = full.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((10..=60).contains(&after));
    bob.token = Some("nonsense".into());
    let refused = bob.get("/v1/events/poll").await;
    assert_eq!(
        (refused.status, &refused.headers["www-authenticate"]),
        (
            StatusCode::UNAUTHORIZED,
            &r#"Bearer error="invalid_token", error_description="Invalid token""#.parse().unwrap()
        )
    );
    bob.token = None;
    assert_eq!(bob.get("/v1/events/poll").await.status, StatusCode::UNAUTHORIZED);
    let ticket: Value = world.as_user("bob").post("/v1/tickets", json!({})).await.body["ticket"].clone();
    let path = format!("/v1/events/poll?wait=0&ticket={}", ticket.as_str().unwrap());
    drop(streams);
    world.edges[0].streams(0).await;
    assert_eq!(bob.get(&path).await.status, StatusCode::OK);
    assert_eq!(bob.get(&path).await.status, StatusCode::UNAUTHORIZED);
}
