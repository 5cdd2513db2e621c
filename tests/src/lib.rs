//! The harness: the real service on loopback, over the embedded emulators, with as many APIs and
//! edges as a test wants; and plain clients that see what a browser would see.

#![expect(clippy::unwrap_used, reason = "a harness fails by panicking, as tests do")]

pub mod browser;
pub mod calls;
pub mod chromium;
pub mod crowd;
pub mod deaf;
pub mod document;
pub mod edge;
pub mod engine;
pub mod faults;
pub mod lambda;
pub mod marionette;
pub mod process;
pub mod raw;
pub mod world;
