//! The authenticated caller of a route.

use axum::extract::{FromRef, FromRequestParts};
use domain::ids::UserId;
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use server::{
    auth::{Identity, LEEWAY, Verifier, acting::acting, bearer::Bearer, scope::Scope},
    clock::Clock,
    problem::{Kind, Problem},
};
use store::table::Table;

use crate::answer::failed;

/// The identity behind a request, by a token that is genuine and was not revoked. A revocation counts here within
/// [`limits::CUTOFF_READ`](domain::limits::CUTOFF_READ). A service may act for a user whom it names.
#[derive(Debug, Clone)]
pub struct Caller(
    /// Whom the request speaks for.
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
        if let Some(from) = table.valid_from(&identity.user, now).await.map_err(failed)?
            && identity.issued_at < from
        {
            return Err(revoked(from, now));
        }
        let acted = acting(&parts.headers, identity, now)?;
        if let Some(service) = &acted.via {
            let span = tracing::Span::current();
            span.record("user.id", acted.user.as_str()).record("user.via", service.as_str());
        }
        Ok(Self(acted))
    }
}

/// A service whose token has the scope [`Scope::Users`].
#[derive(Debug, Clone)]
pub struct UserAdmin(
    /// The service itself: what acts for a user has the user's rights alone.
    pub UserId,
);

impl<S: Send + Sync> FromRequestParts<S> for UserAdmin
where
    Verifier: FromRef<S>,
    Clock: FromRef<S>,
    Table: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(identity) = Caller::from_request_parts(parts, state).await?;
        if !identity.scopes.has(Scope::Users) {
            let detail = format!("the token needs the scope `{}`", Scope::Users.name());
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        Ok(Self(identity.user))
    }
}

/// Whether a user whose tokens count `from` then on is banned. A revocation takes effect at the end of its second, and the
/// clock of an identity provider may be ahead.
pub fn is_ban(from: Timestamp, now: Timestamp) -> bool {
    from.duration_since(now) > LEEWAY + SignedDuration::from_secs(1)
}

/// The problem of a token that was issued before `from`: it was revoked, or its user is banned until then.
pub fn revoked(from: Timestamp, now: Timestamp) -> Problem {
    if !is_ban(from, now) {
        return Problem::new(Kind::Unauthorized, "the token was revoked: sign in again");
    }
    let until =
        if from.as_second() == Timestamp::MAX.as_second() { String::new() } else { format!(" until {from}") };
    Problem::new(Kind::Forbidden, format!("this user is banned{until}"))
}
