//! An edge dies in the middle of whatever an edge does, and its client goes to another.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    faults::{Call, Fault, Faults, Made, Moment},
    http::Api,
    sse::Stream,
    world::{RunningEdge, World},
};

use super::stage::until_death;

/// Cases that run side by side; each mostly waits for the edge to linger.
const SIDE_BY_SIDE: usize = 48;
/// Calls of one kind that each get cases; the later ones repeat the earlier.
const OF_A_KIND: usize = 3;

/// What happens at which call of a kind.
#[derive(Debug, Clone)]
struct Case {
    strike: Option<(Made, usize, Fault)>,
    tag: usize,
}

/// A user with a client that shows what it hears.
struct Client<'a> {
    world: &'a World,
    user: String,
    alice: Api,
    thread: String,
    cursor: String,
    said: Vec<String>,
    shown: Vec<String>,
}

async fn dies_at_any_call(topology: Topology) {
    let world = World::start(topology, 1).await;
    let mut kinds: BTreeMap<Made, usize> = BTreeMap::new();
    for made in play(&world, topology, &Case { strike: None, tag: 0 }).await.unwrap() {
        *kinds.entry(made).or_default() += 1;
    }
    let mut cases = Vec::new();
    // Before there is an edge.
    kinds.retain(|made, _| made.operation != "DescribeTable");
    for (made, many) in kinds {
        println!("{topology:?}: {made} × {many}");
        for nth in 1..=many.min(OF_A_KIND) {
            for fault in [Fault::Die(Moment::Before), Fault::Die(Moment::After), Fault::Reset(Moment::After)]
            {
                cases.push(Case { strike: Some((made.clone(), nth, fault)), tag: cases.len() + 1 });
            }
        }
    }
    let world = &world;
    let judged = stream::iter(&cases)
        .map(|case| async move { play(world, topology, case).await.with_context(|| format!("{case:?}")) })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect::<Vec<_>>()
        .await;
    let wrong: Vec<String> =
        judged.into_iter().filter_map(|judged| judged.err().map(|error| format!("{error:#}"))).collect();
    println!("{topology:?}: {} cases of dying edges", cases.len());
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// A client opens a stream on an edge of its own, reads, goes, and the edge gives the lease back;
/// wherever that edge dies, the client goes on at the world's.
async fn play(world: &World, topology: Topology, case: &Case) -> anyhow::Result<Vec<Made>> {
    let user = format!("bob-{}", case.tag);
    let alice = world.as_user(&format!("alice-{}", case.tag));
    let thread = alice.thread(json!({"members": [user.clone()]})).await;
    let list = world.as_user(&user).get("/v1/threads").await.body;
    let cursor = list["cursor"].as_str().unwrap().to_owned();
    let mut client = Client { world, user, alice, thread, cursor, said: Vec::new(), shown: Vec::new() };
    client.say("before any stream").await;
    let faults = Faults::default();
    if let Some((made, nth, fault)) = case.strike.clone() {
        faults.on(Call::like(made).nth(nth), fault);
    }
    let edge = world.edge(topology, faults).await;
    client.live_on(&edge).await?;
    edge.kill();
    client.say("the edge is gone").await;
    let mut stream = client.open(world.edges[0].address).await;
    client.until_shown(&mut stream).await?;
    client.say("last").await;
    client.until_shown(&mut stream).await?;
    ensure!(client.shown == client.said, "shown {:?} of {:?}", client.shown, client.said);
    Ok(edge.faults.take())
}

impl Client<'_> {
    async fn say(&mut self, text: &str) {
        self.alice.say(&self.thread, text).await;
        self.said.push(text.to_owned());
    }

    async fn open(&self, address: std::net::SocketAddr) -> Stream {
        Stream::open(address, &self.world.token(&self.user), Some(&self.cursor)).await
    }

    /// The life of a lease, as far as the edge lives: taken, used, compared with HEAD, given back.
    async fn live_on(&mut self, edge: &RunningEdge) -> anyhow::Result<()> {
        let faults = &edge.faults;
        let Some(mut stream) = until_death(faults, self.open(edge.address)).await else { return Ok(()) };
        for text in ["one", "two", "three"] {
            match until_death(faults, self.until_shown(&mut stream)).await {
                Some(shown) => shown?,
                None => return Ok(()),
            }
            if text == "three" {
                until_death(faults, faults.answered(|made| made.is("BatchGetItem", &["U#", "HEAD"]))).await;
            }
            self.say(text).await;
        }
        match until_death(faults, self.until_shown(&mut stream)).await {
            Some(shown) => shown?,
            None => return Ok(()),
        }
        drop(stream);
        // The holder leaves the row, or the row goes.
        let lease = &["U#", "Q#"];
        let given = faults.answered(|made| made.is("UpdateItem", lease) || made.is("DeleteItem", lease));
        until_death(faults, given).await;
        Ok(())
    }

    /// Reads until all that was said is shown.
    async fn until_shown(&mut self, stream: &mut Stream) -> anyhow::Result<()> {
        while self.shown.len() < self.said.len() {
            let frame = stream.any().await.context("the stream goes on")?;
            self.cursor.clone_from(&frame.id);
            match frame.event.as_str() {
                "message" => self.shown.push(frame.data["text"].as_str().unwrap().to_owned()),
                "hello" | "ping" => {}
                _ => anyhow::bail!("{frame:?}"),
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_with_queues_of_users_may_die_at_any_call() {
    dies_at_any_call(Topology::PerUser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_with_a_queue_of_its_own_may_die_at_any_call() {
    dies_at_any_call(Topology::PerEdge).await;
}
