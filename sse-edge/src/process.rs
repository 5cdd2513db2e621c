//! The edge as a process of its own: opens the table and the queues, listens, drains.

use std::{net::SocketAddr, pin::pin};

use anyhow::Context as _;
use axum::Router;
use domain::limits;
use queue::{
    policy::Senders,
    queues::{Queues, STAGE, parse_stage},
    seal::Seal,
};
use server::{
    auth::{AuthConfig, Verifier},
    aws,
    clock::Clock,
    cors::CorsArgs,
    json, layers, listener, shutdown,
    telemetry::{self, LogFormat},
};
use store::table::{TABLE, Table};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::EdgeArgs,
    edge::{Edge, Parts},
    http::assets,
};

/// What the kernel keeps for a stream whose reader is slow, in bytes; Linux doubles it.
const SEND_BUFFER_BYTES: usize = 8 * 1024;

/// Settings of an edge that is a process of its own.
#[derive(Debug, clap::Args)]
pub struct ProcessArgs {
    /// Address to listen on. A port alone means 127.0.0.1.
    #[arg(long, env = "RUNNEL_LISTEN", default_value = "127.0.0.1:8081", value_name = "ADDRESS",
          value_parser = listener::address::parse)]
    pub listen: SocketAddr,
    /// Format of a log line.
    #[arg(long, env = "RUNNEL_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Name of the DynamoDB table.
    #[arg(long, env = "RUNNEL_TABLE", default_value = TABLE, help_heading = aws::AWS)]
    pub table: String,
    /// Stage: queues are named `runnel-<stage>-…`. Stages share nothing.
    #[arg(long, env = "RUNNEL_STAGE", default_value = STAGE, value_parser = parse_stage, help_heading = aws::AWS)]
    pub stage: String,
    /// Endpoints of AWS.
    #[command(flatten)]
    pub endpoints: aws::Endpoints,
    /// The keys of the queues.
    #[command(flatten)]
    pub keys: aws::QueueKeys,
    /// ARNs of the IAM roles that may post to the queues that this edge creates, separated by commas: those of the API and
    /// the fan-out. Default: no policy, so IAM alone decides.
    #[arg(long, env = "RUNNEL_QUEUE_SENDERS", value_name = "ARNS", default_value = "", hide_default_value = true,
          value_parser = Senders::parse, help_heading = aws::AWS)]
    pub queue_senders: Senders,
    /// Accepted tokens.
    #[command(flatten)]
    pub auth: AuthConfig,
    /// Pages of other origins.
    #[command(flatten)]
    pub cors: CorsArgs,
    /// Streams.
    #[command(flatten)]
    pub edge: EdgeArgs,
}

/// Serves until it is asked to stop, then drains.
///
/// # Errors
/// One sentence that says what to do.
pub async fn serve(args: ProcessArgs) -> anyhow::Result<()> {
    telemetry::init(args.log_format);
    let verifier = Verifier::new(&args.auth)?;
    let stopping = shutdown::signal()?;
    let bound = listener::bind(args.listen, Some(SEND_BUFFER_BYTES))?;
    let configs = aws::configs(&args.endpoints).await?;
    let mut stopping = pin!(stopping);
    let table = tokio::select! {
        opened = Table::open((&configs.dynamodb).into(), &args.table, limits::INBOX_DAYS) => opened?,
        _ = &mut stopping => return Ok(()),
    };
    let queues = Queues::new((&configs.sqs).into(), (&configs.sqs_receive).into(), &args.stage);
    let queues = queues.sealed(Seal::new(args.keys.keys()?)).only_from(args.queue_senders);
    let addr = bound.addr();

    let options = args.edge.listener_options();
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let parts =
        Parts { table: table.for_edges(), queues, verifier, clock: Clock::system(), config: args.edge };
    let edge = Edge::start(parts, &tracker, &stop);
    let routes: Router = edge.router().merge(assets::router()).merge(assets::document());
    let routes = routes.fallback(json::no_such_route).method_not_allowed_fallback(json::no_such_method);
    let routes = layers::wrap(routes, &args.cors.allowed_origins);
    edge.serve_metrics(&stop, &tracker).context("metrics")?;
    let serving = listener::serve(bound, routes, options, stop.clone(), &tracker);
    tracing::info!(edge.id = %edge.boot(), "edge listens on http://{addr}");
    announce(addr);

    let draining = async {
        let signal = stopping.await;
        tracing::info!("{signal}: draining");
        edge.drain().await;
    };
    let work = async {
        serving.await;
        tracker.close();
        tracker.wait().await;
    };
    shutdown::end_in_time(draining, &stop, work).await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "these are the words of a command to the person who gave it")]
fn announce(addr: SocketAddr) {
    println!("Runnel's edge serves on http://{addr}");
}
