//! An edge dies in the middle of whatever an edge does, and its client goes to another.

use anyhow::{Context as _, ensure};
use client::{http::Api, sse::Stream};
use domain::ids::BootId;
use serde_json::json;
use sse_edge::config::Topology;
use tests::{
    crowd::UserQueue,
    edge::RunningEdge,
    faults::{Call, Fault, Faults, Made, Moment},
    world::{World, until},
};

use super::{
    cases::{kinds, play_all},
    stage::until_death,
};

/// Cases that run side by side; each mostly waits for the edge to linger.
const SIDE_BY_SIDE: usize = 48;
/// Calls of one kind that each get cases; the later ones repeat the earlier.
const OF_A_KIND: usize = 3;

/// What an edge goes through with a lease, beside being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// It takes it, compares with the user row, and gives it back.
    Whole,
    /// It takes the lease over from an edge that is dead.
    Heir,
    /// Somebody deletes its queue.
    Bereft,
    /// Others take it for dead, and its next beat is refused.
    Refused,
    /// It is drained.
    Drained,
}

impl Life {
    /// Whether the calls of its beginning are those of another life, and meet no faults.
    fn begins_like_others(self) -> bool {
        !matches!(self, Self::Whole | Self::Heir)
    }
}

/// What happens at which call of a kind.
#[derive(Debug, Clone)]
struct Case {
    life: Life,
    strike: Option<(Made, usize, Fault)>,
    tag: usize,
}

/// What came of a case in which nothing was wrong.
struct Played {
    /// Whether the fault has struck.
    struck: bool,
    /// The calls that the edge has made.
    made: Vec<Made>,
}

/// The edge has died, as it was to.
#[derive(Debug)]
struct Died;

impl std::fmt::Display for Died {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the edge has died")
    }
}

impl std::error::Error for Died {}

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
    let mut cases = Vec::new();
    for life in [Life::Whole, Life::Heir, Life::Bereft, Life::Refused, Life::Drained] {
        // A queue of the edge's own goes with it.
        if (topology, life) == (Topology::PerEdge, Life::Heir) {
            continue;
        }
        let whole = Case { life, strike: None, tag: cases.len() };
        for (made, many) in kinds(play(&world, topology, &whole).await.unwrap().made) {
            println!("{topology:?} {life:?}: {made} × {many}");
            for nth in 1..=many.min(OF_A_KIND) {
                for fault in
                    [Fault::Die(Moment::Before), Fault::Die(Moment::After), Fault::Reset(Moment::After)]
                {
                    let strike = Some((made.clone(), nth, fault));
                    cases.push(Case { life, strike, tag: cases.len() + 1 });
                }
            }
        }
    }
    let world = &world;
    let plays = cases.iter().map(|case| (format!("{case:?}"), play(world, topology, case)));
    let struck = play_all(plays, SIDE_BY_SIDE).await.iter().filter(|played| played.struck).count();
    println!("{topology:?}: {} cases of dying edges, {struck} of them at a call that came", cases.len());
    // How often an edge beats, looks and receives in a life is a matter of time.
    assert!(2 * struck > cases.len(), "what is to strike does not");
}

/// A client opens a stream on an edge of its own, and reads; wherever that edge dies, the client goes
/// on at the world's.
async fn play(world: &World, topology: Topology, case: &Case) -> anyhow::Result<Played> {
    let user = format!("bob-{}-{:?}", case.tag, case.life).to_lowercase();
    let alice = world.as_user(&format!("alice-{}-{:?}", case.tag, case.life).to_lowercase());
    let thread = alice.thread(json!({"members": [user.clone()]})).await;
    let list = world.as_user(&user).get("/v1/threads").await.body;
    let cursor = list["cursor"].as_str().unwrap().to_owned();
    let mut client = Client { world, user, alice, thread, cursor, said: Vec::new(), shown: Vec::new() };
    client.say("before any stream").await;
    if case.life == Life::Heir {
        client.leave_a_lease_behind().await?;
    }
    let edge = world.edge(topology, Faults::default()).await;
    match client.live_on(&edge, case).await {
        Err(error) if error.is::<Died>() => {}
        lived => lived?,
    }
    edge.kill();
    client.say("the edge is gone").await;
    let mut stream = client.open(world.edges[0].address).await;
    client.until_shown(&mut stream).await?;
    client.say("last").await;
    client.until_shown(&mut stream).await?;
    ensure!(client.shown == client.said, "shown {:?} of {:?}", client.shown, client.said);
    Ok(Played { struck: edge.faults.have_struck(), made: edge.faults.take() })
}

