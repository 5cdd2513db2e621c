//! DynamoDB and SQS on loopback, in this process.

use std::{path::PathBuf, time::Duration};

use server::aws::Endpoints;

mod door;
pub mod dynamodb;
pub mod front;
pub mod sqs;

/// Time between two deletions of what has expired: rows (AWS takes up to days) and messages.
const SWEEP: Duration = Duration::from_mins(1);

/// Both emulators, until they are shut down.
#[derive(Debug)]
pub struct Emulators {
    dynamodb: dynamodb::DynamoDb,
    sqs: sqs::Sqs,
}

impl Emulators {
    /// Starts both. Without a `file` all is in memory; the queues always are.
    ///
    /// # Errors
    /// One sentence that says what to do: a damaged file, no free port.
    pub fn start(file: Option<PathBuf>) -> anyhow::Result<Self> {
        Ok(Self { dynamodb: dynamodb::DynamoDb::start(file)?, sqs: sqs::Sqs::start()? })
    }

    /// Where clients find them.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints { dynamodb: Some(self.dynamodb.url()), sqs: Some(self.sqs.url()) }
    }

    /// Stops both; when this returns, the file is closed.
    pub fn stop(self) {
        self.dynamodb.stop();
    }
}
