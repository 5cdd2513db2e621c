//! The API as a Lambda function behind an HTTP API.

use api_lambda::{config::StoreArgs, fanout::drive::Fanout, router::router, state::ApiState};
use clap::Parser;
use queue::queues::Queues;
use server::{
    auth::{AuthConfig, Verifier},
    aws::{self, Endpoints},
    clock::Clock,
    cors::CorsArgs,
    telemetry::{self, LogFormat},
};
use store::table::Table;

/// Serves Runnel's HTTP API under AWS Lambda. On a machine of your own use `runnel api`.
#[derive(Debug, Parser)]
#[command(version)]
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
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init(LogFormat::Json);
    let config = Config::parse();
    let verifier = Verifier::new(&config.auth)?;
    let aws = aws::configs(&config.endpoints).await;
    let table = Table::open((&aws.dynamodb).into(), &config.store.table, config.store.inbox_days).await?;
    let queues = Queues::new((&aws.sqs).into(), (&aws.sqs_receive).into(), &config.store.stage);
    let fanout = Fanout { table, queues, clock: Clock::system() };
    lambda_http::run(router(ApiState { verifier, fanout }, &config.cors.allowed_origins)).await
}
