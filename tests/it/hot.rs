//! Hot users and hot threads: slower, or told to come back, but nothing lost.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use server::clock::Clock;
use sse_edge::config::Topology;
use tests::world::{World, sweep};
use tokio::time::Instant;

#[tokio::test]
async fn a_user_in_many_busy_threads_misses_nothing() {
    const THREADS: usize = 12;
    const EACH: usize = 8;
    let world = World::start(Topology::PerUser, 1).await;
    let mut writers = Vec::new();
    for t in 0..THREADS {
        let api = world.as_user(&format!("writer{t}"));
        let thread = api.thread(json!({"members": ["hot"], "title": t.to_string()})).await;
        writers.push((api, thread));
    }
    let mut hot = world.open(0, "hot", None).await;
    hot.expect("hello").await;
    let write = async |(api, thread): &(client::http::Api, String)| {
        for n in 0..EACH {
            // Accepted by the thread's log, whatever goes on in the reader's inbox.
            api.say(thread, &n.to_string()).await;
        }
    };
    let begun = Instant::now();
    join_all(writers.iter().map(write)).await;
    let took = begun.elapsed().as_millis();
    let (there, owed) = (world.inbox_of("hot").await.len(), world.owed().await);
    let rate = there as u128 * 1_000 / took;
    eprintln!(
        "one user: {there} of {} messages appended in {took} ms, {rate} a second; {owed} threads are left to the outbox",
        THREADS * EACH
    );
    sweep(&world.fanout(Clock::system())).await;
    assert_eq!(world.owed().await, 0);
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..THREADS * EACH {
        let data = hot.expect("message").await.data;
        let text = data["text"].as_str().unwrap().to_owned();
        shown.entry(data["thread"].as_str().unwrap().to_owned()).or_default().push(text);
    }
    let texts: Vec<String> = (0..EACH).map(|n| n.to_string()).collect();
    assert!(shown.values().all(|texts_shown| *texts_shown == texts), "{shown:?}");
}

#[tokio::test]
async fn a_thread_with_too_many_writers_says_when_to_come_back_and_loses_nothing() {
    let world = World::start(Topology::PerUser, 0).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"], "title": "hot"})).await;
    let path = format!("/v1/threads/{thread}/messages");
    let answers = join_all((0..60).map(|n| alice.post(&path, json!({"text": n.to_string()})))).await;
    let mut accepted = Vec::new();
    for answer in &answers {
        match answer.status {
            StatusCode::CREATED => accepted.push(answer.body["tseq"].as_u64().unwrap()),
            StatusCode::SERVICE_UNAVAILABLE => assert_eq!(answer.headers["retry-after"], "1"),
            other => panic!("{other}: {answer:?}"),
        }
    }
    accepted.sort_unstable();
    // The thread began with tseq 1.
    let all: Vec<u64> = (2..).take(accepted.len()).collect();
    assert_eq!(accepted, all, "what was accepted is the log, and the log is no more");
    sweep(&world.fanout(Clock::system())).await;
    assert_eq!(world.inbox_of("bob").await.len(), accepted.len());
    assert_eq!(world.owed().await, 0);
}
