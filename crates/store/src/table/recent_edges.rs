//! The edges as they were last read for presence: many reads within some seconds share one.

use std::sync::Arc;

use tokio::{sync::Mutex, time::Instant};

use super::rows::EdgeRow;

/// The last read of the edges. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentEdges(pub(crate) Arc<Mutex<LastRead>>);

#[derive(Debug, Default)]
pub(crate) struct LastRead {
    /// When the edges were asked for, and the answer.
    pub(crate) edges: Option<(Instant, Arc<[EdgeRow]>)>,
    /// When the last read failed.
    pub(crate) failed_at: Option<Instant>,
}
