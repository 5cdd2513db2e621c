//! The command line: `--help` is the reference.

use std::{net::SocketAddr, path::PathBuf};

use api_lambda::config::StoreArgs;
use clap::{Args, Parser, Subcommand};
use domain::ids::UserId;
use server::{auth::AuthConfig, aws::Endpoints, cors::CorsArgs, telemetry::HELP};
use sse_edge::config::EdgeArgs;
use store::table::TABLE;

/// Runnel: real-time chat over plain `EventSource`. Without a command: the whole service in one
/// process, with its data in a folder.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = HELP)]
pub struct Cli {
    /// What to do instead of serving everything.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of the whole service.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// Settings of the whole service in one process.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen. Signing in by name alone exists only on a loopback address.
    #[arg(long, env = "RUNNEL_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Folder of the database and the secret.
    #[arg(long, default_value = ".runnel")]
    pub data_dir: PathBuf,
    /// Keep everything in memory, and nothing after the end.
    #[arg(long)]
    pub ephemeral: bool,
    /// Days that an inbox keeps its events; a client that was away longer lists again.
    #[arg(long, env = "RUNNEL_INBOX_DAYS", default_value_t = domain::limits::INBOX_DAYS, value_parser = clap::value_parser!(u16).range(1..=365))]
    pub inbox_days: u16,
    /// Settings of the stream.
    #[command(flatten)]
    pub edge: EdgeArgs,
    /// Pages of other origins.
    #[command(flatten)]
    pub cors: CorsArgs,
}

/// A part of the service, or a tool for it.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a development token for a user, and nothing else.
    Token {
        /// For whom.
        #[arg(value_parser = |text: &str| UserId::parse(text))]
        user: UserId,
        /// Folder of the secret.
        #[arg(long, default_value = ".runnel")]
        data_dir: PathBuf,
        /// Hours that the token is good for.
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=8760))]
        hours: u64,
    },
    /// Serve the embedded DynamoDB and SQS on one loopback endpoint.
    #[command(after_help = HELP)]
    Emulators {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:4566")]
        listen: SocketAddr,
        /// Folder of the database.
        #[arg(long, default_value = ".runnel")]
        data_dir: PathBuf,
    },
    /// Serve the HTTP API as the Lambda function does, over plain HTTP.
    #[command(after_help = HELP)]
    Api {
        /// Where to listen.
        #[arg(long, env = "RUNNEL_LISTEN", default_value = "127.0.0.1:8082")]
        listen: SocketAddr,
        /// Table and queues.
        #[command(flatten)]
        store: StoreArgs,
        /// Who may come in.
        #[command(flatten)]
        auth: AuthConfig,
        /// Pages of other origins.
        #[command(flatten)]
        cors: CorsArgs,
        /// Where AWS is.
        #[command(flatten)]
        endpoints: Endpoints,
    },
    /// Fan out to large threads, and finish what writers left behind.
    #[command(after_help = HELP)]
    Fanout {
        /// Table and queues.
        #[command(flatten)]
        store: StoreArgs,
        /// Where AWS is.
        #[command(flatten)]
        endpoints: Endpoints,
    },
    /// Make a restored table one that may serve: backups hold half of what was written last.
    /// Nothing may serve from it meanwhile. It may be broken off, and run again, at any time.
    #[command(after_help = HELP)]
    Repair {
        /// Name of the restored table.
        #[arg(long, env = "RUNNEL_TABLE", default_value = TABLE)]
        table: String,
        /// Change nothing, and print each row that would be written or deleted.
        #[arg(long)]
        dry_run: bool,
        /// Where AWS is.
        #[command(flatten)]
        endpoints: Endpoints,
    },
}
