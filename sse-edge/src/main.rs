//! `sse-edge`: the edge as a program of its own, which is what the image ships. See `--help`.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use server::{aws, exit, telemetry};
use sse_edge::process::{self, ProcessArgs};

/// musl's allocator, which the image has otherwise, takes one lock for all threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The push side of Runnel: holds the open streams.
#[derive(Debug, Parser)]
#[command(version, after_help = telemetry::help_after(aws::HELP))]
struct Args {
    #[command(flatten)]
    edge: ProcessArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    exit::code("sse-edge", process::serve(args.edge).await)
}
