//! An edge's context over an AWS that a function answers, and what tests build upon it.

use std::sync::Arc;

use client::aws::Aws;
use domain::ids::UserId;
use queue::queues::Queues;
use server::clock::Clock;
use store::table::Table;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Context, config::EdgeArgs};

/// The context of an edge that nothing runs in.
pub(crate) async fn context(aws: &Aws, config: EdgeArgs) -> Arc<Context> {
    let table = Table::open(aws.dynamodb(), "table", 7).await.unwrap().for_edges();
    let queues = Queues::new(aws.sqs(), aws.sqs(), "test");
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    Arc::new(Context::new((table, queues), Clock::tokio(jiff::Timestamp::UNIX_EPOCH), config, tracker, stop))
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}
