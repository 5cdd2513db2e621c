//! An edge that runs in the test's own process.

use std::net::SocketAddr;

use sse_edge::edge::Edge;
use tokio_util::sync::CancellationToken;

use crate::{faults::Faults, world::until};

/// One edge of a world.
#[derive(Debug)]
pub struct RunningEdge {
    /// The edge.
    pub edge: Edge,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its metrics are, if they are anywhere.
    pub metrics_address: Option<SocketAddr>,
    /// What goes wrong between it and AWS.
    pub faults: Faults,
    pub(crate) stop: CancellationToken,
}

impl RunningEdge {
    /// Ends the edge without a word, and nothing given back.
    pub fn kill(&self) {
        self.stop.cancel();
    }

    /// What the edge counts.
    pub fn metrics(&self) -> String {
        self.edge.metrics()
    }

    /// One of its counters or gauges.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    /// Waits until the edge has this many streams and polls open.
    pub async fn streams(&self, count: usize) {
        until("the edge has as many streams", async || self.edge.streams() == count).await;
    }
}
