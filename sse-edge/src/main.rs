//! The edge as a process of its own: opens the table and the queues, listens, drains.

use std::{net::SocketAddr, pin::pin, process::ExitCode};

use anyhow::Context as _;
use axum::Router;
use clap::Parser;
use domain::limits;
use mimalloc::MiMalloc;
use queue::queues::{Queues, STAGE, parse_stage};
use server::{
    auth::{AuthConfig, Verifier},
    aws,
    clock::Clock,
    cors::CorsArgs,
    exit, json, layers, listener, shutdown,
    telemetry::{self, LogFormat},
};
use sse_edge::{
    config::EdgeArgs,
    edge::{Edge, Parts},
    pages,
};
use store::table::{TABLE, Table};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// musl's allocator, which the image has otherwise, takes one lock for all threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What the kernel keeps for a stream whose reader is slow, in bytes; Linux doubles it.
const SEND_BUFFER_BYTES: usize = 8 * 1024;

/// The push side of Runnel: holds the open streams.
#[derive(Debug, Parser)]
#[command(version, after_help = telemetry::HELP)]
struct Args {
    /// Where to listen.
    #[arg(long, env = "RUNNEL_LISTEN", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Name of the DynamoDB table.
    #[arg(long, env = "RUNNEL_TABLE", default_value = TABLE)]
    table: String,
    /// Stage: queues are named `runnel-<stage>-…`; stages share nothing.
    #[arg(long, env = "RUNNEL_STAGE", default_value = STAGE, value_parser = parse_stage)]
    stage: String,
    /// The shape of a log line.
    #[arg(long, env = "RUNNEL_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(flatten)]
    edge: EdgeArgs,
    #[command(flatten)]
    auth: AuthConfig,
    #[command(flatten)]
    cors: CorsArgs,
    #[command(flatten)]
    endpoints: aws::Endpoints,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    telemetry::init(args.log_format);
    exit::code("sse-edge", serve(args).await)
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let verifier = Verifier::new(&args.auth)?;
    let stopping = shutdown::signal()?;
    let bound = listener::bind(args.listen, Some(SEND_BUFFER_BYTES))?;
    let configs = aws::configs(&args.endpoints).await;
    let mut stopping = pin!(stopping);
    let table = tokio::select! {
        opened = Table::open((&configs.dynamodb).into(), &args.table, limits::INBOX_DAYS) => opened?,
        _ = &mut stopping => return Ok(()),
    };
    let queues = Queues::new((&configs.sqs).into(), (&configs.sqs_receive).into(), &args.stage);
    let addr = bound.addr();

    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let parts = Parts { table, queues, verifier, clock: Clock::system(), config: args.edge };
    let edge = Edge::start(parts, &tracker, &stop);
    let routes: Router = edge.router().merge(pages::router());
    let routes = routes.fallback(json::no_such_route).method_not_allowed_fallback(json::no_such_method);
    let routes = layers::wrap(routes, &args.cors.allowed_origins);
    edge.serve_metrics(&stop, &tracker).context("metrics")?;
    let options = listener::Options::default();
    let serving = listener::serve(bound, routes, options, stop.clone(), &tracker);
    tracing::info!(edge.id = %edge.boot(), "edge listens on http://{addr}");
    tell(addr);

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
fn tell(addr: SocketAddr) {
    println!("Runnel's edge serves on http://{addr}");
}
