//! Acks that hang.

use std::time::Duration;

use serde_json::json;
use server::listener;
use sse_edge::config::{EdgeArgs, Topology};
use tests::{
    faults::{Call, Moment},
    world::World,
};
use tokio::time::timeout;

both!(what_comes_while_acks_hang_is_shown_at_once);

/// Acks that hang, one after another, and messages that come meanwhile.
const HANGING: usize = 4;
/// Less than an ack takes until it is given up.
const SHOWN_IN: Duration = Duration::from_secs(4);

async fn what_comes_while_acks_hang_is_shown_at_once(topology: Topology) {
    let mut world = World::start(topology, 0).await;
    // No comparison with the user row comes first.
    let config = EdgeArgs { head_check: Duration::from_secs(600), ..World::settings(topology) };
    world.add_edge_with(config, listener::Options::default()).await;
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    // But for the one that follows the lease.
    timeout(Duration::from_secs(4), bob.next()).await.unwrap_err();
    let faults = &world.edges[0].faults;
    let acks: Vec<_> =
        (0..HANGING).map(|_| faults.hold(Call::to("DeleteMessageBatch"), Moment::Before)).collect();
    alice.say(&thread, "0").await;
    assert_eq!(bob.expect("message").await.data["text"], "0");
    acks[0].reached().await;
    for n in 1..HANGING {
        alice.say(&thread, &n.to_string()).await;
        let shown = timeout(SHOWN_IN, bob.expect("message")).await.expect("acks keep nobody waiting");
        assert_eq!(shown.data["text"], n.to_string());
    }
}
