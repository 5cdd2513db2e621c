//! One deployment: emulators, one API, some edges.

use std::{
    env,
    net::SocketAddr,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use api::{router::router, state::ApiState};
use aws_config::SdkConfig;
use axum::Router;
use client::{
    PATIENCE,
    http::{Answer, Api},
    sse::Stream,
};
use domain::{contact::ContactPolicy, ids::UserId, limits};
use fanout::deliver::Fanout;
use jiff::Timestamp;
use queue::{queues::Queues, seal::Seal};
use runnel::emulators::Emulators;
use serde_json::json;
use server::{
    auth::{AuthConfig, Verifier, mint::Minter, scope::Scope},
    aws::{self, Configs, Endpoints},
    clock::Clock,
    cors::Origins,
    layers, listener,
};
use sse_edge::{
    config::{EdgeArgs, Topology},
    edge::{Edge, Parts},
};
use store::table::{Table, counter::Rate, keys::SHARDS, rows::QueueRow};
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    calls::Calls,
    edge::RunningEdge,
    faults::{Faults, client::FaultyClient},
};

/// URL of emulators that run already; without it, every world has embedded ones of its own.
pub const ENDPOINT: &str = "RUNNEL_TEST_ENDPOINT";
/// Where pages of others may come from.
pub const ORIGIN: &str = "https://app.example.com";
/// What the tokens of a world are signed with.
pub const SECRET: &str = "a secret of more than 32 characters";
/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

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
    /// DynamoDB itself.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// SQS itself.
    pub sqs: aws_sdk_sqs::Client,
    /// What the API asks of AWS.
    pub calls: Calls,
    /// The API's address.
    pub api: SocketAddr,
    /// What goes wrong between the API and AWS.
    pub faults: Faults,
    /// The edges.
    pub edges: Vec<RunningEdge>,
    worker: Fanout,
    auth: AuthConfig,
    place: Place,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// One more process of the write side: an API of its own, or a sweeper.
#[derive(Debug)]
pub struct Side {
    /// What goes wrong between it and AWS.
    pub faults: Faults,
    /// What it asks of AWS.
    pub calls: Calls,
    /// The API's address.
    pub api: SocketAddr,
    fanout: Fanout,
    stop: CancellationToken,
}

impl Side {
    /// Its fan-out, at another time.
    pub fn fanout(&self, clock: Clock) -> Fanout {
        let Fanout { table, queues, jobs, .. } = self.fanout.clone();
        Fanout::new(table, queues, jobs, clock)
    }

    /// Ends it without a word.
    pub fn kill(&self) {
        self.stop.cancel();
    }
}

/// Waits until something is true.
pub async fn until(what: &str, is: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, is).await;
}

