//! A deployment: edges are replaced one after another while everybody talks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client::PATIENCE;
use serde_json::json;
use server::listener;
use sse_edge::config::{EdgeArgs, Topology};
use tests::world::World;
use tokio::{
    sync::RwLock,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

both!(edges_are_replaced_one_after_another_and_every_stream_moves_once_for_each);

/// Edges that are replaced.
const EDGES: usize = 3;
/// Users of each of the two threads, with one stream each.
const USERS: usize = 30;
/// Seconds over which an edge ends its streams.
const DRAIN: Duration = Duration::from_secs(3);
/// What is said last.
const END: &str = "end";

/// The balancer in front: an edge leaves it before it is told to stop, and whoever is on the way
/// to it arrives first.
#[derive(Default)]
struct Balancer {
    edges: RwLock<Vec<usize>>,
    /// How many streams have ever been greeted: from then on they have a cursor.
    greeted: AtomicUsize,
}

/// What one client has lived through.
#[derive(Debug, Default)]
struct Life {
    texts: Vec<String>,
    /// Which edge said bye, and when.
    byes: Vec<(usize, Instant)>,
}

async fn live(world: Arc<World>, balancer: Arc<Balancer>, user: String, n: usize) -> Life {
    let (mut life, mut cursor) = (Life::default(), None::<String>);
    loop {
        let (edge, mut stream) = {
            let edges = balancer.edges.read().await;
            let edge = edges[(n + life.byes.len()) % edges.len()];
            let mut stream = world.open(edge, &user, cursor.as_deref()).await;
            let hello = stream.expect("hello").await;
            assert!(cursor.is_none_or(|cursor| cursor == hello.id));
            balancer.greeted.fetch_add(1, Ordering::SeqCst);
            (edge, stream)
        };
        loop {
            let frame = stream.next().await;
            cursor = Some(frame.id);
            match frame.event.as_str() {
                "message" if frame.data["text"] == END => return life,
                "message" => life.texts.push(frame.data["text"].as_str().unwrap().to_owned()),
                "bye" => {
                    assert_eq!(frame.data["reason"], "drain");
                    life.byes.push((edge, Instant::now()));
                    break sleep(Duration::from_millis(frame.retry.unwrap().into())).await;
                }
                other => panic!("nobody sent `{other}`"),
            }
        }
    }
}

/// Says numbers in both threads until told to stop, then the last word; answers with how many.
async fn talk(world: Arc<World>, threads: Vec<String>, stop: CancellationToken) -> usize {
    let (alice, mut n) = (world.as_user("alice"), 0);
    while !stop.is_cancelled() {
        for thread in &threads {
            alice.say(thread, &n.to_string()).await;
        }
        n += 1;
    }
    for thread in &threads {
        alice.say(thread, END).await;
    }
    n
}

async fn edges_are_replaced_one_after_another_and_every_stream_moves_once_for_each(topology: Topology) {
    let mut world = World::start(topology, 0).await;
    let retry_ms = "100-400".parse().unwrap();
    let config = EdgeArgs { drain: DRAIN, retry_ms, ..World::settings(topology) };
    for _ in 0..2 * EDGES {
        world.add_edge_with(config.clone(), listener::Options::default()).await;
    }
    let balancer = Balancer { edges: RwLock::new((0..EDGES).collect()), ..Balancer::default() };
    let (world, balancer) = (Arc::new(world), Arc::new(balancer));
    let (mut threads, mut users) = (Vec::new(), Vec::new());
    for group in ["a", "b"] {
        let members: Vec<String> = (0..USERS).map(|n| format!("{group}{n}")).collect();
        let body = json!({"members": members, "title": group});
        threads.push(world.as_user("alice").thread(body).await);
        users.extend(members);
    }
    let tracker = TaskTracker::new();
    let mut lives = Vec::new();
    for (n, user) in users.into_iter().enumerate() {
        lives.push(tracker.spawn(live(world.clone(), balancer.clone(), user, n)));
    }
    let open = async || world.edges.iter().map(|edge| edge.edge.streams()).sum::<usize>() == 2 * USERS;
    let greeted = async || balancer.greeted.load(Ordering::SeqCst) == 2 * USERS;
    tests::world::until("all streams are open", greeted).await;
    let stop = CancellationToken::new();
    let talking = tracker.spawn(talk(world.clone(), threads, stop.clone()));
    let mut windows = Vec::new();
    for old in 0..EDGES {
        {
            let mut edges = balancer.edges.write().await;
            edges.retain(|edge| *edge != old);
            edges.push(old + EDGES);
        }
        let (begin, streams) = (Instant::now(), world.edges[old].edge.streams());
        world.edges[old].edge.drain().await;
        windows.push((begin, streams));
        // The next one only when all are back, as a deployment waits for health.
        tests::world::until("all streams are open again", open).await;
    }
    stop.cancel();
    let said: Vec<String> = (0..talking.await.unwrap()).map(|n| n.to_string()).collect();
    let mut byes: Vec<Vec<Duration>> = vec![Vec::new(); EDGES];
    for life in lives {
        let life = timeout(2 * PATIENCE, life).await.expect("everybody hears the end").unwrap();
        assert_eq!(life.texts, said, "nothing lost, doubled or out of order");
        let mut from: Vec<usize> = life.byes.iter().map(|(edge, _)| *edge).collect();
        from.dedup();
        assert_eq!(from.len(), life.byes.len(), "once for each edge at most: {:?}", life.byes);
        for (edge, at) in life.byes {
            assert!(edge < EDGES, "only those that are replaced say bye");
            byes[edge].push(at - windows[edge].0);
        }
    }
    for (edge, (mut byes, (_, streams))) in byes.into_iter().zip(windows).enumerate() {
        assert_eq!(byes.len(), streams, "each stream of edge {edge} hears bye");
        byes.sort();
        // Spread over the window: in no third of it more than three quarters of them, on a machine
        // that may stand still for a while.
        let third = DRAIN / 3;
        let crowd =
            byes.iter().map(|from| byes.iter().filter(|at| (*from..*from + third).contains(*at)).count());
        let crowd = crowd.max().unwrap();
        assert!(4 * crowd <= 3 * streams + 4, "{crowd} of {streams} within {third:?}: {byes:?}");
    }
}
