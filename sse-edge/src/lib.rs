//! The push side: holds the open streams of many users and writes the events of each user's inbox to them, in order and
//! once.
//!
//! A stream ships `cursor + 1` from wherever it is: from the ring of events that all streams of the user share, else from
//! the inbox at its own pace. So replay, a slow reader and the way from stored to live events are one mechanism
//! (`replay.rs`), and nothing buffers for a stream.
//!
//! The modules are rooms on floors, and each room uses only rooms of the floors below it: docs/ARCHITECTURE.md has the
//! map, and `tests/structure.py` holds the code to it.
//!
//! This crate must not know how threads, members or messages work: it writes no thread log, and of a user row only leases
//! and the generation of an absent row. It never calls the write side.

pub mod edge;
pub mod process;

mod context;
mod engine;
mod fleet;
mod http;
mod reconcile;
mod replay;
mod stream;
mod upstream;
mod user;
mod wire;

pub use context::config;
pub use http::assets;
