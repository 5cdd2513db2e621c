//! The settings of the write side: each documented once, here.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use domain::{contact::ContactPolicy, limits};
use queue::queues::{STAGE, parse_stage};
use server::aws::{AWS, QueueKeys};
use store::table::{TABLE, Table, counter::Rate};

/// What users may do to each other, and how often.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct UserArgs {
    /// How requests of a user are counted: in the table, for all processes together, at about one write unit a write
    /// (`exact`); in each process (`local`); or not at all, so that nobody is limited (`off`).
    #[arg(long, env = "RUNNEL_RATE", default_value = "exact",
          value_parser = PossibleValuesParser::new(Rate::NAMES).try_map(|name| name.parse::<Rate>()))]
    pub rate: Rate,
    /// How users get threads with each other. `invited`: the other user accepts an invitation. `anyone`: the thread is
    /// active at once. `service`: only a back end creates threads and adds members.
    #[arg(long, env = "RUNNEL_CONTACT", default_value = "invited",
          value_parser = PossibleValuesParser::new(ContactPolicy::NAMES).try_map(|name| name.parse::<ContactPolicy>()))]
    pub contact: ContactPolicy,
}

impl UserArgs {
    /// The table with these settings.
    pub fn apply_to(self, table: Table) -> Table {
        table.limited(self.rate).with_contact(self.contact)
    }
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
    /// Limits and contacts of users.
    #[command(flatten)]
    pub users: UserArgs,
}
