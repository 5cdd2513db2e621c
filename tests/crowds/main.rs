//! Thousands of streams on one real edge, over the embedded emulators.
//!
//! A test binary of its own, and one test at a time: what the kernel holds is counted for the whole
//! machine, and how long things take, too.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod crash;
mod deaf;

use tests::{
    process::{Running, program},
    world::{SECRET, World},
};
use tokio::sync::Mutex;

/// One crowd at a time.
static ONE: Mutex<()> = Mutex::const_new(());

/// An edge of a world, as a process. With one queue for all of its users, as thousands have.
async fn edge_of(world: &World) -> Running {
    let mut edge = program("sse-edge");
    edge.args(["--listen", "127.0.0.1:0", "--queues", "per-edge", "--table", &world.stage])
        .args(["--stage", &world.stage])
        .env("RUNNEL_DYNAMODB_ENDPOINT", world.endpoints.dynamodb.as_deref().unwrap())
        .env("RUNNEL_SQS_ENDPOINT", world.endpoints.sqs.as_deref().unwrap())
        .env("RUNNEL_JWT_SECRET", SECRET);
    Running::serving(edge).await
}
