//! The fan-out's Lambda function: AWS hands it jobs, changes of the table, and the schedule as events.

use std::sync::Arc;

use fanout::deliver::Fanout;
use queue::queues::Queues;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::{cloud::Cloud, deployment::JOBS};

/// How long the function has for an event, less what it keeps to hand on the rest.
const TIME: Duration = Duration::from_secs(27);
/// Between two looks at the table's stream, and between two receives after a refused one.
const PAUSE: Duration = Duration::from_millis(500);

/// The function, and what its events are made of.
pub(crate) struct Lambda {
    fanout: Fanout,
    queues: Queues,
    cloud: Arc<Cloud>,
    every: Duration,
}

impl Lambda {
    /// The function over a table and queues, on a schedule.
    pub(crate) fn new(fanout: Fanout, queues: Queues, cloud: Arc<Cloud>, every: Duration) -> Self {
        Self { fanout, queues, cloud, every }
    }

    /// Hands it events. Each kind comes by itself, as the mappings are apart.
    pub(crate) async fn run(self) {
        tokio::join!(self.jobs(), self.changes(), self.schedule());
    }

    async fn handle(&self, event: &Value) -> Value {
        let failures = self.fanout.handle(event, Instant::now() + TIME).await;
        serde_json::to_value(failures).expect("ids always serialise")
    }

    /// A job that the function does not name as failed is acknowledged.
    async fn jobs(&self) {
        loop {
            let Ok(mut jobs) = self.queues.receive(JOBS).await else {
                sleep(PAUSE).await;
                continue;
            };
            let record = |(n, body): (usize, &String)| json!({"eventSource": "aws:sqs", "messageId": n.to_string(), "body": body});
            let records: Vec<Value> = jobs.iter().map(|job| &job.body).enumerate().map(record).collect();
            let answer = self.handle(&json!({ "Records": records })).await;
            let failed = answer["batchItemFailures"].as_array().into_iter().flatten();
            let failed: Vec<String> = failed.map(|failure| failure["itemIdentifier"].to_string()).collect();
            let mut n = 0..;
            jobs.retain(|_| !failed.contains(&format!("\"{}\"", n.next().unwrap_or_default())));
            // What is not acknowledged comes again.
            let _ = self.queues.ack(JOBS, &jobs).await;
        }
    }

    async fn changes(&self) {
        loop {
            sleep(PAUSE).await;
            let changed = self.cloud.state().rows.stream();
            if changed.is_empty() {
                continue;
            }
            let record = |(pk, sk): &(String, String)| json!({"eventSource": "aws:dynamodb", "dynamodb": {"Keys": {"pk": {"S": pk}, "sk": {"S": sk}}}});
            let records: Vec<Value> = changed.iter().map(record).collect();
            self.handle(&json!({ "Records": records })).await;
        }
    }

    async fn schedule(&self) {
        loop {
            sleep(self.every).await;
            self.handle(&json!({"source": "aws.events"})).await;
        }
    }
}
