//! Measures what Runnel's edge costs, beside a server that is the limit of this machine and others
//! that people use. `tests/run bench` runs it and writes the tables of `docs/PERFORMANCE.md`.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "a tool for those who measure: its numbers are small, its words are for them, and it waits on a thread of its own, by real time"
)]

mod clock;
mod crowd;
mod end_to_end;
mod figures;
mod growth;
mod load;
mod mqtt;
mod phases;
mod poll;
mod proc;
mod publisher;
mod report;
mod run;
mod seen;
mod serve;
mod server;
mod socket;
mod sse;
mod stamp;
mod stream;
mod stub;
mod tally;
mod target;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

/// Measures Runnel's edge beside others, all on this machine.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, keep the figures in `tests/out/bench.json`, and write the tables.
    Run(run::Plan),
    /// Write the tables of `docs/PERFORMANCE.md` from the figures that were kept.
    Report,
    /// Send messages whose senders hang up at once, and print how late they are shown.
    Hangups {
        /// A `runnel`.
        program: PathBuf,
    },
    /// Flood with each kind of request, and print how late the messages of other users are shown.
    Floods {
        /// A `runnel`.
        program: PathBuf,
    },
    /// Be a server to compare with.
    Serve {
        /// Which one.
        #[arg(value_parser = ["raw", "naive"])]
        which: String,
        /// Where it listens.
        at: SocketAddr,
    },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Run(plan) => report::told(&run::run(&plan)?, plan.quick),
        Command::Report => report::told(&report::kept()?, false),
        Command::Hangups { program } => end_to_end::hangups(&program),
        Command::Floods { program } => end_to_end::floods(&program),
        Command::Serve { which, at } if which == "raw" => serve::raw::serve(at),
        Command::Serve { at, .. } => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(serve::naive::serve(at))
        }
    }
}
