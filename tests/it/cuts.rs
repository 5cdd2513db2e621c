//! A stream that is cut at any byte.

use std::collections::HashMap;

use client::{
    eventsource::{EventSource, Kind},
    sse::Stream,
};
use serde_json::json;
use sse_edge::config::Topology;
use tests::world::World;

both!(a_cut_at_any_byte_loses_doubles_and_corrupts_nothing);

async fn a_cut_at_any_byte_loses_doubles_and_corrupts_nothing(topology: Topology) {
    let world = World::start(topology, 1).await;
    let (alice, bob) = (world.as_user("alice"), world.as_user("bob"));
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let path = format!("/v1/threads/{thread}");
    let mut stream = world.open(0, "bob", None).await;
    let (mut raw, mut cursors) = (String::new(), Vec::new());
    let start = more(&mut stream, &mut raw).await;
    for (n, text) in
        ["one", "zwei \u{2028} drei\n\ndata: forged\nid: 9\n\n", "日本 😀", ":"].iter().enumerate()
    {
        alice.say(&thread, text).await;
        cursors.push(more(&mut stream, &mut raw).await);
        if n == 1 {
            bob.post(&format!("{path}/seen"), json!({"number": 1})).await;
            cursors.push(more(&mut stream, &mut raw).await);
            alice.post(&format!("{path}/typing"), json!({"state": "started"})).await;
            let typing = more(&mut stream, &mut raw).await;
            assert_eq!(Some(&typing), cursors.last(), "typing moves no cursor");
        }
    }
    let end = cursors.last().unwrap().clone();
    let mut whole = EventSource::new(Kind::Standard, &start);
    whole.read(raw.as_bytes());
    let whole = logged(&whole);
    assert_eq!(whole.len(), cursors.len(), "{whole:?}");

    let mut again: HashMap<String, String> = HashMap::new();
    for kind in Kind::ALL {
        for at in 0..=raw.len() {
            if kind == Kind::EagerId && at > 0 && raw.as_bytes()[at - 1..].starts_with(b"\n\n") {
                // Between the id and the blank line nothing helps such a client: why the id is last.
                continue;
            }
            let mut client = EventSource::new(kind, &start);
            client.read(&raw.as_bytes()[..at]);
            client.cut();
            let cursor = client.last_event_id.clone();
            if !again.contains_key(&cursor) {
                assert!(cursor == start || cursors.contains(&cursor), "{kind:?} cut at {at}: `{cursor}`");
                again.insert(cursor.clone(), reconnect(&world, &cursor, &end).await);
            }
            client.read(again[&cursor].as_bytes());
            assert_eq!(logged(&client), whole, "{kind:?} cut at {at}, back with `{cursor}`");
            assert_eq!(client.last_event_id, end, "{kind:?} cut at {at}");
        }
    }
    assert_eq!(again.len(), cursors.len() + 1, "each cursor was come back with");
}

/// Reads one more frame but pings; its id.
async fn more(stream: &mut Stream, raw: &mut String) -> String {
    loop {
        let bytes = stream.bytes().await.expect("the stream goes on");
        raw.push_str(&bytes);
        let Some(block) = raw.strip_suffix("\n\n") else { continue };
        let block = block.rsplit("\n\n").next().unwrap();
        if !block.starts_with("event: ping") {
            return block.rsplit_once("\nid: ").unwrap().1.to_owned();
        }
    }
}

/// What a client that comes back with `cursor` is sent, up to `end`.
async fn reconnect(world: &World, cursor: &str, end: &str) -> String {
    let mut stream = world.open(0, "bob", Some(cursor)).await;
    let mut raw = String::new();
    while !raw.ends_with(&format!("id: {end}\n\n")) {
        raw.push_str(&stream.bytes().await.expect("the stream goes on"));
    }
    raw
}

/// What moves the cursor. Whatever else a client is shown has to be whole as well, but for a
/// hello: it is there to swallow what is glued to it, and says nothing that a page needs.
fn logged(client: &EventSource) -> Vec<(String, String)> {
    let mut logged = client.shown.clone();
    for (event, data) in &logged {
        let read: Result<serde_json::Value, _> = serde_json::from_str(data);
        assert!(read.is_ok() || event == "hello", "a corrupt `{event}`: {data:?}");
    }
    logged.retain(|(event, _)| !["hello", "ping", "typing"].contains(&event.as_str()));
    logged
}
