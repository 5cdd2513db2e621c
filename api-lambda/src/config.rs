//! The settings of the write side: each documented once, here.

use domain::limits;
use queue::queues::{STAGE, parse_stage};
use store::table::TABLE;

/// Which table and which queues.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreArgs {
    /// Name of the DynamoDB table.
    #[arg(long, env = "RUNNEL_TABLE", default_value = TABLE)]
    pub table: String,
    /// Stage: queues are named `runnel-<stage>-…`; stages share nothing.
    #[arg(long, env = "RUNNEL_STAGE", default_value = STAGE, value_parser = parse_stage)]
    pub stage: String,
    /// URL of the fan-out queue. Without it `runnel-<stage>-fanout` is used, and made if need be.
    #[arg(long, env = "RUNNEL_FANOUT_QUEUE", value_name = "URL")]
    pub fanout_queue: Option<String>,
    /// Days that an inbox keeps its events; a client that was away longer lists again.
    #[arg(long, env = "RUNNEL_INBOX_DAYS", default_value_t = limits::INBOX_DAYS, value_parser = clap::value_parser!(u16).range(1..=365))]
    pub inbox_days: u16,
}
