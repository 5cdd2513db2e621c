//! A deployment in the simulated cloud: APIs, edges and a sweeper, each a process that can die.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use api::{router::router, state::ApiState};
use axum::{Router, body::Body, response::Response};
use domain::{ids::UserId, limits};
use fanout::deliver::Fanout;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use queue::{queues::Queues, seal::Seal};
use server::{
    auth::{AuthConfig, Verifier, mint::Minter, scope::Scope},
    aws::Configs,
    clock::Clock,
    cors::Origins,
    layers,
};
use sse_edge::{
    config::EdgeArgs,
    edge::{Edge, Parts},
};
use store::table::{Table, counter::Rate};
use tokio::{
    sync::RwLock,
    time::{Duration, Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    cloud::{Cloud, Network},
    history::History,
    lambda::Lambda,
    restore, sdk,
};

const TABLE: &str = "sim";
/// The fan-out queue.
pub(crate) const JOBS: &str = "http://sqs/runnel-sim-fanout";
/// After this long nothing that was asked is under way any more.
const QUIET: Duration = Duration::from_secs(5);
/// The longest that a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How far the clock of a process may be off.
pub(crate) const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// For how long a client asks with one token.
const TOKEN_USE: SignedDuration = SignedDuration::from_mins(30);

/// What every process of the deployment is started with.
pub(crate) struct Deployment {
    /// Where everything lies.
    pub(crate) cloud: Arc<Cloud>,
    /// The time of day, which moves with tokio's.
    pub(crate) clock: Clock,
    /// On which everything runs.
    pub(crate) tracker: TaskTracker,
    /// How it is set up.
    pub(crate) fleet: Fleet,
    base: Configs,
    auth: AuthConfig,
    verifier: Verifier,
    minter: Minter,
    /// The last token of each user, and since when it is good.
    tokens: Mutex<HashMap<UserId, (Timestamp, String)>>,
    processes: Mutex<Processes>,
    /// With it die all processes that were started since the last restore.
    era: Mutex<CancellationToken>,
    /// Read while a process is started.
    opened: RwLock<()>,
}

/// The processes of a deployment, and how they are set.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    /// How many APIs there are.
    pub(crate) apis: usize,
    /// How many edges there are.
    pub(crate) edges: usize,
    /// How each edge is set.
    pub(crate) edge_args: EdgeArgs,
    /// What the sweeper does.
    pub(crate) sweeping: Sweeping,
    /// Who counts what users do.
    pub(crate) rate: Rate,
    /// Invitations that a list shows at most.
    pub(crate) invitations_shown: usize,
}

impl Fleet {
    /// One API and so many edges, with the schedule of `template.yaml` and the limiter off.
    pub(crate) fn of(edge_args: EdgeArgs, edges: usize) -> Self {
        let sweeping = Sweeping { every: Duration::from_mins(1), works: Works::Nothing };
        let invitations_shown = limits::INVITATIONS_SHOWN;
        Self { apis: 1, edges, edge_args, sweeping, rate: Rate::Off, invitations_shown }
    }
}

/// What the sweeper does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweeping {
    /// How often it looks.
    pub(crate) every: Duration,
    /// What else it does.
    pub(crate) works: Works,
}

/// What a sweeper does between its looks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Works {
    /// Nothing.
    Nothing,
    /// It receives jobs and works them.
    Jobs,
    /// It is a Lambda function, and handles jobs, changes of the table and the schedule as events.
    Events,
}

struct Processes {
    apis: Vec<Process>,
    edges: Vec<EdgeProcess>,
    sweeper: Network,
}

/// A process that answers requests.
#[derive(Clone)]
pub(crate) struct Process {
    router: Router,
    /// Its way to the cloud; dying is part of it.
    pub(crate) network: Network,
}

#[derive(Clone)]
struct EdgeProcess {
    process: Process,
    edge: Edge,
}

impl Deployment {
    /// Starts the processes of `fleet`, and a sweeper.
    pub(crate) async fn start(
        cloud: Arc<Cloud>,
        (clock, tracker): (Clock, TaskTracker),
        base: &Configs,
        fleet: Fleet,
    ) -> Arc<Self> {
        let auth = AuthConfig {
            secret: Some("a secret of more than 32 characters".into()),
            ..AuthConfig::default()
        };
        let era = CancellationToken::new();
        let sweeper = Network::new(cloud.clone(), era.child_token());
        let deployment = Arc::new(Self {
            cloud,
            clock,
            tracker,
            fleet,
            base: base.clone(),
            verifier: Verifier::new(&auth).expect("a good secret"),
            minter: Minter::new(&auth).expect("a good secret"),
            auth,
            tokens: Mutex::default(),
            processes: Mutex::new(Processes { apis: Vec::new(), edges: Vec::new(), sweeper }),
            era: Mutex::new(era),
            opened: RwLock::default(),
        });
        for _ in 0..deployment.fleet.apis {
            let api = deployment.api().await;
            deployment.processes().apis.push(api);
        }
        for _ in 0..deployment.fleet.edges {
            let edge = deployment.edge().await;
            deployment.processes().edges.push(edge);
        }
        deployment.restart_sweeper().await;
        deployment
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().expect("nothing panics while it holds this")
    }

