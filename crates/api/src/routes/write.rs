//! What all writes have in common: a sender, a time and an idempotency key.

use axum::extract::{FromRef, FromRequestParts};
use domain::{
    ids::{IdempotencyKey, UserId},
    rate::{Class, Place},
    version::Expected,
};
use http::{HeaderMap, header, request::Parts};
use jiff::Timestamp;
use serde::Serialize;
use server::{
    auth::{Identity, Verifier},
    clock::Clock,
    problem::{Kind, Problem},
};
use sha2::{Digest, Sha256};
use store::{rate::permit::Permit, table::Table, write::request::WriteRequest};

use crate::rate::Metered;

/// A request that writes. Without an `Idempotency-Key` a random one is generated; a retry is then a new write.
#[derive(Debug, Clone)]
pub struct Write(WriteRequest, Metered);

impl Write {
    /// Who writes.
    pub fn sender(&self) -> &UserId {
        &self.0.sender
    }

    /// When.
    pub fn now(&self) -> Timestamp {
        self.0.now
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

impl<S: Send + Sync> FromRequestParts<S> for Write
where
    Verifier: FromRef<S>,
    Clock: FromRef<S>,
    Table: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let metered = Metered::from_request_parts(parts, state).await?;
        let key = key(&parts.headers)?;
        let key_from_client = key.is_some();
        let idempotency_key = key.unwrap_or_else(|| IdempotencyKey::made(rng::random()));
        let Identity { user: sender, via, .. } = metered.identity.clone();
        let (fingerprint, now, permit) = (String::new(), metered.now, Permit::default());
        let expected = expected(&parts.headers)?;
        let request = WriteRequest {
            sender,
            via,
            idempotency_key,
            key_from_client,
            fingerprint,
            expected,
            now,
            permit,
        };
        Ok(Self(request, metered))
    }
}

/// What `If-Match` says. Several headers are one list (RFC 9110, section 5.3).
fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let lines: Vec<&str> =
        headers.get_all(header::IF_MATCH).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    if lines.is_empty() {
        return Ok(Expected::Any);
    }
    Expected::parse(&lines.join(",")).map_err(|bad| Problem::new(Kind::BadRequest, bad.to_string()))
}

/// The idempotency key of a request, if it has one.
///
/// A string in double quotes, as draft-ietf-httpapi-idempotency-key-header-07 has it, is the same key as its content.
fn key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        let detail = "the request must have at most one `Idempotency-Key` header";
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let key = key.to_str().unwrap_or_default();
    let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    IdempotencyKey::parse(key).map(Some).map_err(|bad| Problem::new(Kind::BadRequest, bad.to_string()))
}
