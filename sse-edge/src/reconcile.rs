//! Keeps each user's lease, ring and cursor in step with the table: a worker a user while there is work, a timer that
//! finds what is due, and the way from an envelope to the user's streams.

use std::sync::Arc;

use crate::{context::Context, fleet::peers::Peers, upstream::row_reader::RowReader, user::hub::Hub};

pub(crate) mod dispatch;
pub(crate) mod edge_queue;
pub(crate) mod lease;
pub(crate) mod resync;
pub(crate) mod worker;

use edge_queue::EdgeQueue;

/// What reconciling needs.
#[derive(Debug)]
pub(crate) struct Reconciler {
    cx: Arc<Context>,
    hub: Arc<Hub>,
    rows: RowReader,
    peers: Arc<Peers>,
    edge_queue: EdgeQueue,
}

impl Reconciler {
    pub(crate) fn new(cx: Arc<Context>, hub: Arc<Hub>, rows: RowReader, peers: Arc<Peers>) -> Self {
        let edge_queue = EdgeQueue::new(cx.clone(), hub.clone());
        Self { cx, hub, rows, peers, edge_queue }
    }

    /// Deletes the edge's own queue, if it has one.
    pub(crate) async fn close_edge_queue(&self) {
        self.edge_queue.close().await;
    }
}
