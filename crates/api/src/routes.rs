//! The handlers, one file a noun.

pub mod about;
pub mod blocks;
pub mod health;
pub mod members;
pub mod messages;
mod named;
pub mod page;
mod parameters;
pub mod presence;
pub mod profiles;
pub mod reactions;
pub mod seen;
pub mod session;
pub mod threads;
pub mod typing;
pub mod users;
pub mod write;
