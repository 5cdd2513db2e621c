//! An edge as a value: several may run in one process. This is the only place that knows all parts of an edge.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::Router;
use domain::ids::BootId;
use queue::queues::Queues;
use server::{
    auth::Verifier,
    clock::Clock,
    listener::{self, BindError},
};
use store::table::EdgeTable;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    context::{Context, config::EdgeArgs},
    engine::Engine,
    fleet::{heartbeat, peers::Peers, reaper},
    http::{self, HttpState},
    reconcile::{Reconciler, resync, worker},
    stream::{StreamDeps, ping_schedule::PingSchedule},
    upstream::row_reader::RowReader,
    user::hub::Hub,
};

mod drain;

/// What an edge is built from.
#[derive(Debug)]
pub struct Parts {
    /// The table.
    pub table: EdgeTable,
    /// The queues.
    pub queues: Queues,
    /// Verifies the tokens of clients that open streams.
    pub verifier: Verifier,
    /// The time of day.
    pub clock: Clock,
    /// The settings.
    pub config: EdgeArgs,
}

/// A running edge. Clones are the same edge.
#[derive(Clone)]
pub struct Edge {
    cx: Arc<Context>,
    hub: Arc<Hub>,
    reconciler: Arc<Reconciler>,
    http: Arc<HttpState>,
}

impl Edge {
    /// Starts an edge: it beats, and watches the other edges. Its streams come in by [`Edge::router`].
    ///
    /// All of its tasks run on `tracker`, and end after [`Edge::drain`]. Cancelling `shutdown` ends them and all streams at
    /// once, without bye and with no lease given back, as a crash would.
    pub fn start(parts: Parts, tracker: &TaskTracker, shutdown: &CancellationToken) -> Self {
        let Parts { table, queues, verifier, clock, config } = parts;
        let pings = PingSchedule::new(Instant::now(), config.ping);
        let cx = Context::new((table, queues), clock, config, tracker.clone(), shutdown.child_token());
        let cx = Arc::new(cx);
        let engine = Arc::new(Engine::new());
        engine.start(tracker, &cx.stop);
        let (hub, waiting) = Hub::new();
        let hub = Arc::new(hub);
        tracker.spawn(heartbeat::beat(cx.clone(), hub.clone()));
        let rows = RowReader::start(&cx);
        let peers = Arc::new(Peers::new(cx.clone()));
        tracker.spawn(peers.clone().observe());
        tracker.spawn(resync::resync(cx.clone(), hub.clone()));
        tracker.spawn(reaper::reap(cx.clone(), peers.clone()));
        tracker.spawn(cut_streams_at_the_end(cx.clone(), hub.clone()));
        let reconciler = Arc::new(Reconciler::new(cx.clone(), hub.clone(), rows.clone(), peers));
        tracker.spawn(worker::start_workers(reconciler.clone(), waiting));
        let streams = Arc::new(StreamDeps { cx: cx.clone(), hub: hub.clone(), rows, pings });
        let http = HttpState { cx: cx.clone(), verifier, streams, addresses: Arc::default(), engine };
        Self { cx, hub, reconciler, http: Arc::new(http) }
    }

    /// The routes of this edge: streams, polls, health and readiness.
    pub fn router(&self) -> Router {
        http::router(self.http.clone())
    }

    /// Serves `/metrics` at an address of its own, if the settings name one, until `shutdown`.
    pub fn serve_metrics(
        &self,
        shutdown: &CancellationToken,
        tracker: &TaskTracker,
    ) -> Result<Option<SocketAddr>, BindError> {
        let Some(address) = self.cx.config.metrics_listen else { return Ok(None) };
        let bound = listener::bind(address, None)?;
        let address = bound.addr();
        let router = http::metrics_router(self.cx.clone());
        let (shutdown, connections) = (shutdown.clone(), tracker.clone());
        tracker.spawn(async move {
            listener::serve(bound, router, listener::Options::default(), shutdown, &connections).await;
        });
        tracing::info!(edge.id = %self.boot(), "metrics at http://{address}/metrics");
        Ok(Some(address))
    }

    /// Waits until the first heartbeat of the edge is confirmed.
    pub async fn ready(&self) {
        self.cx.identity.wait_until_confirmed().await;
    }

    /// Ends the edge in good order; returns when its leases are given back.
    pub async fn drain(&self) {
        drain::drain(&self.cx, &self.hub, &self.reconciler).await;
    }

    /// The boot id of the edge. It changes if other edges mark this one dead.
    pub fn boot(&self) -> BootId {
        self.cx.identity.boot()
    }

    /// The metrics of the edge, in Prometheus' text form.
    pub fn metrics(&self) -> String {
        self.cx.metrics.render()
    }

    /// Open streams.
    pub fn streams(&self) -> usize {
        self.hub.streams()
    }
}

async fn cut_streams_at_the_end(cx: Arc<Context>, hub: Arc<Hub>) {
    cx.stop.cancelled().await;
    hub.all().iter().flat_map(|user| user.handles()).for_each(|handle| handle.cut());
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("boot", &self.boot()).field("streams", &self.streams()).finish()
    }
}
