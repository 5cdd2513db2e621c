//! The events of the `fanout` Lambda function: jobs from SQS, outbox rows from the table stream, and the schedule.
//!
//! The table stream delivers a row as soon as it is committed, while its writer is still delivering. The function skips
//! rows that are not due. So the batching window of the stream's mapping should be longer than
//! [`limits::OUTBOX_GRACE`]. A filter on keys that begin with `O#` is enough.

use domain::limits;
use futures_util::{
    future::join_all,
    stream::{self, StreamExt as _},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::table::keys::Key;
use tokio::time::Instant;

use crate::deliver::Fanout;

/// Which records have to come again (Lambda developer guide, "Reporting batch item failures").
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    /// One each.
    pub batch_item_failures: Vec<Failure>,
}

/// A record that has to come again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The id of its message.
    pub item_identifier: String,
}

/// A record as Lambda passes it on, as far as it is of interest.
#[derive(Debug, Deserialize)]
#[serde(tag = "eventSource")]
enum Record {
    #[serde(rename = "aws:sqs", rename_all = "camelCase")]
    Job { message_id: String, body: String },
    #[serde(rename = "aws:dynamodb")]
    Change { dynamodb: Change },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    keys: Keys,
}

#[derive(Debug, Deserialize)]
struct Keys {
    pk: Text,
    sk: Text,
}

/// A string as DynamoDB's JSON has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Text {
    s: String,
}

impl Fanout {
    /// Handles `event`, until about `until`. An event without records comes from the schedule and starts a sweep.
    ///
    /// Lambda retries failed jobs only. A failed row of the table stream waits for the schedule instead, because a
    /// retry would block every later record.
    pub async fn handle(&self, event: &Value, until: Instant) -> Failures {
        let Some(records) = event.get("Records").and_then(Value::as_array) else {
            let seconds = self.sweep_until(until).await / 1_000;
            // `infra/alarms.yaml` makes a metric of the field.
            tracing::info!(outbox_oldest_seconds = seconds, "the oldest outbox row was {seconds} s old");
            return Failures::default();
        };
        let (mut jobs, mut rows) = (Vec::new(), Vec::new());
        for record in records {
            match Record::deserialize(record) {
                Ok(Record::Job { message_id, body }) => jobs.push((message_id, body)),
                Ok(Record::Change { dynamodb: Change { keys } }) => {
                    let key = Key { pk: keys.pk.s, sk: keys.sk.s };
                    if key.is_outbox() && !rows.contains(&key) {
                        rows.push(key);
                    }
                }
                Err(error) => tracing::error!(fanout.bad_records = 1, "a record is dropped: {error}"),
            }
        }
        let sweeps = (0..rows.len()).map(|i| self.sweep_one(&rows[i], until));
        stream::iter(sweeps).buffer_unordered(limits::SWEEP_AT_ONCE).collect::<()>().await;
        let done = join_all(jobs.iter().map(|(_, body)| self.done_with(body, until))).await;
        let again = jobs.into_iter().zip(done).filter(|(_, done)| !done);
        let failures = again.map(|((item_identifier, _), _)| Failure { item_identifier });
        Failures { batch_item_failures: failures.collect() }
    }
}
