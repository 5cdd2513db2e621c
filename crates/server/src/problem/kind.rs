//! The kinds of problems, each with the cause that a developer looks for and the cure. `docs/PROBLEMS.md` is made of this table.

use http::StatusCode;

/// What the `type` of every problem begins with: the page that explains all of them. Clients compare it, so it is no
/// setting of a build.
macro_rules! page {
    () => {
        "https://github.com/runnel-chat/runnel/blob/main/docs/PROBLEMS.md#"
    };
}

/// A kind of problem, for clients and for people.
struct Row {
    status: StatusCode,
    name: &'static str,
    url: &'static str,
    title: &'static str,
    cause: &'static str,
    cure: &'static str,
}

macro_rules! kinds {
    ($($kind:ident $name:literal $status:ident $title:literal { $cause:literal $cure:literal })*) => {
        /// Everything that can go wrong with a request, as far as a client would act differently.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $cause] $kind,)*
        }

        impl Kind {
            /// Every kind, for documents and tests.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            fn row(self) -> Row {
                match self {
                    $(Self::$kind => Row {
                        status: StatusCode::$status,
                        name: $name,
                        url: concat!(page!(), $name),
                        title: $title,
                        cause: $cause,
                        cure: $cure,
                    },)*
                }
            }
        }
    };
}

kinds! {
    BadRequest "bad-request" BAD_REQUEST "Malformed request" {
        "The body is not JSON or is incomplete, or a header is malformed."
        "Do what `detail` says."
    }
    TokenMissing "token-missing" UNAUTHORIZED "No token" {
        "The request has no credentials."
        "Send `Authorization: Bearer <token>`. A stream may use the session cookie or a ticket instead."
    }
    TokenInvalid "token-invalid" UNAUTHORIZED "Invalid token" {
        "The token is malformed, its signature is wrong, or its claims do not fit this deployment."
        "Do not retry with the same token. `detail` names the first wrong part. If all tokens are refused, compare the issuer, the audience and the keys of your identity provider with the settings of the deployment."
    }
    TokenExpired "token-expired" UNAUTHORIZED "Expired token" {
        "The time in the claim `exp` of the token has passed."
        "Fetch a new token, then retry with the same `Idempotency-Key`."
    }
    TokenRevoked "token-revoked" UNAUTHORIZED "Revoked token" {
        "The session of the token has ended, or all sessions of its user have."
        "Let the user sign in again."
    }
    TicketInvalid "ticket-invalid" UNAUTHORIZED "Invalid ticket" {
        "The ticket was used before, is older than 30 s, or never existed."
        "Fetch a new ticket with `POST /v1/tickets` for each stream and each poll."
    }
    ScopeMissing "scope-missing" FORBIDDEN "Missing scope" {
        "Only back ends use this route or the header `Runnel-User`. The token lacks the scope for it."
        "In a back end, get a token with the scope that `detail` names. Never grant such a scope to the tokens of users."
    }
    NotForServices "not-for-services" FORBIDDEN "Not for back ends" {
        "A route that is for users alone was called with the token of a back end, or with `Runnel-User`."
        "Use the route that `detail` names."
    }
    UserNamedTwice "user-named-twice" FORBIDDEN "User named twice" {
        "Routes under `/v1/users` name the user in the path. The request names one in `Runnel-User` as well."
        "Send the request without `Runnel-User`."
    }
    UserBanned "user-banned" FORBIDDEN "Banned user" {
        "The user is banned."
        "Tell the user, and do not retry. `detail` says until when, unless the ban has no end."
    }
    NotAuthor "not-author" FORBIDDEN "Message of another user" {
        "Only its author may edit a message. Only its author, the owner and the moderators of its group may delete it."
        "Offer the change to these users only."
    }
    RoleMissing "role-missing" FORBIDDEN "Missing role" {
        "The role of the user in the group does not allow this."
        "Let a member with the role that `detail` names do it."
    }
    MemberRefused "member-refused" FORBIDDEN "User cannot be added" {
        "A user in the request has blocked the sender, or has left the group. The answer does not say which user, nor which of the two. In a new thread, only a block is possible."
        "Remove the user from the request. A user who has left a group must accept it before another member can add them again."
    }
    ServiceOnly "service-only" FORBIDDEN "Only for back ends" {
        "Only the back end of this deployment creates threads and adds members: `RUNNEL_CONTACT` is `service`."
        "Ask your back end to do it."
    }
    ThreadClosed "thread-closed" FORBIDDEN "Closed thread" {
        "The other user of this direct thread does not want to hear from the sender."
        "Show the thread without a field for new messages."
    }
    SignInRefused "sign-in-refused" FORBIDDEN "Sign-in refused" {
        "The sign-in by name of a development server was refused."
        "Open the page by the address that `runnel` prints, or enter the word that it prints."
    }
    NotFound "not-found" NOT_FOUND "Not found" {
        "The resource does not exist, or the user has no access to it. The answer is the same in both cases."
        "Check the path. If the resource was there before, list again: the user may have lost access to it."
    }
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "Method not allowed" {
        "The route does not support the method."
        "Use a method of the header `Allow`."
    }
    Timeout "timeout" REQUEST_TIMEOUT "Request timeout" {
        "The body of the request did not arrive in time."
        "Retry with the same `Idempotency-Key`."
    }
    MessageDeleted "message-deleted" CONFLICT "Deleted message" {
        "The message is deleted."
        "Show it as deleted."
    }
    ReactionsFull "reactions-full" CONFLICT "Too many reactions" {
        "The message has as many reactions, different reactions, or users of one reaction as a message can have."
        "Do not retry. `limit` is the limit that was reached."
    }
    ThreadDirect "thread-direct" CONFLICT "Direct thread" {
        "A direct thread has no title, and its members do not change."
        "Create a group instead."
    }
    ThreadFull "thread-full" CONFLICT "Full thread" {
        "The thread has as many members as a thread can have, which is `limit`."
        "Remove a member first."
    }
    UserFull "user-full" CONFLICT "Too many threads" {
        "The user has created and accepted as many threads as a user can, which is `limit`."
        "Let the user leave a thread first."
    }
    BlocksFull "blocks-full" CONFLICT "Too many blocks" {
        "The user has blocked as many users as a user can, which is `limit`."
        "Let the user unblock a user first."
    }
    MemberNeeded "member-needed" CONFLICT "Not a member" {
        "Only a member of a thread can be mentioned in it, or become its owner."
        "Add the user first, or send the request without them. `detail` names the user."
    }
    ReplyMissing "reply-missing" CONFLICT "No message to reply to" {
        "The message that `reply_to` names does not exist, or the user may not read it."
        "Send the message without `reply_to`."
    }
    OwnerNeeded "owner-needed" CONFLICT "Owner must hand over" {
        "The owner cannot take another role, because a group has one owner."
        "Make another member the owner first."
    }
    SessionUnnamed "session-unnamed" CONFLICT "Session without name" {
        "The token has neither the claim `sid` nor `jti`, so it names no session that could end."
        "End all sessions with `DELETE /v1/session?everywhere=true`, or issue tokens with one of these claims."
    }
    ChangedSince "changed-since" PRECONDITION_FAILED "Changed since it was read" {
        "`If-Match` names a version of the message or thread that is not the present one."
        "Read it again, show the user what has changed, and decide anew."
    }
    TooLarge "too-large" PAYLOAD_TOO_LARGE "Too large" {
        "The body, or a part of the request, is larger than allowed."
        "Send less. `detail` names the limit."
    }
    UnsupportedMedia "unsupported-media" UNSUPPORTED_MEDIA_TYPE "Unsupported media type" {
        "The body is not sent as plain `application/json`."
        "Send `Content-Type: application/json`, without `Content-Encoding`."
    }
    Invalid "invalid" UNPROCESSABLE_ENTITY "Invalid request" {
        "The request is readable, but a value in it has a wrong shape or size."
        "Correct the part that `field` or `detail` names."
    }
    KeyReused "key-reused" UNPROCESSABLE_ENTITY "Reused idempotency key" {
        "The `Idempotency-Key` belongs to an earlier request that was different."
        "Use a new key for each new request, and the same key only to retry the same request."
    }
    TooManyStreams "too-many-streams" TOO_MANY_REQUESTS "Too many streams" {
        "The user or the client address has too many open streams and polls."
        "Close a stream, or retry after the seconds in `Retry-After`."
    }
    RateLimited "rate-limited" TOO_MANY_REQUESTS "Rate limit reached" {
        "The user has reached a rate limit."
        "Retry with the same `Idempotency-Key` after the seconds in `Retry-After`."
    }
    Internal "internal" INTERNAL_SERVER_ERROR "Internal error" {
        "The service has a fault. Its log has the request under the id in `instance`."
        "Retry a write only with the same `Idempotency-Key`. Report the fault if it stays."
    }
    Unavailable "unavailable" SERVICE_UNAVAILABLE "Unavailable" {
        "The service, or a service behind it, is overloaded, unreachable or shutting down."
        "Retry with the same `Idempotency-Key` after the seconds in `Retry-After`."
    }
}

