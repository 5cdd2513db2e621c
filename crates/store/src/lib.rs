//! The one DynamoDB table: keys, thread log, inboxes, members, leases, outbox.
//!
//! This is the truth of the service, and the only place that names the DynamoDB SDK apart from
//! those that build clients. It knows no HTTP, no SQS and no streams, and reads no clock: the
//! time comes in with each call.

mod before;
pub mod changes;
pub mod commit;
pub mod edges;
pub mod error;
pub mod fan;
pub mod inbox;
pub mod keys;
pub mod leases;
pub mod log;
pub mod members;
pub mod messages;
pub mod outbox;
pub mod repair;
pub mod retry;
pub mod rows;
pub mod seen;
pub mod table;
pub mod threads;
pub mod tickets;
mod turns;
mod tx;
pub mod views;
