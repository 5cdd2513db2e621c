//! Receives that SQS refuses.

use std::time::Duration;

use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault},
    world::{World, until},
};
use tokio::time::timeout;

both!(an_edge_whose_queue_has_too_much_in_flight_shows_everything_all_the_same);

/// Receives that are refused, one after another.
const REFUSED: usize = 6;
/// Less than any head check takes: what is shown within it came through the queue.
const BY_QUEUE: Duration = Duration::from_secs(1);

async fn an_edge_whose_queue_has_too_much_in_flight_shows_everything_all_the_same(topology: Topology) {
    let world = World::start(topology, 1).await;
    let faults = &world.edges[0].faults;
    for n in 1..=REFUSED {
        faults.on(Call::to("ReceiveMessage").nth(n), Fault::Refuse(403, "OverLimit"));
    }
    let alice = world.as_user("alice");
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    let mut bob = world.open(0, "bob", None).await;
    bob.expect("hello").await;
    let mut asked = 0;
    let mut said = 0;
    // What is said while nothing can be received is in the inbox.
    while asked < REFUSED {
        alice.say(&thread, &said.to_string()).await;
        assert_eq!(bob.expect("message").await.data["text"], said.to_string());
        said += 1;
        asked += receives(&world);
    }
    until("it receives again", async || {
        asked += receives(&world);
        asked > REFUSED
    })
    .await;
    // By chance a head check may come first, but not each time.
    for n in said..said + 5 {
        alice.say(&thread, &n.to_string()).await;
        let shown = timeout(BY_QUEUE, bob.expect("message")).await.expect("it comes through the queue");
        assert_eq!(shown.data["text"], n.to_string());
    }
}

/// How often the edge has asked for envelopes since it was last asked here.
fn receives(world: &World) -> usize {
    world.edges[0].faults.take().iter().filter(|made| made.operation == "ReceiveMessage").count()
}
