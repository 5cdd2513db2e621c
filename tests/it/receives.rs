//! Receives that SQS refuses.

use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault},
    world::{World, until},
};

both!(an_edge_whose_queue_has_too_much_in_flight_shows_everything_all_the_same);

/// Receives that are refused, one after another.
const REFUSED: usize = 6;

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
    let before = envelopes(&world);
    for n in said..said + 5 {
        alice.say(&thread, &n.to_string()).await;
        assert_eq!(bob.expect("message").await.data["text"], n.to_string());
    }
    // Whoever was faster, queue or head check.
    until("each has come through the queue too", async || envelopes(&world) >= before + 5).await;
}

fn envelopes(world: &World) -> u64 {
    let text = world.edges[0].metrics();
    let line = text.lines().find_map(|line| line.strip_prefix("edge_envelopes_total "));
    line.unwrap().parse().unwrap()
}

/// How often the edge has asked for envelopes since it was last asked here.
fn receives(world: &World) -> usize {
    world.edges[0].faults.take().iter().filter(|made| made.operation == "ReceiveMessage").count()
}