    /// A table and queues as a process with this network reaches them.
    pub(crate) async fn reach(&self, network: &Network) -> (Table, Queues) {
        let rows = sdk::rows(&self.base, network);
        let table = loop {
            // A process that cannot start is started again.
            if let Ok(table) = Table::open(rows.clone(), TABLE, limits::INBOX_DAYS).await {
                break table;
            }
        };
        let [calls, receives] = sdk::queues(&self.base, network);
        (
            table.showing(self.fleet.invitations_shown),
            Queues::new(calls, receives, TABLE).sealed(Seal::new([TABLE.as_bytes()])),
        )
    }

    fn era(&self) -> MutexGuard<'_, CancellationToken> {
        self.era.lock().expect("nothing panics while it holds this")
    }

    fn network(&self) -> Network {
        Network::new(self.cloud.clone(), self.era().child_token())
    }

    /// A clock for a process. Processes that count together agree on the time, so that their windows are the same.
    fn clock_of_a_process(&self) -> Clock {
        if self.fleet.rate == Rate::Exact { self.clock.clone() } else { self.cloud.clock_of_a_process() }
    }

    async fn api(&self) -> Process {
        let network = self.network();
        let (table, queues) = self.reach(&network).await;
        let fanout =
            Fanout::new(table.limited(self.fleet.rate), queues, JOBS.into(), self.clock_of_a_process());
        Process {
            router: router(ApiState { verifier: self.verifier.clone(), fanout }, &Origins::default()),
            network,
        }
    }

    async fn edge(&self) -> EdgeProcess {
        let network = self.network();
        let (table, queues) = self.reach(&network).await;
        let parts = Parts {
            table: table.for_edges(),
            queues,
            verifier: Verifier::new(&self.auth).expect("a good secret"),
            clock: self.clock_of_a_process(),
            config: self.fleet.edge_args.clone(),
        };
        let edge = Edge::start(parts, &self.tracker, &network.dead);
        EdgeProcess {
            process: Process { router: layers::wrap(edge.router(), &Origins::default()), network },
            edge,
        }
    }

    /// How many edges there are.
    pub(crate) fn edges(&self) -> usize {
        self.processes().edges.len()
    }

    /// How many streams an edge holds.
    #[cfg(test)]
    pub(crate) fn streams(&self, at: usize) -> usize {
        self.processes().edges[at].edge.streams()
    }

    /// How many APIs there are.
    pub(crate) fn apis(&self) -> usize {
        self.processes().apis.len()
    }

    /// An API dies with all its requests, and another one takes its place.
    pub(crate) async fn kill_api(&self, at: usize) {
        self.processes().apis[at].network.dead.cancel();
        self.start_api(at).await;
    }

    /// An API dies at once behind one of its next `transactions`, and another one takes its place.
    pub(crate) async fn doom_api(&self, at: usize, transactions: u32) {
        let network = self.processes().apis[at].network.clone();
        network.doom(transactions);
        network.dead.cancelled().await;
        self.start_api(at).await;
    }

    /// All APIs die with all their requests.
    pub(crate) fn end_apis(&self) {
        self.processes().apis.iter().for_each(|api| api.network.dead.cancel());
    }

    /// Others take their places.
    pub(crate) async fn start_apis(&self) {
        for at in 0..self.apis() {
            self.start_api(at).await;
        }
    }

    async fn start_api(&self, at: usize) {
        let _opened = self.opened.read().await;
        let api = self.api().await;
        self.processes().apis[at] = api;
    }

    /// An edge dies; another one takes its place after a while.
    pub(crate) async fn kill_edge(&self, at: usize, after: Duration) {
        self.processes().edges[at].process.network.dead.cancel();
        sleep(after).await;
        let _opened = self.opened.read().await;
        let edge = self.edge().await;
        // One that has taken its place meanwhile.
        let old = std::mem::replace(&mut self.processes().edges[at], edge);
        old.process.network.dead.cancel();
    }

    /// An edge is replaced in good order: the new one first.
    pub(crate) async fn replace_edge(&self, at: usize) {
        let old = {
            let _opened = self.opened.read().await;
            let new = self.edge().await;
            std::mem::replace(&mut self.processes().edges[at], new)
        };
        old.edge.drain().await;
        old.process.network.dead.cancel();
    }

    /// The sweeper dies, and is started again.
    pub(crate) async fn restart_sweeper(&self) {
        self.processes().sweeper.dead.cancel();
        let _opened = self.opened.read().await;
        self.sweeper().await;
    }

    async fn sweeper(&self) {
        let network = self.network();
        let (table, queues) = self.reach(&network).await;
        let fanout = Fanout::new(table, queues.clone(), JOBS.into(), self.clock_of_a_process());
        let dead = network.dead.clone();
        self.processes().sweeper = network;
        let every = self.fleet.sweeping.every;
        match self.fleet.sweeping.works {
            Works::Nothing => {}
            Works::Jobs => {
                let (worker, stop) = (fanout.clone(), dead.clone());
                self.tracker.spawn(async move { worker.work_until(stop).await });
            }
            Works::Events => {
                let lambda = Lambda::new(fanout, queues, self.cloud.clone(), every);
                self.tracker.spawn(dead.run_until_cancelled_owned(lambda.run()));
                return;
            }
        }
        self.tracker.spawn(async move { fanout.sweep_every(every, dead).await });
    }

    /// Everything stops, the table is restored from a backup and repaired, and everything starts again.
    pub(crate) async fn restore(&self, history: &History) {
        let _closed = self.opened.write().await;
        self.stop();
        sleep(QUIET).await;
        self.cloud.restore();
        restore::forget(&self.cloud, history);
        *self.era() = CancellationToken::new();
        let (table, _) = self.reach(&self.network()).await;
        // One that breaks off is run again.
        let report = loop {
            if let Ok(report) = table.repair(self.clock.now(), false, &|_| {}).await {
                break report;
            }
        };
        if report.passed_over > 0 {
            history.wrong(format!("a repair passes over {} threads or users", report.passed_over));
        }
        restore::begin_anew(&self.cloud, history);
        for at in 0..self.apis() {
            let api = self.api().await;
            self.processes().apis[at] = api;
        }
        for at in 0..self.edges() {
            let edge = self.edge().await;
            self.processes().edges[at] = edge;
        }
        self.sweeper().await;
    }

    /// One process hears nothing from the cloud for a while, nor the cloud from it.
    pub(crate) fn cut(&self, at: usize, length: Duration) {
        self.network_of(at).cut(Instant::now() + length);
    }

    /// One process stands still for a while, as a stopped one does: what was on its way to it arrives afterwards.
    pub(crate) fn pause(&self, at: usize, length: Duration) {
        self.network_of(at).pause(Instant::now() + length);
    }

    fn network_of(&self, at: usize) -> Network {
        let processes = self.processes();
        let networks = processes.apis.iter().map(|api| &api.network);
        let networks = networks.chain(processes.edges.iter().map(|edge| &edge.process.network));
        let networks: Vec<&Network> = networks.chain([&processes.sweeper]).collect();
        networks[at % networks.len()].clone()
    }

    /// The same for one edge.
    pub(crate) fn cut_edge(&self, at: usize, length: Duration) {
        self.cut(self.apis() + at, length);
    }

    /// Ends everything at once.
    pub(crate) fn stop(&self) {
        self.era().cancel();
    }

    /// The boot ids of the edges that live.
    pub(crate) fn boots(&self) -> Vec<domain::ids::BootId> {
        self.processes().edges.iter().map(|edge| edge.edge.boot()).collect()
    }

    /// A token for `user`, good for half an hour at least.
    pub(crate) fn token(&self, user: &UserId) -> String {
        let now = self.clock.now();
        let mut tokens = self.tokens.lock().expect("nothing panics while it holds this");
        let known = tokens.get(user).filter(|(since, _)| now.duration_since(*since) < TOKEN_USE);
        if let Some((_, token)) = known {
            return token.clone();
        }
        // No process has a clock that is so far behind.
        let since = if self.fleet.rate == Rate::Exact { now } else { now - 2 * SKEW };
        let token = self.minter.mint(user, Duration::from_hours(1), since);
        tokens.insert(user.clone(), (now, token.clone()));
        token
    }

    /// Forgets the token of `user`: the next one is new.
    pub(crate) fn sign_out(&self, user: &UserId) {
        self.tokens.lock().expect("nothing panics while it holds this").remove(user);
    }

    /// A token for the service of this name.
    pub(crate) fn service(&self, name: &str, scopes: &[Scope]) -> String {
        let service = UserId::parse(name).expect("a name");
        self.minter.mint_scoped(&service, scopes, Duration::from_hours(1), self.clock.now())
    }

    /// What an API answers; nothing, if it dies meanwhile or takes too long.
    pub(crate) async fn ask_api(&self, at: usize, request: Request<Body>) -> Option<Response> {
        let process = self.processes().apis[at].clone();
        process.ask(request).await
    }

    /// What an edge answers, and how to know that it has died or stands still.
    pub(crate) async fn ask_edge(&self, at: usize, request: Request<Body>) -> Option<(Response, Network)> {
        let process = self.processes().edges[at].process.clone();
        let network = process.network.clone();
        Some((process.ask(request).await?, network))
    }
}

impl Process {
    async fn ask(self, request: Request<Body>) -> Option<Response> {
        let network = self.network.clone();
        let answer = async {
            network.awake().await;
            let answer = self.router.oneshot(request).await;
            network.awake().await;
            answer
        };
        tokio::select! {
            biased;
            () = self.network.dead.cancelled() => None,
            answer = tokio::time::timeout(PATIENCE, answer) => answer.ok()?.ok(),
        }
    }
}
