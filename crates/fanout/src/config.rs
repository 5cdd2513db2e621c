//! The settings of the write side: each documented once, here.

use domain::limits;
use queue::queues::{STAGE, parse_stage};
use server::aws::AWS;
use store::table::TABLE;

/// Table and queues.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = AWS)]
pub struct StoreArgs {
    /// Name of the DynamoDB table.
    #[arg(long, env = "RUNNEL_TABLE", default_value = TABLE)]
    pub table: String,
    /// Stage: queues are named `runnel-<stage>-…`. Stages share nothing.
    #[arg(long, env = "RUNNEL_STAGE", default_value = STAGE, value_parser = parse_stage)]
    pub stage: String,
    /// URL of the fan-out queue. Default: `runnel-<stage>-fanout`, created if it does not exist.
    #[arg(long, env = "RUNNEL_FANOUT_QUEUE", value_name = "URL")]
    pub fanout_queue: Option<String>,
    /// Days for which an inbox keeps its events. A client that is offline longer must list its threads again.
    #[arg(long, env = "RUNNEL_INBOX_DAYS", value_name = "DAYS", default_value_t = limits::INBOX_DAYS, value_parser = clap::value_parser!(u16).range(1..=365))]
    pub inbox_days: u16,
}
