//! This edge among the other edges: its heartbeat, the others' heartbeats, and what dead edges leave behind.

pub(crate) mod heartbeat;
pub(crate) mod peers;
pub(crate) mod reaper;
