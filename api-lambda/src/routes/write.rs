//! What all writes have in common: a sender, a time, an idempotency key, and how they end.

use axum::extract::{FromRef, FromRequestParts};
use domain::{content::TooMany, event::Entry, ids::IdempotencyKey, limits};
use http::request::Parts;
use serde::Serialize;
use server::{
    auth::{Verifier, bearer::Bearer},
    clock::Clock,
    problem::{Kind, Problem},
};
use sha2::{Digest, Sha256};
use store::{changes::Refusal, commit::Origin, error::Error, messages::Sent};

use crate::{
    answer::{failed, key_reused},
    fanout::drive::Fanout,
};

/// A request that writes: who, when, and under which `Idempotency-Key`. One that brings no key
/// gets one of its own, and is not known again when it is repeated.
#[derive(Debug, Clone)]
pub struct Write(Origin);

impl Write {
    /// The write of `what`: everything in the request that makes it this one and no other.
    pub fn of(self, what: &impl Serialize) -> Origin {
        let text = serde_json::to_vec(what).expect("ids, numbers and strings always serialise");
        let hash = data_encoding::BASE32_DNSSEC.encode(&Sha256::digest(&text)[..16]);
        Origin { hash, ..self.0 }
    }
}

/// A write that was accepted, now or before.
#[derive(Debug)]
pub enum Done {
    /// It has just been logged.
    Fresh(Entry),
    /// It had been logged before, under the same key.
    Known(Entry),
    /// It was so already.
    Unchanged,
}

/// Tells the members of what a write logged, or the writer of why it was not.
pub async fn finish(fanout: &Fanout, sent: Result<Sent, Error>) -> Result<Done, Problem> {
    match sent.map_err(failed)? {
        Sent::Whole(entry, told) => {
            fanout.whole(&entry, &told).await;
            Ok(Done::Fresh(entry))
        }
        Sent::Committed(entry) => {
            fanout.logged(&entry).await;
            Ok(Done::Fresh(entry))
        }
        Sent::Known(entry) => {
            fanout.logged(&entry).await;
            Ok(Done::Known(entry))
        }
        Sent::Unchanged => Ok(Done::Unchanged),
        Sent::KeyReused => Err(key_reused()),
        Sent::NotMember => Err(Problem::not_found()),
        Sent::Refused(refusal) => Err(refused(refusal)),
    }
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::NoMessage => Problem::not_found(),
        Refusal::NotAuthor => Problem::new(Kind::Forbidden, "only the author may edit or delete a message"),
        Refusal::Deleted => Problem::new(Kind::Conflict, "this message has been deleted"),
        Refusal::TooMany(TooMany::Emoji) => {
            let most = limits::MESSAGE_EMOJI;
            Problem::new(Kind::Conflict, format!("a message can have at most {most} different reactions"))
        }
        Refusal::TooMany(TooMany::Users) => {
            let (same, all) = (limits::EMOJI_USERS, limits::MESSAGE_REACTIONS);
            let detail =
                format!("a message can have at most {same} users per reaction and {all} reactions in total");
            Problem::new(Kind::Conflict, detail)
        }
        Refusal::Direct => {
            Problem::new(Kind::Conflict, "a direct thread cannot have a title: create a group instead")
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Write
where
    Verifier: FromRef<S>,
    Clock: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Bearer(identity) = Bearer::from_request_parts(parts, state).await?;
        let mut keys = parts.headers.get_all("idempotency-key").iter();
        let repeatable = parts.headers.contains_key("idempotency-key");
        let key = match (keys.next(), keys.next()) {
            (None, _) => IdempotencyKey::made(chance::random()),
            (Some(key), None) => IdempotencyKey::parse(key.to_str().unwrap_or_default())
                .map_err(|bad| Problem::new(Kind::BadRequest, bad.to_string()))?,
            (Some(_), Some(_)) => {
                let detail = "the request must have at most one `Idempotency-Key` header";
                return Err(Problem::new(Kind::BadRequest, detail));
            }
        };
        let (by, hash, now) = (identity.user, String::new(), Clock::from_ref(state).now());
        Ok(Self(Origin { by, key, repeatable, hash, now }))
    }
}
