//! The programs as their users meet them: real processes, signals, exit codes, words on a terminal.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod cli;
mod client;
mod cut;
mod emulators;
mod fleet;
mod fleet_of;
mod help;
mod hole;
mod lambda;
mod planted;
mod proxies;
mod repair;
mod stop;
