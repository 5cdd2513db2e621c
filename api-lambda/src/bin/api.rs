//! The API as a Lambda function behind an HTTP API.

use std::{env, process::ExitCode};

use api::{router::router, state::ApiState};
use clap::Parser;
use fanout::{config::StoreArgs, deliver::Fanout};
use queue::{queues::Queues, seal::Seal};
use server::{
    auth::{AuthConfig, Verifier},
    aws::{self, Endpoints},
    clock::Clock,
    cors::CorsArgs,
    exit,
    telemetry::{self, LogFormat},
};
use store::table::Table;

/// Serves Runnel's HTTP API under AWS Lambda. On a machine of your own use `runnel api`.
#[derive(Debug, Parser)]
#[command(version, after_help = telemetry::HELP)]
struct Config {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    auth: AuthConfig,
    #[command(flatten)]
    cors: CorsArgs,
    #[command(flatten)]
    endpoints: Endpoints,
}

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    telemetry::init(LogFormat::Json);
    exit::code("api", serve(config).await)
}

async fn serve(config: Config) -> Result<(), lambda_http::Error> {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err("there is no AWS Lambda around this process: use `runnel api`".into());
    }
    let verifier = Verifier::new(&config.auth)?;
    let aws = aws::configs(&config.endpoints).await?;
    let table = Table::open((&aws.dynamodb).into(), &config.store.table, config.store.inbox_days).await?;
    let table = config.store.users.apply_to(table);
    let queues = Queues::new((&aws.sqs).into(), (&aws.sqs_receive).into(), &config.store.stage);
    let queues = queues.sealed(Seal::new(config.store.keys.keys()?));
    let jobs = queues.fanout(config.store.fanout_queue.as_deref()).await?;
    let fanout = Fanout::new(table, queues, jobs, Clock::system());
    lambda_http::run(router(ApiState { verifier, fanout }, &config.cors.allowed_origins)).await
}
