//! The audit log: one line for each new thread, and for each change of members, roles, titles, sessions and bans, with who
//! made it.
//!
//! A line stands in the span of its request, so it has the request's id. Its target is `audit`, so that a filter finds it.

use domain::{
    event::Role,
    ids::{ThreadId, UserId},
};
use tracing::Level;

/// What was done.
#[derive(Debug, Clone, Copy)]
pub enum Act<'a> {
    /// A thread was created.
    Created {
        /// The thread.
        thread: &'a ThreadId,
    },
    /// A user was added to a thread, or given a role in it.
    PutMember {
        /// The thread.
        thread: &'a ThreadId,
        /// The user.
        user: &'a UserId,
        /// The role that was asked for.
        role: Option<Role>,
    },
    /// A user was taken out of a thread, or has left it.
    RemovedMember {
        /// The thread.
        thread: &'a ThreadId,
        /// The user.
        user: &'a UserId,
    },
    /// A thread has another title.
    Renamed {
        /// The thread.
        thread: &'a ThreadId,
    },
    /// All sessions of a user were ended.
    EndedSessions {
        /// The user.
        user: &'a UserId,
    },
    /// One session of a user was ended.
    EndedSession {
        /// The user.
        user: &'a UserId,
    },
    /// A user was banned.
    Banned {
        /// The user.
        user: &'a UserId,
    },
    /// A ban was lifted.
    Unbanned {
        /// The user.
        user: &'a UserId,
    },
}

impl Act<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created_thread",
            Self::PutMember { .. } => "put_member",
            Self::RemovedMember { .. } => "removed_member",
            Self::Renamed { .. } => "renamed_thread",
            Self::EndedSessions { .. } => "ended_sessions",
            Self::EndedSession { .. } => "ended_session",
            Self::Banned { .. } => "banned",
            Self::Unbanned { .. } => "unbanned",
        }
    }

    fn thread(&self) -> Option<&str> {
        match self {
            Self::Created { thread }
            | Self::PutMember { thread, .. }
            | Self::RemovedMember { thread, .. }
            | Self::Renamed { thread } => Some(thread.as_str()),
            _ => None,
        }
    }

    fn user(&self) -> Option<&str> {
        match self {
            Self::PutMember { user, .. }
            | Self::RemovedMember { user, .. }
            | Self::EndedSessions { user }
            | Self::EndedSession { user }
            | Self::Banned { user }
            | Self::Unbanned { user } => Some(user.as_str()),
            Self::Created { .. } | Self::Renamed { .. } => None,
        }
    }
}

/// Writes the line of what `by` has done, perhaps by the service `via`.
pub fn note(by: &UserId, via: Option<&UserId>, act: &Act<'_>) {
    let role = match act {
        Act::PutMember { role, .. } => role.map(|role| format!("{role:?}").to_lowercase()),
        _ => None,
    };
    tracing::event!(
        target: "audit",
        Level::INFO,
        audit.act = act.name(),
        audit.by = by.as_str(),
        audit.via = via.map(UserId::as_str),
        audit.thread = act.thread(),
        audit.user = act.user(),
        audit.role = role,
        "{}", act.name()
    );
}