impl Client<'_> {
    async fn say(&mut self, text: &str) {
        self.alice.say(&self.thread, text).await;
        self.said.push(text.to_owned());
    }

    async fn open(&self, address: std::net::SocketAddr) -> Stream {
        Stream::open(address, &self.world.token(&self.user), Some(&self.cursor)).await
    }

    /// An edge takes the lease, and is dead.
    async fn leave_a_lease_behind(&mut self) -> anyhow::Result<()> {
        let edge = self.world.edge(Topology::PerUser, Faults::default()).await;
        let mut stream = self.open(edge.address).await;
        self.until_shown(&mut stream).await?;
        self.held_by(&edge).await;
        edge.kill();
        // What an observer does after half a minute.
        self.world.table.remove_edge(&edge.edge.boot()).await?;
        self.say("left behind").await;
        Ok(())
    }

    /// The life of a lease, as far as the edge lives.
    async fn live_on(&mut self, edge: &RunningEdge, case: &Case) -> anyhow::Result<()> {
        let strike = || {
            if let Some((made, nth, fault)) = case.strike.clone() {
                edge.faults.on(Call::like(made).nth(nth), fault);
            }
        };
        if !case.life.begins_like_others() {
            strike();
        }
        let mut stream = alive(edge, self.open(edge.address)).await?;
        alive(edge, self.until_shown(&mut stream)).await??;
        if case.life.begins_like_others() {
            self.held_by(edge).await;
            edge.faults.take();
            strike();
        }
        match case.life {
            Life::Whole => {
                for text in ["one", "two", "three"] {
                    if text == "three" {
                        let compared = |made: &Made| made.is("BatchGetItem", &["U#", "HEAD"]);
                        alive(edge, edge.faults.answered(compared)).await?;
                    }
                    self.say(text).await;
                    alive(edge, self.until_shown(&mut stream)).await??;
                }
                drop(stream);
                let given = until("nobody holds a lease", async || {
                    let leases = self.world.leases(&self.user).await;
                    leases.iter().all(|lease| lease.holder.is_none())
                });
                return Ok(alive(edge, given).await?);
            }
            Life::Heir => {}
            Life::Bereft => alive(edge, self.loses_its_queue(edge)).await??,
            Life::Refused => alive(edge, self.counts_as_dead(edge)).await??,
            Life::Drained => {
                self.say("and it is drained").await;
                return Ok(alive(edge, edge.edge.drain()).await?);
            }
        }
        self.say("and on").await;
        alive(edge, self.until_shown(&mut stream)).await?
    }

    /// Somebody deletes the queue of the lease; the edge takes another.
    async fn loses_its_queue(&self, edge: &RunningEdge) -> anyhow::Result<()> {
        let boot = edge.edge.boot();
        let old = self.lease_of(&boot).await.context("the lease is held")?;
        self.world.sqs.delete_queue().queue_url(&old.url).send().await?;
        until("another queue is held", async || {
            self.lease_of(&boot).await.is_some_and(|lease| lease.queue != old.queue)
        })
        .await;
        Ok(())
    }

    /// Others take the edge for dead; it goes on by another name.
    async fn counts_as_dead(&self, edge: &RunningEdge) -> anyhow::Result<()> {
        let boot = edge.edge.boot();
        until("it is marked dead, between two of its beats", async || {
            let rows = self.world.table.edges().await.unwrap();
            let beat = rows.iter().find(|row| row.boot == boot).unwrap().beat;
            self.world.table.mark_dead(&boot, beat).await.unwrap()
        })
        .await;
        until("the edge has another name", async || edge.edge.boot() != boot).await;
        self.held_by(edge).await;
        Ok(())
    }

    /// Waits until the edge holds the lease.
    async fn held_by(&self, edge: &RunningEdge) {
        until("the edge holds the lease", async || self.lease_of(&edge.edge.boot()).await.is_some()).await;
    }

    async fn lease_of(&self, boot: &BootId) -> Option<UserQueue> {
        let leases = self.world.leases(&self.user).await;
        leases.into_iter().find(|lease| lease.holder.as_ref() == Some(boot))
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

/// What `doing` comes to, unless the edge dies first.
async fn alive<T>(edge: &RunningEdge, doing: impl Future<Output = T>) -> Result<T, Died> {
    until_death(&edge.faults, doing).await.ok_or(Died)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_with_queues_of_users_may_die_at_any_call() {
    dies_at_any_call(Topology::PerUser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_with_a_queue_of_its_own_may_die_at_any_call() {
    dies_at_any_call(Topology::PerEdge).await;
}
