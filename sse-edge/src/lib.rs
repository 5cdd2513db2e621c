//! The push side: holds the open streams of many users and tells each of them, in order and once,
//! what its user's inbox says.
//!
//! A stream ships `cursor + 1` from wherever it is: from the ring of frames that all streams of
//! the user share, else from the inbox at its own pace. So replay, a slow reader and the splice of
//! both are one mechanism ([`splice`]), and nothing buffers for a stream.
//!
//! This crate must not know how threads, members or messages work: it writes no thread log, and of
//! an inbox only a HEAD that is absent. It never calls the write side.

pub mod brought;
pub mod config;
pub mod edge;
pub mod frames;
pub mod metrics;
pub mod pages;
pub mod process;
pub mod ring;
pub mod splice;

mod beat;
mod body;
mod caps;
mod client;
mod credentials;
mod deliver;
mod drain;
mod edges;
mod engine;
mod fresh;
mod handle;
mod heads;
mod hub;
mod leases;
mod open;
mod own_queue;
mod pings;
mod poll;
mod pump;
mod reap;
mod rounds;
mod routes;
mod shared;
mod stream;
mod tend;
mod timed;
mod typing;
mod user_streams;
