//! Everything in one process: emulators, API, stream, page, sweeper.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use api::{router, state::ApiState};
use axum::Router;
use fanout::{config::UserArgs, deliver::Fanout};
use queue::{queues::Queues, seal::Seal};
use secrecy::SecretString;
use server::{
    auth::{AuthConfig, Verifier, mint::Minter},
    aws::{self, Endpoints},
    clock::Clock,
    json, layers, listener, shutdown,
    telemetry::{self, LogFormat},
};
use sse_edge::{
    assets,
    config::EdgeArgs,
    edge::{Edge, Parts},
};
use store::table::{TABLE, Table};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    banner,
    cli::ServeArgs,
    data_dir::{DataDir, fresh_secret},
    dev::{self, ByName},
    emulators::Emulators,
};

/// The stage of the one process.
const STAGE: &str = "local";
/// Time between two sweeps of the outbox.
pub const SWEEP: Duration = Duration::from_secs(5);
/// The longest that the end of streams is spread over when the one process stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves until it is told to stop.
///
/// # Errors
/// One sentence that says what to do.
pub async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text);
    let stopping = shutdown::signal()?;
    let bound = listener::bind(args.listen, None)?;
    let folder = if args.ephemeral { None } else { Some(DataDir::lock(&args.data_dir)?) };
    // `runnel token` knows the secret in the folder, and nothing of these settings.
    let has_own_tokens = !args.auth.has_key() && args.auth.issuer.is_none() && args.auth.audience.is_none();
    let auth = tokens(args.auth, folder.as_ref())?;
    ensure!(
        !(args.dev && auth.has_provider()),
        "`--dev` signs users in by name, and `RUNNEL_JWKS_URL` leaves that to your identity provider: use one of them"
    );
    let emulators = Emulators::start(folder.as_ref().map(DataDir::database))?;

    let address = bound.addr();
    let options = args.edge.listener_options();
    let by_name = if auth.has_provider() { ByName::Provider } else { ByName::at(address, args.dev) };
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let config = EdgeArgs { drain: args.edge.drain.min(DRAIN), ..args.edge };
    let (edge, router) = assemble(
        &emulators.endpoints(),
        &auth,
        (args.inbox_days, args.users),
        config,
        (&tracker, &stop),
        (address, by_name.clone()),
    )
    .await?;
    edge.serve_metrics(&stop, &tracker).context("metrics")?;
    let serving = listener::serve(
        bound,
        layers::wrap(router, &args.cors.allowed_origins),
        options,
        stop.clone(),
        &tracker,
    );
    banner::serving(address, &by_name, folder.as_ref().map(DataDir::path), has_own_tokens);

    let stopped = async {
        tracing::info!("{}: stopping", stopping.await);
        edge.drain().await;
    };
    let work = async {
        serving.await;
        tracker.close();
        tracker.wait().await;
    };
    shutdown::end_in_time(stopped, &stop, work).await;
    emulators.stop();
    Ok(())
}

/// Which tokens count: those of the settings, or else those that the secret in the folder signs.
fn tokens(auth: AuthConfig, folder: Option<&DataDir>) -> anyhow::Result<AuthConfig> {
    if auth.has_key() {
        return Ok(auth);
    }
    let secret: SecretString = match folder {
        Some(folder) => folder.secret()?,
        None => fresh_secret().into(),
    };
    Ok(AuthConfig { secret: Some(secret), ..auth })
}

/// Both sides over one pair of endpoints, and who finishes fan-outs.
async fn assemble(
    endpoints: &Endpoints,
    auth: &AuthConfig,
    (inbox_days, users): (u16, UserArgs),
    config: EdgeArgs,
    (tracker, stop): (&TaskTracker, &CancellationToken),
    (address, by_name): (SocketAddr, ByName),
) -> anyhow::Result<(Edge, Router)> {
    let aws = aws::configs(endpoints).await?;
    Table::create((&aws.dynamodb).into(), TABLE).await?;
    let table = users.apply_to(Table::open((&aws.dynamodb).into(), TABLE, inbox_days).await?);
    // The queues of the process before this one died with it.
    table.forget_queues().await?;
    let queues = Queues::new((&aws.sqs).into(), (&aws.sqs_receive).into(), STAGE).sealed(Seal::random()?);
    let (verifier, clock) = (Verifier::new(auth)?, Clock::system());
    let jobs = queues.fanout(None).await?;
    let fanout = Fanout::new(table.clone(), queues.clone(), jobs, clock.clone());
    let (worker, end) = (fanout.clone(), stop.clone());
    tracker.spawn(async move {
        tokio::join!(worker.sweep_every(SWEEP, end.clone()), worker.work_until(end));
    });
    let parts =
        Parts { table: table.for_edges(), queues, verifier: verifier.clone(), clock: clock.clone(), config };
    let edge = Edge::start(parts, tracker, stop);
    let router = edge.router().merge(assets::router()).merge(router::routes(ApiState { verifier, fanout }));
    let router = match by_name {
        ByName::Provider => router,
        by_name => router.merge(dev::router(Minter::new(auth)?, clock, address, by_name)),
    };
    Ok((edge, router.fallback(json::no_such_route).method_not_allowed_fallback(json::no_such_method)))
}
