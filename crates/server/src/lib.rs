//! What both HTTP processes do alike: prove who calls, answer with problems, own the listening
//! socket, log, stop, and find AWS.
//!
//! It must not know threads, inboxes, queues or streams: a route, a key or a table name here is a
//! mistake.

pub mod address_limit;
pub mod auth;
pub mod aws;
pub mod clock;
pub mod cors;
pub mod exit;
pub mod json;
pub mod layers;
pub mod listener;
pub mod problem;
pub mod shutdown;
pub mod telemetry;
