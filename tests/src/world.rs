//! One deployment: emulators, one API, some edges.

use std::{
    env,
    net::SocketAddr,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use api_lambda::{fanout::drive::Fanout, router::router, state::ApiState};
use axum::Router;
use domain::{ids::UserId, limits};
use queue::queues::Queues;
use runnel::emulators::Emulators;
use server::{
    auth::{AuthConfig, Verifier, mint::Minter},
    aws::{self, Endpoints},
    clock::Clock,
    layers, listener,
};
use sse_edge::{
    config::{EdgeArgs, Topology},
    edge::{Edge, Parts},
};
use store::table::Table;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{calls::Calls, http::Api, sse::Stream};

/// URL of emulators that run already; without it, every world has embedded ones of its own.
pub const ENDPOINT: &str = "RUNNEL_TEST_ENDPOINT";
/// The longest that anything may take before a test says that it does not come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running deployment. Dropping it ends everything as a crash would.
#[derive(Debug)]
pub struct World {
    _emulators: Option<Emulators>,
    /// Where the emulators are.
    pub endpoints: Endpoints,
    /// The name of the stage and of the table: worlds do not see each other.
    pub stage: String,
    /// The table, for what no public door shows.
    pub table: Table,
    /// The queues.
    pub queues: Queues,
    /// The url of the fan-out queue.
    pub jobs: String,
    /// What the API asks of AWS.
    pub calls: Calls,
    /// The API's address.
    pub api: SocketAddr,
    /// The edges.
    pub edges: Vec<RunningEdge>,
    worker: Fanout,
    auth: AuthConfig,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// One edge of a world.
#[derive(Debug)]
pub struct RunningEdge {
    /// The edge.
    pub edge: Edge,
    /// Where it listens.
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl RunningEdge {
    /// Ends the edge without a word, and nothing given back.
    pub fn kill(&self) {
        self.stop.cancel();
    }
}

impl World {
    /// Starts a world with `edges` edges, and a worker of fan-out jobs.
    pub async fn start(topology: Topology, edges: usize) -> Self {
        let world = Self::start_idle(topology, edges).await;
        let (worker, end) = (world.worker.clone(), world.stop.child_token());
        world.tracker.spawn(async move { worker.work_until(end).await });
        world
    }

    /// The same without the worker: jobs wait for whoever works them.
    pub async fn start_idle(topology: Topology, edges: usize) -> Self {
        let (emulators, endpoints) = emulators().await;
        let aws = aws::configs(&endpoints).await;
        let stage = stage();
        Table::create((&aws.dynamodb).into(), &stage).await.unwrap();
        let table = Table::open((&aws.dynamodb).into(), &stage, limits::INBOX_DAYS).await.unwrap();
        let queues = Queues::new((&aws.sqs).into(), (&aws.sqs_receive).into(), &stage);
        let auth = AuthConfig {
            secret: Some("a secret of more than 32 characters".into()),
            ..AuthConfig::default()
        };
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let calls = Calls::default();
        let counted =
            aws_sdk_dynamodb::config::Builder::from(&aws.dynamodb).interceptor(calls.clone()).build();
        let counted_table = Table::open(counted, &stage, limits::INBOX_DAYS).await.unwrap();
        let counted = aws_sdk_sqs::config::Builder::from(&aws.sqs).interceptor(calls.clone()).build();
        let counted_queues = Queues::new(counted, (&aws.sqs_receive).into(), &stage);
        let jobs = queues.fanout(None).await.unwrap();
        let (clock, inner) = (Clock::system(), jobs.clone());
        let fanout = Fanout { table: counted_table, queues: counted_queues, jobs: inner, clock };
        let worker = fanout.clone();
        let verifier = Verifier::new(&auth).unwrap();
        let api = listen(router(ApiState { verifier, fanout }), &stop, &tracker);
        let mut world = Self {
            _emulators: emulators,
            endpoints,
            stage,
            table,
            queues,
            jobs,
            calls,
            api,
            edges: Vec::new(),
            worker,
            auth,
            tracker,
            stop,
        };
        for _ in 0..edges {
            world.add_edge(topology).await;
        }
        world
    }

    /// Starts one more edge.
    pub async fn add_edge(&mut self, topology: Topology) {
        let stop = self.stop.child_token();
        let config =
            EdgeArgs { queues: topology, drain_seconds: 1, head_check_seconds: 5, ..EdgeArgs::default() };
        let parts = Parts {
            table: self.table.clone(),
            queues: self.queues.clone(),
            verifier: Verifier::new(&self.auth).unwrap(),
            clock: Clock::system(),
            config,
        };
        let edge = Edge::start(parts, &self.tracker, &stop);
        edge.ready().await;
        let address = listen(layers::wrap(edge.router()), &stop, &self.tracker);
        self.edges.push(RunningEdge { edge, address, stop });
    }

    /// A token for `user`.
    pub fn token(&self, user: &str) -> String {
        let user = UserId::parse(user).unwrap();
        Minter::new(&self.auth).unwrap().mint(&user, Duration::from_hours(1), Clock::system().now())
    }

    /// The API as `user` uses it.
    pub fn as_user(&self, user: &str) -> Api {
        Api { address: self.api, token: Some(self.token(user)) }
    }

    /// Opens a stream of `user` on an edge, with the cursor that the client brings.
    pub async fn open(&self, edge: usize, user: &str, cursor: Option<&str>) -> Stream {
        Stream::open(self.edges[edge].address, &self.token(user), cursor).await
    }

    /// The fan-out as another process would run it, at another time.
    pub fn fanout(&self, clock: Clock) -> Fanout {
        Fanout { table: self.table.clone(), queues: self.queues.clone(), jobs: self.jobs.clone(), clock }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The emulators of a world: embedded ones, or those that run at [`ENDPOINT`] for all worlds.
pub async fn emulators() -> (Option<Emulators>, Endpoints) {
    if let Ok(url) = env::var(ENDPOINT) {
        return (None, Endpoints { dynamodb: Some(url.clone()), sqs: Some(url) });
    }
    let emulators = Emulators::start(None).await.unwrap();
    let endpoints = emulators.endpoints();
    (Some(emulators), endpoints)
}

/// A name that no other world has, for its table and its stage.
pub fn stage() -> String {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    format!("t{}x{}", process::id(), WORLDS.fetch_add(1, Ordering::Relaxed))
}

fn listen(router: Router, stop: &CancellationToken, tracker: &TaskTracker) -> SocketAddr {
    let bound = listener::bind(([127, 0, 0, 1], 0).into(), Some(8 * 1024)).unwrap();
    let (address, stop, inner) = (bound.addr(), stop.clone(), tracker.clone());
    tracker.spawn(async move {
        listener::serve(bound, router, listener::Options::default(), stop, &inner).await;
    });
    address
}
