//! What all writes have in common: a sender, a time, and an idempotency key.

use axum::extract::{FromRef, FromRequestParts};
use domain::ids::IdempotencyKey;
use http::request::Parts;
use serde::Serialize;
use server::{
    auth::{Verifier, bearer::Bearer},
    clock::Clock,
    problem::{Kind, Problem},
};
use sha2::{Digest, Sha256};
use store::commit::Origin;

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

impl<S: Send + Sync> FromRequestParts<S> for Write
where
    Verifier: FromRef<S>,
    Clock: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Bearer(identity) = Bearer::from_request_parts(parts, state).await?;
        let mut keys = parts.headers.get_all("idempotency-key").iter();
        let key = match (keys.next(), keys.next()) {
            (None, _) => IdempotencyKey::made(chance::random()),
            (Some(key), None) => IdempotencyKey::parse(key.to_str().unwrap_or_default())
                .map_err(|bad| Problem::new(Kind::BadRequest, bad.to_string()))?,
            (Some(_), Some(_)) => return Err(Problem::new(Kind::BadRequest, "send one `Idempotency-Key`")),
        };
        Ok(Self(Origin { by: identity.user, key, hash: String::new(), now: Clock::from_ref(state).now() }))
    }
}
