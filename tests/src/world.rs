//! One deployment: emulators, one API, some edges.

use std::{net::SocketAddr, time::Duration};

use api_lambda::{fanout::drive::Fanout, router::router, state::ApiState};
use aws_config::SdkConfig;
use axum::Router;
use domain::{ids::UserId, limits};
use queue::queues::Queues;
use runnel::emulators::Emulators;
use server::{
    auth::{AuthConfig, Verifier, mint::Minter},
    aws::{self, Configs},
    clock::Clock,
    layers, listener,
};
use sse_edge::{
    config::{EdgeArgs, Topology},
    edge::{Edge, Parts},
};
use store::table::Table;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    calls::Calls,
    faults::{Faults, client::FaultyClient},
    http::Api,
    sse::Stream,
};

/// The longest that anything may take before a test says that it does not come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running deployment. Dropping it ends everything as a crash would.
#[derive(Debug)]
pub struct World {
    _emulators: Emulators,
    /// The table, for what no public door shows.
    pub table: Table,
    /// The queues.
    pub queues: Queues,
    /// What the API asks of AWS.
    pub calls: Calls,
    /// The API's address.
    pub api: SocketAddr,
    /// What goes wrong between the API and AWS.
    pub faults: Faults,
    /// The edges.
    pub edges: Vec<RunningEdge>,
    auth: AuthConfig,
    aws: Configs,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// One more process of the write side: an API of its own, or a sweeper.
#[derive(Debug)]
pub struct Side {
    /// What goes wrong between it and AWS.
    pub faults: Faults,
    /// The API's address.
    pub api: SocketAddr,
    fanout: Fanout,
    stop: CancellationToken,
}

impl Side {
    /// Its fan-out, at another time.
    pub fn fanout(&self, clock: Clock) -> Fanout {
        Fanout { clock, ..self.fanout.clone() }
    }

    /// Ends it without a word.
    pub fn kill(&self) {
        self.stop.cancel();
    }
}

/// One edge of a world.
#[derive(Debug)]
pub struct RunningEdge {
    /// The edge.
    pub edge: Edge,
    /// Where it listens.
    pub address: SocketAddr,
    /// What goes wrong between it and AWS.
    pub faults: Faults,
    stop: CancellationToken,
}

impl RunningEdge {
    /// Ends the edge without a word, and nothing given back.
    pub fn kill(&self) {
        self.stop.cancel();
    }
}

impl World {
    /// Starts a world with `edges` edges.
    pub async fn start(topology: Topology, edges: usize) -> Self {
        let emulators = Emulators::start(None).await.unwrap();
        let aws = aws::configs(&emulators.endpoints()).await;
        Table::create((&aws.dynamodb).into(), "test").await.unwrap();
        let table = Table::open((&aws.dynamodb).into(), "test", limits::INBOX_DAYS).await.unwrap();
        let queues = Queues::new((&aws.sqs).into(), (&aws.sqs_receive).into(), "test");
        let auth = AuthConfig {
            secret: Some("a secret of more than 32 characters".into()),
            ..AuthConfig::default()
        };
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let (calls, faults) = (Calls::default(), Faults::default());
        let fanout = fanout(&aws, &faults, Some(&calls)).await;
        let verifier = Verifier::new(&auth).unwrap();
        let api = listen(router(ApiState { verifier, fanout }), &stop, &tracker);
        let mut world = Self {
            _emulators: emulators,
            table,
            queues,
            calls,
            api,
            faults,
            edges: Vec::new(),
            auth,
            aws,
            tracker,
            stop,
        };
        for _ in 0..edges {
            world.add_edge(topology).await;
        }
        world
    }

    /// One more API, with faults of its own.
    pub async fn side(&self) -> Side {
        let faults = Faults::default();
        let fanout = fanout(&self.aws, &faults, None).await;
        let (verifier, stop) = (Verifier::new(&self.auth).unwrap(), self.stop.child_token());
        let router = router(ApiState { verifier, fanout: fanout.clone() });
        let api = listen(router, &stop, &self.tracker);
        faults.take();
        Side { faults, api, fanout, stop }
    }

    /// Starts one more edge.
    pub async fn add_edge(&mut self, topology: Topology) {
        let edge = self.edge(topology, Faults::default()).await;
        edge.edge.ready().await;
        self.edges.push(edge);
    }

    /// One more edge, which does not belong to the others, and may not be ready yet: its faults
    /// may strike from its first call on.
    pub async fn edge(&self, topology: Topology, faults: Faults) -> RunningEdge {
        let stop = self.stop.child_token();
        let Fanout { table, queues, .. } = fanout(&self.aws, &faults, None).await;
        let config =
            EdgeArgs { queues: topology, drain_seconds: 1, head_check_seconds: 5, ..EdgeArgs::default() };
        let parts = Parts {
            table,
            queues,
            verifier: Verifier::new(&self.auth).unwrap(),
            clock: Clock::system(),
            config,
        };
        let edge = Edge::start(parts, &self.tracker, &stop);
        let address = listen(layers::wrap(edge.router()), &stop, &self.tracker);
        RunningEdge { edge, address, faults, stop }
    }

    /// A token for `user`.
    pub fn token(&self, user: &str) -> String {
        self.token_from(user, Duration::ZERO)
    }

    /// A token for `user`, good for an hour, that was minted some time ago.
    pub fn token_from(&self, user: &str, ago: Duration) -> String {
        let user = UserId::parse(user).unwrap();
        Minter::new(&self.auth).unwrap().mint(&user, Duration::from_hours(1), Clock::system().now() - ago)
    }

    /// A DynamoDB client without faults, for rows that no door writes.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.aws.dynamodb)
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
        Fanout { table: self.table.clone(), queues: self.queues.clone(), clock }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a process of the write side is built from, over clients of its own.
async fn fanout(aws: &Configs, faults: &Faults, calls: Option<&Calls>) -> Fanout {
    let client = |config: &SdkConfig| FaultyClient {
        inner: config.http_client().expect("the configurations name their client"),
        faults: faults.clone(),
    };
    let mut dynamodb =
        aws_sdk_dynamodb::config::Builder::from(&aws.dynamodb).http_client(client(&aws.dynamodb));
    let mut sqs = aws_sdk_sqs::config::Builder::from(&aws.sqs).http_client(client(&aws.sqs));
    if let Some(calls) = calls {
        dynamodb = dynamodb.interceptor(calls.clone());
        sqs = sqs.interceptor(calls.clone());
    }
    let receives =
        aws_sdk_sqs::config::Builder::from(&aws.sqs_receive).http_client(client(&aws.sqs_receive)).build();
    let table = Table::open(dynamodb.build(), "test", limits::INBOX_DAYS).await.unwrap();
    Fanout { table, queues: Queues::new(sqs.build(), receives, "test"), clock: Clock::system() }
}

fn listen(router: Router, stop: &CancellationToken, tracker: &TaskTracker) -> SocketAddr {
    let bound = listener::bind(([127, 0, 0, 1], 0).into(), Some(8 * 1024)).unwrap();
    let (address, stop, inner) = (bound.addr(), stop.clone(), tracker.clone());
    tracker.spawn(async move {
        listener::serve(bound, router, listener::Options::default(), stop, &inner).await;
    });
    address
}
