//! The fan-out as a Lambda function: jobs from SQS, outbox rows from the table's stream, the
//! schedule.

use std::time::Duration;

use clap::Parser;
use domain::limits;
use fanout::{config::StoreArgs, deliver::Fanout};
use lambda_runtime::{LambdaEvent, service_fn};
use queue::{queues::Queues, seal::Seal};
use serde_json::Value;
use server::{
    aws::{self, Endpoints},
    clock::Clock,
    telemetry::{self, LogFormat},
};
use store::table::Table;
use tokio::time::Instant;

/// Finishes fan-outs under AWS Lambda. On a machine of your own use `runnel fanout`.
#[derive(Debug, Parser)]
#[command(version)]
struct Config {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    endpoints: Endpoints,
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init(LogFormat::Json);
    let config = Config::parse();
    let aws = aws::configs(&config.endpoints).await?;
    let table = Table::open((&aws.dynamodb).into(), &config.store.table, config.store.inbox_days).await?;
    let table = config.store.users.apply_to(table);
    let queues = Queues::new((&aws.sqs).into(), (&aws.sqs_receive).into(), &config.store.stage);
    let queues = queues.sealed(Seal::new(config.store.keys.keys()?));
    let jobs = queues.fanout(config.store.fanout_queue.as_deref()).await?;
    let fanout = Fanout::new(table, queues, jobs, Clock::system());
    let fanout = &fanout;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let now = u64::try_from(fanout.clock.now().as_millisecond()).unwrap_or_default();
        let left = Duration::from_millis(event.context.deadline.saturating_sub(now));
        let until = Instant::now() + left.saturating_sub(limits::LAMBDA_RESERVE);
        Ok::<_, lambda_runtime::Error>(fanout.handle(&event.payload, until).await)
    }))
    .await
}
