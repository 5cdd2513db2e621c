//! `runnel`: see `--help`.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use runnel::{
    cli::{Cli, Command},
    client::{send, tail},
    processes, repair, serve,
};
use server::exit;
use sse_edge::process;

/// Both emulators and the AWS SDK live on small allocations.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve::serve(cli.serve).await,
        Some(Command::Send { from, to, text, server }) => send::send(&server, &from, &to, &text).await,
        Some(Command::Tail(args)) => tail::tail(args).await,
        Some(Command::Token { user, service, scope, data_dir, hours }) => {
            processes::token((user, service), scope, &data_dir, hours)
        }
        Some(Command::Edge(args)) => process::serve(args).await,
        Some(Command::Api { listen, store, auth, cors, endpoints }) => {
            processes::api(listen, store, (auth, cors), endpoints).await
        }
        Some(Command::Fanout { store, endpoints }) => processes::fanout(store, endpoints).await,
        Some(Command::Emulators { listen, data_dir, table }) => {
            processes::emulators(listen, &data_dir, &table).await
        }
        Some(Command::Repair { table, dry_run, endpoints }) => {
            repair::repair(&table, dry_run, &endpoints).await
        }
    };
    exit::code("runnel", done)
}
