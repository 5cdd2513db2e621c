//! Fan-out: a thread log's entry into every member's inbox, then a word to their queues (P11).

pub mod drive;
pub mod post;
pub mod sweep;