/// Waits until something is true that takes longer than most.
pub async fn until_within(patience: Duration, what: &str, mut is: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    timeout(patience, looking).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

impl World {
    /// Starts a world with `edges` edges, and a worker of fan-out jobs.
    pub async fn start(topology: Topology, edges: usize) -> Self {
        Self::start_idle(topology, edges).await.working()
    }

    /// The same without the worker: jobs wait for whoever works them.
    pub async fn start_idle(topology: Topology, edges: usize) -> Self {
        let (emulators, endpoints) = emulators();
        Self::start_at(emulators, endpoints, stage(), (topology, edges)).await
    }

    /// Another deployment on the same endpoints.
    pub async fn beside(&self, stage: String, topology: Topology, edges: usize) -> Self {
        Self::start_at(None, self.endpoints.clone(), stage, (topology, edges)).await.working()
    }

    fn working(self) -> Self {
        let (worker, end) = (self.worker.clone(), self.stop.child_token());
        self.tracker.spawn(async move { worker.work_until(end).await });
        self
    }

    async fn start_at(
        emulators: Option<Emulators>,
        endpoints: Endpoints,
        stage: String,
        (topology, edges): (Topology, usize),
    ) -> Self {
        let aws = aws::configs(&endpoints).await.unwrap();
        Table::create((&aws.dynamodb).into(), &stage).await.unwrap();
        let table = Table::open((&aws.dynamodb).into(), &stage, limits::INBOX_DAYS).await.unwrap();
        let queues =
            Queues::new((&aws.sqs).into(), (&aws.sqs_receive).into(), &stage).sealed(seal_of(&stage));
        let auth = AuthConfig { secret: Some(SECRET.into()), ..AuthConfig::default() };
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let (calls, faults) = (Calls::default(), Faults::default());
        let jobs = queues.fanout(None).await.unwrap();
        let place = Place { aws, stage, jobs };
        let fanout = place.fanout(&faults, Some(&calls)).await;
        let worker = fanout.clone();
        let verifier = Verifier::new(&auth).unwrap();
        let router = router(ApiState { verifier, fanout }, &origins());
        let api = listen(router, listener::Options::default(), &stop, &tracker);
        let mut world = Self {
            _emulators: emulators,
            endpoints,
            stage: place.stage.clone(),
            table,
            queues,
            jobs: place.jobs.clone(),
            dynamodb: aws_sdk_dynamodb::Client::new(&place.aws.dynamodb),
            sqs: aws_sdk_sqs::Client::new(&place.aws.sqs),
            calls,
            api,
            faults,
            edges: Vec::new(),
            worker,
            auth,
            place,
            tracker,
            stop,
        };
        for _ in 0..edges {
            world.add_edge(topology).await;
        }
        world
    }

    /// The settings of an edge that makes a test wait no longer than it must.
    pub fn settings(topology: Topology) -> EdgeArgs {
        EdgeArgs {
            queues: topology,
            drain: Duration::from_secs(1),
            head_check: Duration::from_secs(5),
            ..EdgeArgs::default()
        }
    }

    /// One more API, with faults of its own.
    pub async fn side(&self) -> Side {
        self.limited_side(Rate::Off, Clock::system()).await
    }

    /// The same, where users begin conversations so.
    pub async fn side_with(&self, contact: ContactPolicy) -> Side {
        self.side_of(|table| table.with_contact(contact), Clock::system()).await
    }

    /// The same, whose lists show so many invitations.
    pub async fn side_showing(&self, invitations: usize) -> Side {
        self.side_of(|table| table.showing(invitations), Clock::system()).await
    }

    /// The same, which limits its users by the windows of a clock.
    pub async fn limited_side(&self, rate: Rate, clock: Clock) -> Side {
        self.side_of(|table| table.limited(rate), clock).await
    }

    async fn side_of(&self, settings: impl FnOnce(Table) -> Table, clock: Clock) -> Side {
        let (faults, calls) = (Faults::default(), Calls::default());
        let fanout = self.place.fanout(&faults, Some(&calls)).await;
        let mut fanout = fanout.with_clock(clock);
        fanout.table = settings(fanout.table);
        let (verifier, stop) = (Verifier::new(&self.auth).unwrap(), self.stop.child_token());
        let router = router(ApiState { verifier, fanout: fanout.clone() }, &origins());
        let api = listen(router, listener::Options::default(), &stop, &self.tracker);
        faults.take();
        calls.take();
        Side { faults, calls, api, fanout, stop }
    }

    /// Starts one more edge.
    pub async fn add_edge(&mut self, topology: Topology) {
        self.add_edge_with(Self::settings(topology), listener::Options::default()).await;
    }

    /// Starts one more edge with settings of its own.
    pub async fn add_edge_with(&mut self, config: EdgeArgs, options: listener::Options) {
        self.add_edge_at(config, options, Clock::system()).await;
    }

    /// Starts an edge without streams that looks every second, at another time of day, for queues
    /// that nobody uses.
    pub async fn add_reaper(&mut self, clock: Clock) {
        let reaper = self.reaper(clock, Faults::default()).await;
        reaper.edge.ready().await;
        self.edges.push(reaper);
    }

    /// The same, but it does not belong to the others, and its faults may strike from its first call
    /// on.
    pub async fn reaper(&self, clock: Clock, faults: Faults) -> RunningEdge {
        let config = EdgeArgs { reap: Duration::from_secs(1), ..Self::settings(Topology::PerUser) };
        self.edge_at((config, listener::Options::default(), clock), faults).await
    }

    /// The urls of all queues but those of jobs, which are always there.
    pub async fn queues_of_users(&self) -> Vec<String> {
        let prefix = format!("runnel-{}-", self.stage);
        let listed = self.sqs.list_queues().queue_name_prefix(&prefix).send().await.unwrap();
        let mut urls = listed.queue_urls.unwrap_or_default();
        urls.retain(|url| !url.contains("-fanout"));
        urls
    }

    /// All queues in the registry.
    pub async fn registered(&self) -> Vec<QueueRow> {
        let mut rows = Vec::new();
        for shard in 0..SHARDS {
            rows.extend(self.table.registered(shard).await.unwrap());
        }
        rows
    }

    async fn add_edge_at(&mut self, config: EdgeArgs, options: listener::Options, clock: Clock) {
        let edge = self.edge_at((config, options, clock), Faults::default()).await;
        edge.edge.ready().await;
        self.edges.push(edge);
    }

    /// One more edge, which does not belong to the others, and may not be ready yet: its faults
    /// may strike from its first call on.
    pub async fn edge(&self, topology: Topology, faults: Faults) -> RunningEdge {
        let settings = (Self::settings(topology), listener::Options::default(), Clock::system());
        self.edge_at(settings, faults).await
    }

    async fn edge_at(
        &self,
        (config, options, clock): (EdgeArgs, listener::Options, Clock),
        faults: Faults,
    ) -> RunningEdge {
        let stop = self.stop.child_token();
        let Fanout { table, queues, .. } = self.place.fanout(&faults, None).await;
        let parts = Parts {
            table: table.for_edges(),
            queues,
            verifier: Verifier::new(&self.auth).unwrap(),
            clock,
            config,
        };
        let edge = Edge::start(parts, &self.tracker, &stop);
        let router = layers::wrap(edge.router(), &origins());
        let address = listen(router, options, &stop, &self.tracker);
        let metrics_address = edge.serve_metrics(&stop, &self.tracker).unwrap();
        RunningEdge { edge, address, metrics_address, faults, stop }
    }

    /// A token for `user`.
    pub fn token(&self, user: &str) -> String {
        self.token_from(user, Duration::ZERO)
    }

    /// A token for `user`, good for an hour, that was minted some time ago.
    pub fn token_from(&self, user: &str, ago: Duration) -> String {
        self.token_at(user, Clock::system().now() - ago)
    }

    /// A token for `user`, good for an hour from `at` on.
    pub fn token_at(&self, user: &str, at: Timestamp) -> String {
        let user = UserId::parse(user).unwrap();
        Minter::new(&self.auth).unwrap().mint(&user, Duration::from_hours(1), at)
    }

    /// A token for `user` that another stage would take: another secret has signed it.
    pub fn foreign_token(&self, user: &str) -> String {
        let secret = Some(format!("not {SECRET}").into());
        let user = UserId::parse(user).unwrap();
        let minter = Minter::new(&AuthConfig { secret, ..self.auth.clone() }).unwrap();
        minter.mint(&user, Duration::from_hours(1), Clock::system().now())
    }

    /// The API as `user` uses it.
    pub fn as_user(&self, user: &str) -> Api {
        Api { address: self.api, token: Some(self.token(user)) }
    }

    /// A token of a service with these scopes, good for an hour.
    pub fn service_token(&self, service: &str, scopes: &[Scope]) -> String {
        let service = UserId::parse(service).unwrap();
        let now = Clock::system().now();
        Minter::new(&self.auth).unwrap().mint_scoped(&service, scopes, Duration::from_hours(1), now)
    }

    /// The API as a service with these scopes uses it.
    pub fn as_service(&self, service: &str, scopes: &[Scope]) -> Api {
        Api { address: self.api, token: Some(self.service_token(service, scopes)) }
    }

    /// Opens a stream of `user` on an edge, with the cursor that the client brings.
    pub async fn open(&self, edge: usize, user: &str, cursor: Option<&str>) -> Stream {
        Stream::open(self.edges[edge].address, &self.token(user), cursor).await
    }

    /// An edge as `user` asks it, where it answers like the API.
    pub fn edge_as_user(&self, edge: usize, user: &str) -> Api {
        Api { address: self.edges[edge].address, token: Some(self.token(user)) }
    }

    /// A poll of `user`, with the cursor that the client brings.
    pub async fn poll(&self, edge: usize, user: &str, cursor: Option<&str>, wait: u64) -> Answer {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        self.edge_as_user(edge, user).get(&format!("/v1/events/poll?wait={wait}{cursor}")).await
    }

    /// The fan-out as another process would run it, at another time.
    pub fn fanout(&self, clock: Clock) -> Fanout {
        Fanout::new(self.table.clone(), self.queues.clone(), self.jobs.clone(), clock)
    }
}

/// Sweeps as a process does that has seen every row unchanged for an hour.
pub async fn sweep(fanout: &Fanout) {
    let now = Clock::system().now();
    let at = |clock| fanout.clone().with_clock(Clock::fixed(clock));
    // It has no time for more than a look.
    at(now).handle(&json!({"source": "aws.events"}), Instant::now()).await;
    at(now + Duration::from_hours(1)).sweep().await;
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The emulators of a world: embedded ones, or those that run at [`ENDPOINT`] for all worlds.
pub fn emulators() -> (Option<Emulators>, Endpoints) {
    if let Ok(url) = env::var(ENDPOINT) {
        return (None, Endpoints { dynamodb: Some(url.clone()), sqs: Some(url) });
    }
    let emulators = Emulators::start(None).unwrap();
    let endpoints = emulators.endpoints();
    (Some(emulators), endpoints)
}

/// A name that no other world has, for its table and its stage.
pub fn stage() -> String {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    format!("t{}x{}", process::id(), WORLDS.fetch_add(1, Ordering::Relaxed))
}

fn origins() -> Origins {
    ORIGIN.parse().unwrap()
}

/// What the processes of a world have in common.
#[derive(Debug)]
struct Place {
    aws: Configs,
    stage: String,
    jobs: String,
}

impl Place {
    /// What a process of the write side is built from, over clients of its own.
    async fn fanout(&self, faults: &Faults, calls: Option<&Calls>) -> Fanout {
        let client = |config: &SdkConfig| FaultyClient {
            inner: config.http_client().expect("the configurations name their client"),
            faults: faults.clone(),
        };
        let Configs { dynamodb, sqs, sqs_receive } = &self.aws;
        let mut rows = aws_sdk_dynamodb::config::Builder::from(dynamodb).http_client(client(dynamodb));
        let mut posts = aws_sdk_sqs::config::Builder::from(sqs).http_client(client(sqs));
        if let Some(calls) = calls {
            rows = rows.interceptor(calls.clone());
            posts = posts.interceptor(calls.clone());
        }
        let receives = aws_sdk_sqs::config::Builder::from(sqs_receive).http_client(client(sqs_receive));
        let table = Table::open(rows.build(), &self.stage, limits::INBOX_DAYS).await.unwrap();
        let queues = Queues::new(posts.build(), receives.build(), &self.stage).sealed(seal_of(&self.stage));
        Fanout::new(table, queues, self.jobs.clone(), Clock::system())
    }
}

/// The seal of a stage, which others do not have.
fn seal_of(stage: &str) -> Seal {
    Seal::new([format!("the key of {stage}").as_bytes()])
}

fn listen(
    router: Router,
    options: listener::Options,
    stop: &CancellationToken,
    tracker: &TaskTracker,
) -> SocketAddr {
    let bound = listener::bind(([127, 0, 0, 1], 0).into(), Some(8 * 1024)).unwrap();
    let (address, stop, inner) = (bound.addr(), stop.clone(), tracker.clone());
    tracker.spawn(async move {
        listener::serve(bound, router, options, stop, &inner).await;
    });
    address
}
