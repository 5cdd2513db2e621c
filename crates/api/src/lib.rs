//! The write side: everything that clients send, as ordinary HTTP requests.
//!
//! Stateless: nothing but what may be read again is kept between two requests, and nothing runs after an answer. It must not
//! know which edge holds a connection: it posts to each queue that has a holder.

pub mod answer;
pub mod audit;
pub mod caller;
pub mod openapi;
pub mod rate;
pub mod router;
pub mod routes;
pub mod state;
