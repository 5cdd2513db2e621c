//! Thousands of streams on one real edge, over the embedded emulators.
//!
//! A test binary of its own, and one test at a time: what the kernel holds is counted for the whole
//! machine, and how long things take, too.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "a run says what it has measured")]

mod crash;
mod deaf;

use clap::ValueEnum as _;
use sse_edge::config::Topology;
use tests::{
    process::{Running, program},
    world::{SECRET, World},
};
use tokio::sync::Mutex;

/// One crowd at a time.
static ONE: Mutex<()> = Mutex::const_new(());

/// An edge of a world, as a process.
async fn edge_of(world: &World, topology: Topology) -> Running {
    let mut edge = program("sse-edge");
    let topology = topology.to_possible_value().unwrap();
    edge.args(["--listen", "127.0.0.1:0", "--queues", topology.get_name(), "--table", &world.stage])
        .args(["--stage", &world.stage])
        .env("RUNNEL_DYNAMODB_ENDPOINT", world.endpoints.dynamodb.as_deref().unwrap())
        .env("RUNNEL_SQS_ENDPOINT", world.endpoints.sqs.as_deref().unwrap())
        .env("RUNNEL_JWT_SECRET", SECRET);
    Running::serving(edge).await
}
