//! The service through its public doors: HTTP in, frames out, on real sockets and the embedded
//! emulators.

mod api;
mod members;
mod stream;
mod sweep;
