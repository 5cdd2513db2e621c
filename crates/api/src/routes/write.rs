//! What all writes have in common: a sender, a time, an idempotency key, and their problems.

use axum::extract::{FromRef, FromRequestParts};
use domain::{
    content::TooMany,
    event::Role,
    ids::{IdempotencyKey, UserId},
    limits,
    rate::{Class, Place},
};
use http::request::Parts;
use serde::Serialize;
use server::{
    auth::{Identity, Verifier},
    clock::Clock,
    problem::{Kind, Problem},
};
use sha2::{Digest, Sha256};
use store::{
    rate::permit::Permit,
    table::Table,
    write::{Rejection, WriteError, request::WriteRequest},
};

use crate::{
    answer::failed,
    rate::{Metered, too_fast},
};

/// A request that writes. Without an `Idempotency-Key` a random one is generated; a retry is then a new write.
#[derive(Debug, Clone)]
pub struct Write(WriteRequest, Metered);

impl Write {
    /// Who writes.
    pub fn sender(&self) -> &UserId {
        &self.0.sender
    }

    /// The write of `what`: all that distinguishes its command from others. It charges the sender these weights in these classes.
    pub fn of(self, counts: &[(Class, u32)], what: &impl Serialize) -> WriteRequest {
        let WriteRequest { sender, via, .. } = &self.0;
        // The keys of a service are its own, whomever it acts for.
        let text = match via {
            None => serde_json::to_vec(what),
            Some(_) => serde_json::to_vec(&(sender, what)),
        };
        let text = text.expect("ids, numbers and strings always serialise");
        let fingerprint = data_encoding::BASE32_DNSSEC.encode(&Sha256::digest(&text)[..16]);
        WriteRequest { fingerprint, permit: self.1.permit(counts), ..self.0 }
    }

    /// The same, where the write counts by place as well.
    pub fn of_in(
        self,
        counts: &[(Class, u32)],
        (place, class): (Place, Class),
        what: &impl Serialize,
    ) -> WriteRequest {
        let metered = self.1.clone();
        let request = self.of(counts, what);
        // One who has used up the rest counts no more places: each takes room in this process.
        if request.permit.refusal().is_some() {
            return request;
        }
        WriteRequest { permit: request.permit.and(metered.permit_in(place, class)), ..request }
    }
}

/// Turns the failure of a write into the problem that its sender reads.
pub fn problem_of(error: WriteError) -> Problem {
    match error {
        WriteError::Failed(error) => failed(error),
        WriteError::Rejected(rejection) => rejected(rejection),
    }
}

fn rejected(rejection: Rejection) -> Problem {
    let conflict = |detail: String| Problem::new(Kind::Conflict, detail);
    let forbidden = |detail: &str| Problem::new(Kind::Forbidden, detail);
    match rejection {
        Rejection::KeyReused => {
            let detail = "this `Idempotency-Key` belongs to a different request: use a new key";
            Problem::new(Kind::KeyReused, detail)
        }
        Rejection::NotMember | Rejection::NoMessage => Problem::not_found(),
        Rejection::NotAuthor => {
            forbidden("only its author may edit a message, and only its author or a moderator delete it")
        }
        Rejection::MayNotAdd(Role::Owner) => forbidden("only the owner of this group adds members"),
        Rejection::MayNotAdd(_) => forbidden("only the owner and the moderators of this group add members"),
        Rejection::NotOwner => forbidden("only the owner may give roles"),
        Rejection::NotModerator => forbidden(
            "you must be the owner or a moderator to remove this member: only the owner removes moderators",
        ),
        Rejection::NotYetMember => {
            conflict("a thread can only be handed over to a member: add the user first".into())
        }
        Rejection::LastOwner => {
            conflict("the owner cannot take another role: make another member the owner first".into())
        }
        Rejection::TooFast(usage) => too_fast(usage),
        Rejection::Deleted => conflict("this message has been deleted".into()),
        Rejection::TooMany(TooMany::Emoji) => {
            conflict(format!("a message can have at most {} different reactions", limits::MESSAGE_EMOJI))
        }
        Rejection::TooMany(TooMany::Users) => conflict(format!(
            "a message can have at most {} users per reaction and {} reactions in total",
            limits::EMOJI_USERS,
            limits::MESSAGE_REACTIONS
        )),
        Rejection::DirectTitle => {
            conflict("a direct thread cannot have a title: create a group instead".into())
        }
        Rejection::DirectMembers => {
            conflict("the members of a direct thread cannot change: create a group instead".into())
        }
        Rejection::ThreadFull => {
            conflict(format!("a thread can have at most {} members", limits::THREAD_MEMBERS))
        }
        Rejection::UserFull => {
            conflict(format!("you are in {} threads, the maximum: leave some first", limits::USER_THREADS))
        }
        // The answer does not tell a block from a leaving, nor whose it was.
        Rejection::Unwilling => forbidden("a user whom you name cannot be added"),
        Rejection::Closed => Problem::new(Kind::ThreadClosed, "you cannot write in this thread any more"),
        Rejection::BlocksFull => {
            conflict(format!("you have blocked {} users, the maximum: unblock some first", limits::BLOCKS))
        }
        Rejection::ServiceOnly => {
            forbidden("only the back end of this application creates threads and adds members")
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Write
where
    Verifier: FromRef<S>,
    Clock: FromRef<S>,
    Table: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let metered = Metered::from_request_parts(parts, state).await?;
        let mut keys = parts.headers.get_all("idempotency-key").iter();
        let key_from_client = parts.headers.contains_key("idempotency-key");
        let idempotency_key = match (keys.next(), keys.next()) {
            (None, _) => IdempotencyKey::made(rng::random()),
            (Some(key), None) => IdempotencyKey::parse(key.to_str().unwrap_or_default())
                .map_err(|bad| Problem::new(Kind::BadRequest, bad.to_string()))?,
            (Some(_), Some(_)) => {
                let detail = "the request must have at most one `Idempotency-Key` header";
                return Err(Problem::new(Kind::BadRequest, detail));
            }
        };
        let Identity { user: sender, via, .. } = metered.identity.clone();
        let (fingerprint, now, permit) = (String::new(), metered.now, Permit::default());
        let request =
            WriteRequest { sender, via, idempotency_key, key_from_client, fingerprint, now, permit };
        Ok(Self(request, metered))
    }
}
