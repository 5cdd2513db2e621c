//! Queues on SQS: users', edges', and the one of the fan-out: create, post, receive, ack, delete.
//!
//! A queue is a hint. It may lose, double, reorder or delay anything, and then only time is lost;
//! so nothing here retries for long, and no failure here may fail a request. This crate knows no
//! DynamoDB, no HTTP and no streams.

pub mod error;
pub mod jobs;
pub mod policy;
pub mod queues;
pub mod seal;
