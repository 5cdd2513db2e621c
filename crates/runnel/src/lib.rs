//! The whole service in one process: `cargo run`.
//!
//! DynamoDB and SQS run embedded, behind the same SDK calls that reach AWS in production; this is
//! the only crate that knows the emulators.

pub mod banner;
pub mod cli;
pub mod client;
pub mod data_dir;
pub mod dev;
pub mod emulators;
pub mod processes;
pub mod repair;
pub mod serve;
