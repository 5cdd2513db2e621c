//! A writer that dies between its commit and the fan-out.

use domain::ids::{IdempotencyKey, ThreadId, UserId};
use domain::version::Expected;
use serde_json::json;
use server::clock::Clock;
use sse_edge::config::Topology;
use store::{
    rate::permit::Permit,
    write::{Outcome, command::Command, request::WriteRequest},
};
use tests::world::{World, sweep};
use tokio::time::Instant;

#[tokio::test]
async fn the_sweeper_finishes_what_a_dead_writer_left() {
    let world = World::start(Topology::PerUser, 1).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob", "carol"], "title": "three"})).await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    let now = Clock::system().now();
    let request = WriteRequest {
        sender: UserId::parse("alice").unwrap(),
        via: None,
        idempotency_key: IdempotencyKey::parse("a-key").unwrap(),
        key_from_client: true,
        fingerprint: "a hash".into(),
        expected: Expected::Any,
        now,
        permit: Permit::default(),
    };
    let id = ThreadId::parse(&thread).unwrap();
    // The commit, and then nothing: the writer is dead.
    assert!(matches!(
        world.table.write(&request, &id, Command::Message(&"left behind".into())).await.unwrap(),
        Outcome::Logged(..)
    ));
    let fanout = world.fanout(Clock::system());
    fanout.handle(&json!({"source": "aws.events"}), Instant::now()).await;
    assert_eq!(bob_number(&world).await, 0, "not due yet: the writer may be at it");
    sweep(&fanout).await;
    assert_eq!(bob.expect("message").await.data["text"], "left behind");
    assert_eq!(bob_number(&world).await, 1);
    // The row is gone, so a later sweep has nothing to do.
    for shard in 0..store::table::keys::SHARDS {
        let due = world.table.outbox(shard).await.unwrap();
        assert!(due.is_empty(), "{due:?}");
    }
}

async fn bob_number(world: &World) -> u64 {
    world.as_user("bob").get("/v1/threads").await.body["items"][0]["number"].as_u64().unwrap()
}
