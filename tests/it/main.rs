//! The service through its public doors: HTTP in, frames out, on real sockets and the embedded
//! emulators.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

/// Each test twice: with queues of users, and with queues of edges.
macro_rules! both {
    ($($name:ident),* $(,)?) => {
        mod per_user {
            $(#[tokio::test]
            async fn $name() {
                super::$name(sse_edge::config::Topology::PerUser).await;
            })*
        }
        mod per_edge {
            $(#[tokio::test]
            async fn $name() {
                super::$name(sse_edge::config::Topology::PerEdge).await;
            })*
        }
    };
}

mod acks;
mod api;
mod audit;
mod blocks;
mod chains;
mod changes;
mod consent;
mod content;
mod copied;
mod cors;
mod cost;
mod cuts;
mod doors;
mod failures;
mod head;
mod hostile;
mod hot;
mod leases;
mod members;
mod mend;
mod openapi;
mod overload;
mod poll;
mod profiles;
mod races;
mod rate;
mod receives;
mod replay;
mod revoked;
mod rolling;
mod service;
mod settings;
mod stages;
mod strangers;
mod stream;
mod sweep;
mod unprocessed;
mod wire;
