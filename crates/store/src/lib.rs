//! The one DynamoDB table: keys, thread log, inboxes, members, leases, outbox.
//!
//! This is the truth of the service, and the only place that names the DynamoDB SDK apart from
//! those that build clients. It knows no HTTP, no SQS and no streams, and reads no clock: the
//! time comes in with each call.

mod account;
mod blocks;
mod direct;
pub mod history;
pub mod inbox;
pub mod lease;
pub mod log;
mod members;
pub mod outbox;
mod presence;
mod profiles;
pub mod rate;
pub mod repair;
mod revocation;
pub mod table;
pub mod tickets;
mod visibility;
pub mod write;
