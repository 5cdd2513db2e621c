//! DynamoDB: SQLite behind DynamoDB's own protocol, on a thread of its own.
//!
//! Every commit is synced to the disk, on the thread that serves the socket: on a runtime shared
//! with others it would stop their timers.

use std::{net::TcpListener, path::PathBuf, thread::JoinHandle};

use anyhow::{Context as _, anyhow};
use dynoxide::Database;
use tokio_util::sync::CancellationToken;

use super::door::hidden_listener;

/// The running emulator.
#[derive(Debug)]
pub struct DynamoDb {
    url: String,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl DynamoDb {
    /// Opens `file`, or nothing but memory, and serves it on a loopback port.
    pub fn start(file: Option<PathBuf>) -> anyhow::Result<Self> {
        let database = match &file {
            None => Database::memory().context("could not make a database in memory")?,
            Some(file) => {
                let path = file
                    .to_str()
                    .context("the data folder's name must be UTF-8; choose another with --data-dir")?;
                Database::new(path).map_err(|error| {
                    // Its second sentence tells those who build with SQLite what to do.
                    let error = error.to_string();
                    let why = error.split(". ").next().unwrap_or_default();
                    // SQLite also says the second where it cannot grow a file beside the database.
                    if why.contains("disk is full") || why.contains("disk I/O error") {
                        anyhow!("cannot write `{path}`: free some space on its disk, or choose another folder with --data-dir: {why}")
                    } else {
                        anyhow!("`{path}` cannot be read: restore a copy of it, or move it away to start empty: {why}")
                    }
                })?
            }
        };
        // It answers any page that a browser has open, because it allows every origin.
        let listener = hidden_listener().context("no free port on loopback")?;
        let url = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let thread = std::thread::Builder::new().name("dynamodb".into()).spawn({
            let stop = stop.clone();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            move || runtime.block_on(serve(listener, database, stop))
        })?;
        Ok(Self { url, stop, thread })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops it; when this returns, the file is closed.
    pub fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the embedded database ended in a panic");
        }
    }
}

async fn serve(listener: TcpListener, database: Database, stop: CancellationToken) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the embedded database cannot listen: {error}"),
    };
    let sweeps = async {
        let mut ticks = tokio::time::interval(super::SWEEP);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            // Elsewhere: it gives way to requests between pages, if they can run meanwhile.
            let database = database.clone();
            match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!("could not delete expired rows: {error}"),
                Err(error) => tracing::warn!("the deletion of expired rows broke off: {error}"),
            }
        }
    };
    let served =
        dynoxide::server::serve_with_shutdown(listener, database.clone(), stop.clone().cancelled_owned());
    tokio::select! {
        // Open connections are of no interest once the process ends.
        _ = served => {}
        () = sweeps => {}
    }
}
