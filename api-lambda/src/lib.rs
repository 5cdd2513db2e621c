//! The write side: everything that clients send, as ordinary HTTP requests, and the fan-out of
//! what was accepted into the members' inboxes.
//!
//! Stateless: nothing but what may be read again is kept between two requests, and nothing runs after an answer. It must not
//! know who is connected where: it posts to whatever queue has a holder.

pub mod answer;
pub mod config;
pub mod fanout;
pub mod openapi;
pub mod router;
pub mod routes;
pub mod state;