impl Kind {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().status
    }

    /// The `type` of its problems: the URL that explains them.
    pub fn url(self) -> &'static str {
        self.row().url
    }

    /// The last part of its `type`, and its section in `docs/PROBLEMS.md`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// A few words for people, the same for every occurrence.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// What has led to it, for developers.
    pub fn cause(self) -> &'static str {
        self.row().cause
    }

    /// What a client does about it, for developers.
    pub fn cure(self) -> &'static str {
        self.row().cure
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fmt::Write as _, path::Path};

    use super::*;

    fn page() -> String {
        let mut page = format!(
            "\
# Problems

Every error of Runnel has a body of type `application/problem+json`
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)). [WIRE.md](WIRE.md#problems) shows one. Its `type` is
`{}` and the name of a section of this page.

A later version can have more types. Treat a type that you do not know by its status.
",
            page!()
        );
        for kind in Kind::ALL {
            let (name, status, cause, cure) =
                (kind.name(), kind.status().as_u16(), kind.cause(), kind.cure());
            write!(page, "\n## {name}\n\nStatus: {status}.\n\nCause: {cause}\n\nWhat to do: {cure}\n")
                .unwrap();
        }
        page
    }

    #[test]
    fn the_page_of_problems_has_a_section_for_each_kind() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROBLEMS.md");
        if std::env::var_os("WRITE_PROBLEMS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let is_fresh = std::fs::read_to_string(path).unwrap() == page();
        assert!(is_fresh, "run `WRITE_PROBLEMS=1 cargo test -p server --lib problem`");
    }

    #[test]
    fn each_kind_has_a_type_of_its_own() {
        let urls: HashSet<_> = Kind::ALL.iter().map(|kind| kind.url()).collect();
        assert_eq!(urls.len(), Kind::ALL.len());
        assert!(urls.iter().all(|url| url.starts_with("https://")), "{urls:?}");
    }
}
