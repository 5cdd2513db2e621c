//! The clients of all tests: HTTP requests, a strict stream, an EventSource as browsers have it, and the AWS SDK's.

#![expect(clippy::unwrap_used, reason = "a client of tests fails by panicking, as tests do")]

use std::time::Duration;

pub mod aws;
pub mod eventsource;
pub mod http;
pub mod sse;

/// The longest that anything may take before a test says that it does not come.
pub const PATIENCE: Duration = Duration::from_secs(20);
