//! The calls to AWS that more than one part of an edge makes: receive from a queue, read user rows, create and delete queues.

pub(crate) mod consumer;
pub(crate) mod queues;
pub(crate) mod row_reader;
