//! What every handler of the API may use.

use axum::extract::FromRef;
use fanout::{chat::Chat, deliver::Fanout};
use server::{auth::Verifier, clock::Clock};
use store::table::Table;

/// Built once per process.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Tells who asks.
    pub verifier: Verifier,
    /// Table, queues and clock.
    pub fanout: Fanout,
}

impl FromRef<ApiState> for Verifier {
    fn from_ref(state: &ApiState) -> Self {
        state.verifier.clone()
    }
}

impl FromRef<ApiState> for Clock {
    fn from_ref(state: &ApiState) -> Self {
        state.fanout.clock.clone()
    }
}

impl FromRef<ApiState> for Table {
    fn from_ref(state: &ApiState) -> Self {
        state.fanout.table.clone()
    }
}

impl FromRef<ApiState> for Fanout {
    fn from_ref(state: &ApiState) -> Self {
        state.fanout.clone()
    }
}

impl FromRef<ApiState> for Chat {
    fn from_ref(state: &ApiState) -> Self {
        Self::new(state.fanout.clone())
    }
}
