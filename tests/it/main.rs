//! The service through its public doors: HTTP in, frames out, on real sockets and the embedded
//! emulators.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod api;
mod chains;
mod changes;
mod cost;
mod hot;
mod members;
mod mend;
mod openapi;
mod stream;
mod sweep;
mod wire;
