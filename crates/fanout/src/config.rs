//! The settings of the write side: each documented once, here.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use domain::limits;
use queue::queues::{STAGE, parse_stage};
use server::aws::{AWS, QueueKeys};
use store::table::{TABLE, counter::Rate};

/// How users are limited.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct RateArgs {
    /// How requests of a user are counted: in the table, for all processes together, at about one write unit a write
    /// (`exact`); in each process (`local`); or not at all, so that nobody is limited (`off`).
    #[arg(long, env = "RUNNEL_RATE", default_value = "exact",
          value_parser = PossibleValuesParser::new(Rate::NAMES).try_map(|name| name.parse::<Rate>()))]
    pub rate: Rate,
}

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
    /// The keys of the queues.
    #[command(flatten)]
    pub keys: QueueKeys,
    /// How users are limited.
    #[command(flatten)]
    pub limits: RateArgs,
}
