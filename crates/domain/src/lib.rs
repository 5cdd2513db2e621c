//! The words of Runnel as types: ids, events, cursors, envelopes, frames and limits.
//!
//! Text becomes one of these types at the edge of the system, through `parse`, and is never a
//! `String` again. This crate does no I/O, reads no clock and draws no random numbers, so that
//! everything in it can be property-tested and simulated.

pub mod attachment;
pub mod contact;
pub mod content;
pub mod credential;
pub mod cursor;
pub mod envelope;
pub mod event;
pub mod failure;
pub mod frame;
pub mod ids;
pub mod inbox_entry;
pub mod job;
pub mod limits;
pub mod mark;
pub mod profile;
pub mod rate;
pub mod sequence;
pub mod text;
pub mod user_row;
pub mod version;
pub mod view;
pub mod wire;
