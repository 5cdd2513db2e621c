//! The authenticated caller of a route.

use axum::extract::{FromRef, FromRequestParts};
use domain::ids::UserId;
use http::request::Parts;
use server::{
    auth::{
        Identity, Verifier,
        acting::{USER_HEADER, acting},
        bearer::Bearer,
        revoked::revoked,
        scope::Scope,
    },
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
        let cutoff =
            table.revoking_cutoff(&identity.user, &identity.credential(), now).await.map_err(failed)?;
        if let Some(cutoff) = cutoff {
            return Err(revoked(&cutoff, now));
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
        if identity.via.is_some() {
            let detail = format!("this route names the user in its path: send it without `{USER_HEADER}`");
            return Err(Problem::new(Kind::UserNamedTwice, detail));
        }
        if !identity.scopes.has(Scope::Users) {
            let scope = Scope::Users.name();
            return Err(Problem::unscoped(scope, format!("the token needs the scope `{scope}`")));
        }
        Ok(Self(identity.user))
    }
}
