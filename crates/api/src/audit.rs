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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A thread was created.
    CreatedThread,
    /// A user was added to a thread, or given a role in it.
    PutMember,
    /// A user was taken out of a thread, or has left it.
    RemovedMember,
    /// A thread has another title.
    RenamedThread,
    /// All sessions of a user were ended.
    EndedSessions,
    /// One session of a user was ended.
    EndedSession,
    /// A user was banned.
    Banned,
    /// A ban was lifted.
    Unbanned,
}

/// A line of the log.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    deed: Deed,
    thread: Option<&'a ThreadId>,
    user: Option<&'a UserId>,
    role: Option<Role>,
}

impl Deed {
    const fn name(self) -> &'static str {
        match self {
            Self::CreatedThread => "created_thread",
            Self::PutMember => "put_member",
            Self::RemovedMember => "removed_member",
            Self::RenamedThread => "renamed_thread",
            Self::EndedSessions => "ended_sessions",
            Self::EndedSession => "ended_session",
            Self::Banned => "banned",
            Self::Unbanned => "unbanned",
        }
    }

    /// The deed, done to a thread.
    pub const fn to_thread(self, thread: &ThreadId) -> Act<'_> {
        Act { deed: self, thread: Some(thread), user: None, role: None }
    }

    /// The deed, done to a user.
    pub const fn to_user(self, user: &UserId) -> Act<'_> {
        Act { deed: self, thread: None, user: Some(user), role: None }
    }
}

impl<'a> Act<'a> {
    /// The same, about this member of the thread.
    #[must_use]
    pub const fn about(self, user: &'a UserId) -> Self {
        Self { user: Some(user), ..self }
    }

    /// The same, with the role that was asked for.
    #[must_use]
    pub const fn with(self, role: Option<Role>) -> Self {
        Self { role, ..self }
    }
}

/// Writes the line of what `by` has done, perhaps by the service `via`.
pub fn note(by: &UserId, via: Option<&UserId>, act: &Act<'_>) {
    let name = act.deed.name();
    tracing::event!(
        target: "audit",
        Level::INFO,
        audit.act = name,
        audit.by = by.as_str(),
        audit.via = via.map(UserId::as_str),
        audit.thread = act.thread.map(ThreadId::as_str),
        audit.user = act.user.map(UserId::as_str),
        audit.role = act.role.map(|role| format!("{role:?}").to_lowercase()),
        "{name}"
    );
}
