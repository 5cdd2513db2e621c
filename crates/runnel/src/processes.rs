//! The parts of the service as processes of their own.

use std::{net::SocketAddr, path::Path, pin::pin, time::Duration};

use anyhow::{Context as _, ensure};
use api::{router::router, state::ApiState};
use domain::ids::UserId;
use fanout::{config::StoreArgs, deliver::Fanout};
use queue::{queues::Queues, seal::Seal};
use server::{
    auth::{AuthConfig, Verifier, mint::Minter, scope::Scope},
    aws::{self, Endpoints},
    clock::Clock,
    cors::CorsArgs,
    listener, shutdown,
    telemetry::{self, LogFormat},
};
use store::table::Table;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    banner,
    data_dir::DataDir,
    emulators::{dynamodb::DynamoDb, front},
    serve::SWEEP,
};

/// `runnel token`.
pub fn token(
    (user, service): (Option<UserId>, Option<UserId>),
    mut scopes: Vec<Scope>,
    data_dir: &Path,
    hours: u64,
) -> anyhow::Result<()> {
    if service.is_some() && scopes.is_empty() {
        scopes = Scope::ALL.into();
    }
    let subject = user.or(service).context("name a user, or a service with --service")?;
    let secret = DataDir::open(data_dir)?.secret()?;
    let minter = Minter::new(&AuthConfig { secret: Some(secret), ..AuthConfig::default() })?;
    let life = Duration::from_secs(hours * 3_600);
    banner::token(&minter.mint_scoped(&subject, &scopes, life, Clock::system().now()));
    Ok(())
}

/// `runnel emulators`.
pub async fn emulators(listen: SocketAddr, data_dir: &Path, table: &str) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text);
    ensure!(
        listen.ip().is_loopback(),
        "the emulators check no signatures, so they only listen on a loopback address such as 127.0.0.1:4566"
    );
    let stopping = shutdown::signal()?;
    let folder = DataDir::lock(data_dir)?;
    let dynamodb = DynamoDb::start(Some(folder.database()))?;
    // What `template.yaml` does on AWS.
    let endpoints = Endpoints { dynamodb: Some(dynamodb.url()), sqs: Some(dynamodb.url()) };
    Table::create((&aws::dynamodb(&endpoints).await?).into(), table).await?;
    let served = tokio::select! {
        served = front::serve(listen, &dynamodb, table) => served,
        _ = stopping => Ok(()),
    };
    dynamodb.stop();
    served
}

/// `runnel api`.
pub async fn api(
    listen: SocketAddr,
    store: StoreArgs,
    (auth, cors): (AuthConfig, CorsArgs),
    endpoints: Endpoints,
) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text);
    let stopping = shutdown::signal()?;
    let verifier = Verifier::new(&auth)?;
    let bound = listener::bind(listen, None)?;
    let mut stopping = pin!(stopping);
    let fanout = tokio::select! {
        opened = fanout_of(&store, &endpoints) => opened?,
        _ = &mut stopping => return Ok(()),
    };
    banner::api(bound.addr());
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let router = router(ApiState { verifier, fanout }, &cors.allowed_origins);
    let serving = listener::serve(bound, router, listener::Options::default(), stop.clone(), &tracker);
    let work = async {
        serving.await;
        tracker.close();
        tracker.wait().await;
    };
    shutdown::end_in_time(stopping, &stop, work).await;
    Ok(())
}

/// `runnel fanout`.
pub async fn fanout(store: StoreArgs, endpoints: Endpoints) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text);
    let stopping = shutdown::signal()?;
    let mut stopping = pin!(stopping);
    let fanout = tokio::select! {
        opened = fanout_of(&store, &endpoints) => opened?,
        _ = &mut stopping => return Ok(()),
    };
    banner::fanout(&store.stage);
    let stop = CancellationToken::new();
    let work =
        async { tokio::join!(fanout.sweep_every(SWEEP, stop.clone()), fanout.work_until(stop.clone())) };
    shutdown::end_in_time(stopping, &stop, work).await;
    Ok(())
}

async fn fanout_of(store: &StoreArgs, endpoints: &Endpoints) -> anyhow::Result<Fanout> {
    let aws = aws::configs(endpoints).await?;
    let table = Table::open((&aws.dynamodb).into(), &store.table, store.inbox_days).await?;
    let table = store.users.apply_to(table);
    let queues = Queues::new((&aws.sqs).into(), (&aws.sqs_receive).into(), &store.stage);
    let queues = queues.sealed(Seal::new(store.keys.keys()?));
    let jobs = queues.fanout(store.fanout_queue.as_deref()).await?;
    Ok(Fanout::new(table, queues, jobs, Clock::system()))
}
