//! The command line: `--help` is the reference.

use std::{net::SocketAddr, path::PathBuf};

use clap::{
    Args, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use domain::ids::UserId;
use fanout::config::{StoreArgs, UserArgs};
use server::{
    auth::{AuthConfig, scope::Scope},
    aws::{self, AWS, Endpoints},
    cors::CorsArgs,
    listener,
    telemetry::{HELP, help_after},
};
use sse_edge::{config::EdgeArgs, process::ProcessArgs};
use store::table::TABLE;

use crate::client::{Server, tail::TailArgs};

const EXAMPLES: &str = "\
Examples:
  runnel                            Serve everything on http://127.0.0.1:8080
  runnel send alice bob \"hi\"        Send bob a message as alice
  runnel tail bob                   Print what bob receives, in order, until Ctrl+C
  curl -N http://127.0.0.1:8080/v1/events -H \"Authorization: Bearer $(runnel token bob)\"";

const TOKEN_EXAMPLES: &str = "\
Examples:
  curl http://127.0.0.1:8080/v1/threads -H \"Authorization: Bearer $(runnel token bob)\"
  curl http://127.0.0.1:8080/v1/threads -H \"Authorization: Bearer $(runnel token --service backend)\" \\
    -H \"Runnel-User: bob\"";

/// Real-time chat over plain `EventSource`.
///
/// Without a command, runnel serves the HTTP API, the stream and a chat page in one process. Its data is in a folder.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, args_conflicts_with_subcommands = true, after_help = help_after(EXAMPLES))]
pub struct Cli {
    /// What to do instead of serving everything.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of the one process.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// Settings of the whole service in one process.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on. A port alone means 127.0.0.1.
    #[arg(long, env = "RUNNEL_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS",
          value_parser = listener::address::parse)]
    pub listen: SocketAddr,
    /// Folder of the database and the secret.
    #[arg(long, default_value = DATA_DIR, value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// Keep data in memory only. It is lost on exit.
    #[arg(long)]
    pub ephemeral: bool,
    /// Sign anybody in by name who reaches a loopback address, also without the word that is printed at the start. Never
    /// use it behind a proxy.
    #[arg(long)]
    pub dev: bool,
    /// Days for which an inbox keeps its events. A client that is offline longer must list its threads again.
    #[arg(long, env = "RUNNEL_INBOX_DAYS", value_name = "DAYS", default_value_t = domain::limits::INBOX_DAYS,
          value_parser = clap::value_parser!(u16).range(1..=365))]
    pub inbox_days: u16,
    /// Limits and contacts of users.
    #[command(flatten)]
    pub users: UserArgs,
    /// Accepted tokens. Without a secret or a key set, the secret in the folder.
    #[command(flatten)]
    pub auth: AuthConfig,
    /// Pages of other origins.
    #[command(flatten)]
    pub cors: CorsArgs,
    /// Streams.
    #[command(flatten)]
    pub edge: EdgeArgs,
}

/// The default of every `--data-dir`.
pub const DATA_DIR: &str = ".runnel";

/// A part of the service, or a tool for it.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send a message as one user to another.
    ///
    /// Creates their direct thread if there is none, retries with one idempotency key, and prints the message.
    #[command(after_help = "Example: runnel send alice bob \"hi\"")]
    Send {
        /// User that sends.
        #[arg(value_parser = UserId::parse)]
        from: UserId,
        /// User that receives.
        #[arg(value_parser = UserId::parse)]
        to: UserId,
        /// Text of the message.
        text: String,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Print the events of a user as they arrive.
    ///
    /// Prints every frame except `ping`. Reconnects and resumes at the last cursor.
    #[command(after_help = "Example: runnel tail bob --json")]
    Tail(TailArgs),
    /// Print a development token for a user or a service, and nothing else.
    #[command(after_help = TOKEN_EXAMPLES)]
    Token {
        /// User that the token is for.
        #[arg(value_parser = UserId::parse, required_unless_present = "service")]
        user: Option<UserId>,
        /// Service that the token is for, instead of a user. It acts for users, and ends their sessions.
        #[arg(long, value_parser = UserId::parse, value_name = "NAME", conflicts_with = "user")]
        service: Option<UserId>,
        /// What the service may do. Repeat it for several scopes. Default: everything.
        #[arg(long, value_parser = scope(), value_name = "SCOPE", requires = "service")]
        scope: Vec<Scope>,
        /// Folder of the secret.
        #[arg(long, default_value = DATA_DIR, value_name = "FOLDER")]
        data_dir: PathBuf,
        /// Hours for which the token is valid.
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=8760))]
        hours: u64,
    },
    /// Serve streams: an edge as a process of its own.
    #[command(after_help = help_after(aws::HELP))]
    Edge(ProcessArgs),
    /// Serve the HTTP API as the Lambda function does, over plain HTTP.
    #[command(after_help = help_after(aws::HELP))]
    Api {
        /// Address to listen on. A port alone means 127.0.0.1.
        #[arg(long, env = "RUNNEL_LISTEN", default_value = "127.0.0.1:8082", value_name = "ADDRESS",
              value_parser = listener::address::parse)]
        listen: SocketAddr,
        /// Table and queues.
        #[command(flatten)]
        store: StoreArgs,
        /// Endpoints of AWS.
        #[command(flatten)]
        endpoints: Endpoints,
        /// Accepted tokens.
        #[command(flatten)]
        auth: AuthConfig,
        /// Pages of other origins.
        #[command(flatten)]
        cors: CorsArgs,
    },
    /// Deliver messages of large threads, and complete interrupted deliveries.
    #[command(after_help = help_after(aws::HELP))]
    Fanout {
        /// Table and queues.
        #[command(flatten)]
        store: StoreArgs,
        /// Endpoints of AWS.
        #[command(flatten)]
        endpoints: Endpoints,
    },
    /// Serve emulators of DynamoDB and SQS on one loopback endpoint.
    #[command(after_help = HELP)]
    Emulators {
        /// Loopback address to listen on.
        #[arg(long, default_value = "127.0.0.1:4566", value_name = "ADDRESS",
              value_parser = listener::address::parse)]
        listen: SocketAddr,
        /// Folder of the database.
        #[arg(long, default_value = DATA_DIR, value_name = "FOLDER")]
        data_dir: PathBuf,
        /// Table to create if it does not exist.
        #[arg(long, env = "RUNNEL_TABLE", default_value = TABLE)]
        table: String,
    },
    /// Repair a table restored from a backup, so that it can be served.
    ///
    /// A backup may contain half of the last transaction. Keep all services stopped while this command runs. It is safe
    /// to interrupt and to run again.
    #[command(after_help = help_after(aws::HELP))]
    Repair {
        /// Name of the restored table.
        #[arg(long, env = "RUNNEL_TABLE", default_value = TABLE, help_heading = AWS)]
        table: String,
        /// Change nothing. Print each row that would be written or deleted.
        #[arg(long)]
        dry_run: bool,
        /// Endpoints of AWS.
        #[command(flatten)]
        endpoints: Endpoints,
    },
}

/// Reads a scope by its name.
fn scope() -> impl TypedValueParser<Value = Scope> {
    let names = Scope::ALL.map(Scope::name);
    PossibleValuesParser::new(names)
        .map(|name| Scope::ALL.into_iter().find(|scope| scope.name() == name).expect("one of the names"))
}
