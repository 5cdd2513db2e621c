//! What all streams together have seen.

use hdrhistogram::Histogram;

/// Counts, and times in nanoseconds.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Streams that are open.
    pub(crate) open: usize,
    /// Streams that are about to be.
    pub(crate) opening: usize,
    /// Messages that arrived, each once a stream.
    pub(crate) delivered: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    /// Messages for somebody else.
    pub(crate) foreign: u64,
    /// Broken framing.
    pub(crate) broken: u64,
    /// Streams that were refused, or could not connect.
    pub(crate) refused: u64,
    /// Streams that the server ended.
    pub(crate) ended: u64,
    /// Messages that were not accepted.
    pub(crate) rejected: u64,
    /// Comments and other signs of life.
    pub(crate) pings: u64,
    /// When the last message arrived.
    pub(crate) last: u64,
    /// When the last message arrived that was due before its stream opened.
    pub(crate) caught_up: u64,
    /// How many such there were.
    pub(crate) replayed: u64,
    /// From due to received, in microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            open: 0,
            opening: 0,
            delivered: 0,
            doubled: 0,
            reordered: 0,
            foreign: 0,
            broken: 0,
            refused: 0,
            ended: 0,
            rejected: 0,
            pings: 0,
            last: 0,
            caught_up: 0,
            replayed: 0,
            latency: Histogram::new_with_bounds(1, 120_000_000, 3).expect("up to two minutes"),
        }
    }

    /// A quantile of the latency, in milliseconds.
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Whatever must never happen.
    pub(crate) fn wrong(&self) -> u64 {
        self.doubled + self.reordered + self.foreign + self.broken
    }
}
