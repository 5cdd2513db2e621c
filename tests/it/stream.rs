//! The stream, in both topologies.

use serde_json::json;
use sse_edge::config::Topology;
use tests::world::World;

both!(
    a_message_travels_from_post_to_an_open_stream,
    a_cut_stream_goes_on_where_it_was,
    every_tab_and_every_edge_shows_everything_once,
    a_cursor_that_is_of_no_use_is_reset,
    a_cut_between_hello_and_reset_loses_nothing,
    a_stream_far_behind_the_ring_still_gets_all,
    typing_and_seen_arrive_and_typing_moves_no_cursor,
    a_killed_edge_loses_nothing,
    a_drained_edge_says_bye_and_gives_its_leases_back,
    a_release_may_race_a_new_stream,
);

async fn a_message_travels_from_post_to_an_open_stream(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = world.open(0, "bob", None).await;
    assert_eq!(bob.status, 200);
    let header = |name: &str| bob.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("cache-control").as_deref(), Some("no-cache, no-transform"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    assert_eq!(header("content-length"), None);
    assert_eq!(header("content-encoding"), None);
    let hello = bob.expect("hello").await;
    assert_eq!(hello.data, json!({"status": "fresh", "ping_s": 15}));
    assert!((2_000..=10_000).contains(&hello.retry.unwrap()));
    let said = alice.say(&thread, "hi \u{2028} there").await;
    let bytes = bob.bytes().await.unwrap();
    let (generation, seq) = hello.id.split_once('.').unwrap();
    let id = format!("{generation}.{}", seq.parse::<u64>().unwrap() + 1);
    let at = said["at"].as_str().unwrap();
    let data = format!(
        r#"{{"id":"{thread}.2","thread":"{thread}","tseq":2,"number":1,"from":"alice","text":"hi \u2028 there","at":"{at}"}}"#
    );
    assert_eq!(bytes, format!("event: message\ndata: {data}\nid: {id}\n\n"));
}

async fn a_cut_stream_goes_on_where_it_was(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = world.open(0, "bob", None).await;
    let mut cursor = bob.expect("hello").await.id;
    for round in 0..3 {
        drop(bob);
        for n in 0..3 {
            alice.say(&thread, &format!("{round} {n}")).await;
        }
        bob = world.open(0, "bob", Some(&cursor)).await;
        let hello = bob.expect("hello").await;
        assert_eq!((hello.data["status"].as_str(), &hello.id), (Some("resumed"), &cursor));
        for n in 0..3 {
            let frame = bob.expect("message").await;
            assert_eq!(frame.data["text"], format!("{round} {n}"));
            cursor = frame.id;
        }
    }
}

async fn every_tab_and_every_edge_shows_everything_once(topology: Topology) {
    let world = World::start(topology, 2).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "three"})).await;
    let mut streams = Vec::new();
    for (edge, user) in [(0, "bob"), (0, "bob"), (1, "bob"), (1, "carol"), (0, "alice")] {
        let mut stream = world.open(edge, user, None).await;
        stream.expect("hello").await;
        streams.push(stream);
    }
    for n in 0..20 {
        alice.say(&thread, &n.to_string()).await;
    }
    for stream in &mut streams {
        for n in 0..20 {
            assert_eq!(stream.expect("message").await.data["text"], n.to_string());
        }
    }
}

async fn a_cursor_that_is_of_no_use_is_reset(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    alice.say(&thread, "one").await;
    let head = world.as_user("bob").get("/v1/threads").await.body["cursor"].as_str().unwrap().to_owned();
    let above = format!("{head}9");
    for (cursor, id, reason) in [
        ("nonsense", "0.0", "unreadable"),
        ("0000000000000.1", "0000000000000.1", "generation"),
        (above.as_str(), above.as_str(), "above"),
    ] {
        let mut bob = world.open(0, "bob", Some(cursor)).await;
        assert_eq!(bob.expect("hello").await.id, id);
        let reset = bob.expect("reset").await;
        assert_eq!((reset.data["reason"].as_str(), &reset.id), (Some(reason), &head));
    }
}

async fn a_cut_between_hello_and_reset_loses_nothing(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    alice.say(&thread, "one").await;
    let mut bob = world.open(0, "bob", Some("0000000000000.7")).await;
    let hello = bob.expect("hello").await;
    drop(bob);
    // The client brings back what hello gave it, and is reset all the same.
    let mut bob = world.open(0, "bob", Some(&hello.id)).await;
    bob.expect("hello").await;
    bob.expect("reset").await;
    alice.say(&thread, "two").await;
    assert_eq!(bob.expect("message").await.data["text"], "two");
}

