//! An edge as a value: several may run in one process.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use axum::Router;
use domain::{ids::BootId, limits};
use queue::queues::Queues;
use server::{
    auth::Verifier,
    clock::Clock,
    listener::{self, BindError},
};
use store::table::Table;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    beat,
    config::EdgeArgs,
    drain,
    edges::{self, Edges},
    engine::Engine,
    fresh::Fresh,
    heads::{self, Heads},
    hub::Hub,
    metrics::Meters,
    own_queue::OwnQueue,
    pings::Pings,
    reap, rounds, routes,
    shared::{Allowance, CHECKS, Shared, TENDING_CALLS},
};

/// What an edge is built from.
#[derive(Debug)]
pub struct Parts {
    /// The truth.
    pub table: Table,
    /// The hints.
    pub queues: Queues,
    /// Judges the tokens of those who open streams.
    pub verifier: Verifier,
    /// The time of day.
    pub clock: Clock,
    /// The settings.
    pub config: EdgeArgs,
}

/// A running edge. Clones are the same edge.
#[derive(Clone)]
pub struct Edge(Arc<Shared>);

impl Edge {
    /// Starts an edge: it beats, and watches the others. Its streams come in by [`Edge::router`].
    ///
    /// All of its tasks run on `tracker`, and end after [`Edge::drain`]. Cancelling `shutdown`
    /// ends them and all streams at once, without a word and with nothing given back, as a crash
    /// would.
    pub fn start(parts: Parts, tracker: &TaskTracker, shutdown: &CancellationToken) -> Self {
        let Parts { table, queues, verifier, clock, config } = parts;
        let (heads, wanted) = Heads::new();
        let now = Instant::now();
        let shared = Arc::new(Shared {
            pings: Pings::new(now, config.ping()),
            table,
            queues,
            verifier,
            clock,
            config,
            hub: Hub::default(),
            heads,
            engine: Engine::new(),
            addresses: Arc::default(),
            fresh: Fresh::new(BootId::made(chance::random())),
            edges: Edges::default(),
            own_queue: OwnQueue::default(),
            meters: Meters::new(),
            tracker: tracker.clone(),
            stop: shutdown.child_token(),
            calls: Semaphore::new(TENDING_CALLS),
            checks: Semaphore::new(CHECKS),
            reads: Semaphore::new(limits::INBOX_READS),
            creates: Allowance::new(now),
            draining: AtomicBool::new(false),
            reap: Notify::new(),
            late: AtomicBool::new(false),
        });
        shared.engine.start(tracker, &shared.stop);
        tracker.spawn(beat::beat(shared.clone()));
        tracker.spawn(heads::read_heads(shared.clone(), wanted));
        tracker.spawn(edges::observe(shared.clone()));
        tracker.spawn(rounds::rounds(shared.clone()));
        tracker.spawn(reap::reap(shared.clone()));
        tracker.spawn(cut_at_the_end(shared.clone()));
        Self(shared)
    }

    /// The routes of this edge: the stream, and what says how it fares.
    pub fn router(&self) -> Router {
        routes::router(self.0.clone())
    }

    /// Serves `/metrics` at an address of its own, if the settings name one, until `shutdown`.
    pub fn serve_metrics(
        &self,
        shutdown: &CancellationToken,
        tracker: &TaskTracker,
    ) -> Result<Option<SocketAddr>, BindError> {
        let Some(address) = self.0.config.metrics_listen else { return Ok(None) };
        let bound = listener::bind(address, None)?;
        let address = bound.addr();
        let router = routes::metrics_router(self.0.clone());
        let (shutdown, connections) = (shutdown.clone(), tracker.clone());
        tracker.spawn(async move {
            listener::serve(bound, router, listener::Options::default(), shutdown, &connections).await;
        });
        tracing::info!(edge.id = %self.boot(), "metrics at http://{address}/metrics");
        Ok(Some(address))
    }

    /// Waits until the edge counts: its first beat is confirmed.
    pub async fn ready(&self) {
        self.0.fresh.sometime().await;
    }

    /// Ends the edge in good order; returns when its leases are given back.
    pub async fn drain(&self) {
        drain::drain(&self.0).await;
    }

    /// The name of this run of the edge. It changes if others take the edge for dead.
    pub fn boot(&self) -> BootId {
        self.0.fresh.boot()
    }

    /// What the edge counts, in Prometheus' text form.
    pub fn metrics(&self) -> String {
        self.0.meters.render()
    }

    /// Open streams.
    pub fn streams(&self) -> usize {
        self.0.hub.streams()
    }
}

async fn cut_at_the_end(shared: Arc<Shared>) {
    shared.stop.cancelled().await;
    shared.hub.all().iter().flat_map(|user| user.handles()).for_each(|handle| handle.cut());
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("boot", &self.boot()).field("streams", &self.streams()).finish()
    }
}
