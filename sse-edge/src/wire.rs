//! What a client sends when it opens a stream, and what the edge writes on one.

pub(crate) mod encoded_event;
pub(crate) mod frame;
pub(crate) mod last_event_id;
pub(crate) mod reason;
