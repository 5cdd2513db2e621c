//! Where the outcomes, failures and rejections of the write side become HTTP.

use axum::{
    Json,
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use domain::{
    content::TooMany,
    event::Role,
    failure::Failed as _,
    limits,
    version::Version,
    wire::{Message, Thread},
};
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use server::problem::{Kind, Problem};
use store::{
    table::error::Error,
    write::{Outcome, Rejection, WriteError},
};

use crate::rate::too_fast;

/// When a client may come back after a failure that passes, in seconds.
const RETRY_S: u32 = 1;
/// The same while DynamoDB throttles: what comes too soon prolongs it.
const THROTTLED_RETRY_S: u32 = 5;

/// The header that names where what was created can be read.
#[derive(Debug, Clone)]
pub struct Location(
    /// A path of this API.
    pub String,
);

impl IntoResponseParts for Location {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        let path = HeaderValue::try_from(self.0).expect("ids and numbers are ASCII");
        parts.headers_mut().insert(header::LOCATION, path);
        Ok(parts)
    }
}

/// What `ETag` is made from.
pub trait Versioned {
    /// The version of what a request can change of it.
    fn version(&self) -> Version;
}

impl Versioned for Message {
    fn version(&self) -> Version {
        self.version()
    }
}

impl Versioned for Thread {
    fn version(&self) -> Version {
        self.version()
    }
}

/// A body, with its version in `ETag`.
#[derive(Debug, Clone)]
pub struct Tagged<T>(
    /// The body.
    pub T,
);

impl<T: Versioned + Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let tag = HeaderValue::try_from(self.0.version().to_string()).expect("a version is ASCII");
        ([(header::ETAG, tag)], Json(self.0)).into_response()
    }
}

/// The header of an answer to a request whose idempotency key was known: the write was not done again.
#[derive(Debug, Clone, Copy)]
pub struct Replayed(
    /// Whether the key was known.
    pub bool,
);

impl From<&Outcome> for Replayed {
    fn from(outcome: &Outcome) -> Self {
        Self(matches!(outcome, Outcome::Replayed(_)))
    }
}

impl IntoResponseParts for Replayed {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        if self.0 {
            let name = HeaderName::from_static("idempotent-replayed");
            parts.headers_mut().insert(name, HeaderValue::from_static("true"));
        }
        Ok(parts)
    }
}

/// The problem that a failed operation on the table is to the client. Logged here, once.
pub fn failed(error: Error) -> Problem {
    let (failure, story) = (error.failure().as_str(), error.story());
    let (after, why) = match error {
        Error::Contended => (RETRY_S, "there are too many concurrent writes"),
        Error::Throttled(_) => (THROTTLED_RETRY_S, "the database is too busy"),
        Error::Unavailable(_) => (RETRY_S, "the service cannot reach its database"),
        Error::Refused(_) | Error::Corrupt { .. } | Error::NoTable(_) | Error::NoDatabase { .. } => {
            tracing::error!(failure, "{story}");
            return Problem::internal();
        }
    };
    tracing::warn!(failure, "{story}");
    Problem::passing(Kind::Unavailable, after, format!("{why}: retry with the same `Idempotency-Key`"))
}

/// Turns the failure of a write into the problem that its sender reads.
pub fn problem_of(error: WriteError) -> Problem {
    match error {
        WriteError::Failed(error) => failed(error),
        WriteError::Rejected(rejection) => rejected(rejection),
    }
}

/// A message has too much besides its text.
pub fn too_long() -> Problem {
    let most = limits::EXTRAS_BYTES;
    let detail =
        format!("`attachments`, `mentions` and `data` must not exceed {most} bytes of JSON together");
    Problem::new(Kind::TooLarge, detail)
}

fn full(kind: Kind, limit: usize, (before, after): (&str, &str)) -> Problem {
    Problem::full(kind, limit, format!("{before} at most {limit} {after}"))
}

fn too_many(what: TooMany) -> Problem {
    let (limit, words) = match what {
        TooMany::Emoji => (limits::MESSAGE_EMOJI, ("a message can have", "different reactions")),
        TooMany::Users => (limits::EMOJI_USERS, ("a message can have the same reaction of", "users")),
        TooMany::Reactions => (limits::MESSAGE_REACTIONS, ("a message can have", "reactions")),
    };
    full(Kind::ReactionsFull, limit, words)
}

fn rejected(rejection: Rejection) -> Problem {
    let (kind, detail) = match rejection {
        Rejection::NotMember | Rejection::NoMessage => return Problem::not_found(),
        Rejection::TooFast(usage) => return too_fast(usage),
        Rejection::TooMany(what) => return too_many(what),
        Rejection::ThreadFull => {
            return full(Kind::ThreadFull, limits::THREAD_MEMBERS, ("a thread can have", "members"));
        }
        Rejection::UserFull => {
            let words = ("you can be in", "threads: leave some first");
            return full(Kind::UserFull, limits::USER_THREADS, words);
        }
        Rejection::BlocksFull => {
            return full(Kind::BlocksFull, limits::BLOCKS, ("you can block", "users: unblock some first"));
        }
        Rejection::NoReply => {
            let detail = "`reply_to` must be the tseq of a message that you may read";
            return Problem::new(Kind::ReplyMissing, detail).about("reply_to");
        }
        Rejection::MentionsStranger(user) => {
            let detail = format!("`mentions` names `{user}`, who is not a member");
            return Problem::new(Kind::MemberNeeded, detail).about("mentions");
        }
        Rejection::Blank => {
            return Problem::invalid("text", "the message would have neither a text nor an attachment");
        }
        Rejection::TooLong => return too_long(),
        Rejection::Changed => {
            (Kind::ChangedSince, "`If-Match` names another version: read it again, then decide")
        }
        Rejection::KeyReused => {
            (Kind::KeyReused, "this `Idempotency-Key` belongs to a different request: use a new key")
        }
        Rejection::NotAuthor => (
            Kind::NotAuthor,
            "only its author may edit a message, and only its author or a moderator delete it",
        ),
        Rejection::MayNotAdd(Role::Owner) => (Kind::RoleMissing, "only the owner of this group adds members"),
        Rejection::MayNotAdd(_) => {
            (Kind::RoleMissing, "only the owner and the moderators of this group add members")
        }
        Rejection::NotOwner => (Kind::RoleMissing, "only the owner may give roles"),
        Rejection::NotModerator => (
            Kind::RoleMissing,
            "you must be the owner or a moderator to remove this member: only the owner removes moderators",
        ),
        Rejection::NotYetMember => {
            (Kind::MemberNeeded, "a thread can only be handed over to a member: add the user first")
        }
        Rejection::LastOwner => {
            (Kind::OwnerNeeded, "the owner cannot take another role: make another member the owner first")
        }
        Rejection::Deleted => (Kind::MessageDeleted, "this message has been deleted"),
        Rejection::DirectTitle => {
            (Kind::ThreadDirect, "a direct thread cannot have a title: create a group instead")
        }
        Rejection::DirectMembers => {
            (Kind::ThreadDirect, "the members of a direct thread cannot change: create a group instead")
        }
        // The answer does not tell a block from a leaving, nor whose it was.
        Rejection::Unwilling => (Kind::MemberRefused, "a user whom you name cannot be added"),
        Rejection::Closed => (Kind::ThreadClosed, "you cannot write in this thread any more"),
        Rejection::ServiceOnly => {
            (Kind::ServiceOnly, "only the back end of this application creates threads and adds members")
        }
    };
    Problem::new(kind, detail)
}