async fn a_stream_far_behind_the_ring_still_gets_all(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut slow = world.open(0, "bob", None).await;
    let mut fast = world.open(0, "bob", None).await;
    slow.expect("hello").await;
    fast.expect("hello").await;
    // More than the ring (64 frames) and the sockets' buffers (some ten of these) hold. Not more:
    // a stream that takes nothing for 30 s is closed, and a busy emulator is slow.
    let long = "x".repeat(16_000);
    for n in 0..90 {
        alice.say(&thread, &format!("{n} {long}")).await;
        let shown = fast.expect("message").await;
        assert!(shown.data["text"].as_str().unwrap().starts_with(&format!("{n} ")));
    }
    for n in 0..90 {
        let shown = slow.expect("message").await;
        assert!(shown.data["text"].as_str().unwrap().starts_with(&format!("{n} ")), "{n}");
    }
}

async fn typing_and_seen_arrive_and_typing_moves_no_cursor(topology: Topology) {
    let world = World::start(topology, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut stream = world.open(0, "alice", None).await;
    stream.expect("hello").await;
    alice.say(&thread, "read me").await;
    let said = stream.expect("message").await;
    let typed = bob.post(&format!("/v1/threads/{thread}/typing"), json!({"state": "started"})).await;
    assert_eq!(typed.status, 202);
    let typing = stream.expect("typing").await;
    assert_eq!(typing.data, json!({"thread": thread, "user": "bob", "state": "started", "ttl_ms": 6000}));
    assert_eq!(typing.id, said.id);
    let seen = bob.post(&format!("/v1/threads/{thread}/seen"), json!({"number": 99})).await;
    assert_eq!(seen.body, json!({"thread": thread, "user": "bob", "number": 1}));
    let shown = stream.expect("seen").await;
    assert_eq!((&shown.data, shown.seq()), (&seen.body, said.seq() + 1));
    assert_eq!(
        bob.get(&format!("/v1/threads/{thread}")).await.body["seen_by"],
        json!({"alice": 1, "bob": 1})
    );
}

async fn a_killed_edge_loses_nothing(topology: Topology) {
    let world = World::start(topology, 2).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = world.open(0, "bob", None).await;
    let mut cursor = bob.expect("hello").await.id;
    alice.say(&thread, "before").await;
    cursor.clone_from(&bob.expect("message").await.id);
    world.edges[0].kill();
    alice.say(&thread, "while it is dead").await;
    let mut bob = world.open(1, "bob", Some(&cursor)).await;
    bob.expect("hello").await;
    assert_eq!(bob.expect("message").await.data["text"], "while it is dead");
    alice.say(&thread, "after").await;
    assert_eq!(bob.expect("message").await.data["text"], "after");
}

async fn a_drained_edge_says_bye_and_gives_its_leases_back(topology: Topology) {
    let world = World::start(topology, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    alice.say(&thread, "hi").await;
    let last = bob.expect("message").await;
    let ((), bye) = tokio::join!(world.edges[0].edge.drain(), bob.next());
    assert_eq!((bye.event.as_str(), bye.data["reason"].as_str(), &bye.id), ("bye", Some("drain"), &last.id));
    assert!(bob.any().await.is_none(), "bye is the last frame");
    let leases = world.leases("bob").await;
    assert!(leases.iter().all(|lease| lease.holder.is_none()), "{leases:?}");
    let mut late = world.open(0, "bob", Some(&last.id)).await;
    assert_eq!(late.expect("bye").await.data["reason"], "drain");
}

async fn a_release_may_race_a_new_stream(topology: Topology) {
    let world = World::start(topology, 2).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = world.open(0, "bob", None).await;
    let mut cursor = bob.expect("hello").await.id;
    for n in 0..12 {
        // From edge to edge and back, some with the lease still lingering elsewhere.
        drop(bob);
        alice.say(&thread, &format!("{n} away")).await;
        bob = world.open(n % 2, "bob", Some(&cursor)).await;
        bob.expect("hello").await;
        assert_eq!(bob.expect("message").await.data["text"], format!("{n} away"));
        alice.say(&thread, &format!("{n} here")).await;
        let shown = bob.expect("message").await;
        assert_eq!(shown.data["text"], format!("{n} here"));
        cursor = shown.id;
    }
}
