//! The authenticated caller of a route.

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use server::{
    auth::{Identity, Verifier, bearer::Bearer},
    clock::Clock,
    problem::{Kind, Problem},
};
use store::table::Table;

use crate::answer::failed;

/// The identity behind a request, by a token that is genuine and was not revoked. A revocation counts here within
/// [`limits::CUTOFF_READ`](domain::limits::CUTOFF_READ).
#[derive(Debug, Clone)]
pub struct Caller(
    /// Whom the token speaks for.
    pub Identity,
);

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Verifier: FromRef<S>,
    Clock: FromRef<S>,
    Table: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Bearer(identity) = Bearer::from_request_parts(parts, state).await?;
        let (table, now) = (Table::from_ref(state), Clock::from_ref(state).now());
        if table.revokes(&identity.user, identity.issued_at, now).await.map_err(failed)? {
            return Err(revoked());
        }
        Ok(Self(identity))
    }
}

/// The problem of a token that was revoked.
pub fn revoked() -> Problem {
    Problem::new(Kind::Unauthorized, "the token was revoked: sign in again")
}
