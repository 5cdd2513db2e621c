//! Counts requests per user, and reports the remaining quota in two headers.
//!
//! The headers are those of draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4: `RateLimit-Policy` names what holds,
//! `RateLimit` what is left of it.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{
    extract::{FromRef, FromRequestParts, Request},
    middleware::Next,
    response::Response,
};
use domain::rate::{Class, Place, Usage};
use http::{HeaderMap, HeaderValue, request::Parts};
use jiff::Timestamp;
use server::{
    auth::{Identity, Verifier},
    clock::Clock,
    problem::{Kind, Problem},
};
use store::{rate::permit::Permit, table::Table};

use crate::caller::Caller;

/// A caller who is counted.
#[derive(Debug, Clone)]
pub struct Metered {
    /// Whom the token speaks for.
    pub identity: Identity,
    /// When they ask.
    pub now: Timestamp,
    table: Table,
    ledger: Ledger,
}

/// A caller who only reads: counted as such.
#[derive(Debug, Clone)]
pub struct Reader(
    /// Whom the token speaks for.
    pub Identity,
);

/// The permits that a request has asked for.
#[derive(Debug, Clone, Default)]
struct Ledger(Arc<Mutex<Vec<Permit>>>);

impl Metered {
    /// Asks to charge these weights in these classes.
    pub(crate) fn permit(&self, counts: &[(Class, u32)]) -> Permit {
        if !self.is_counted() {
            return Permit::default();
        }
        self.noted(self.table.permit(&self.identity.user, counts, self.now))
    }

    /// Charges one request of a class that each process counts for itself.
    ///
    /// # Errors
    /// The problem of one who is too fast.
    pub fn count(&self, class: Class) -> Result<(), Problem> {
        debug_assert!(!class.is_fleet_wide(), "a permit of the table is to be awaited");
        self.permit(&[(class, 1)]).refusal().map_or(Ok(()), |usage| Err(too_fast(usage)))
    }

    /// The same for what counts by place.
    pub fn count_in(&self, place: Place, class: Class) -> Result<(), Problem> {
        self.permit_in(place, class).refusal().map_or(Ok(()), |usage| Err(too_fast(usage)))
    }

    /// Asks to charge one request of a class that counts by place.
    pub(crate) fn permit_in(&self, place: Place, class: Class) -> Permit {
        if !self.is_counted() {
            return Permit::default();
        }
        self.noted(self.table.permit_in(&self.identity.user, place, class, self.now))
    }

    /// Whether the request counts. A service may act as often as it has to: its limits are those of the API.
    fn is_counted(&self) -> bool {
        self.identity.via.is_none()
    }

    fn noted(&self, permit: Permit) -> Permit {
        if let Ok(mut asked) = self.ledger.0.lock() {
            asked.push(permit.clone());
        }
        permit
    }
}

/// The problem of a user who has used up an allowance.
pub fn too_fast(usage: Usage) -> Problem {
    let Usage { policy, ends_in_s, .. } = usage;
    let (name, most, window_s) = (policy.name, policy.most, policy.window_s);
    let detail = format!(
        "you have used up the limit `{name}`, which is {most} in {window_s} s: try again in {ends_in_s} s, a write with the same `Idempotency-Key`"
    );
    Problem::passing(Kind::RateLimited, ends_in_s, detail)
}

/// Tells in the headers of an answer what its request has left to the user.
pub(crate) async fn tell(mut request: Request, next: Next) -> Response {
    let ledger = Ledger::default();
    request.extensions_mut().insert(ledger.clone());
    let mut response = next.run(request).await;
    if let Ok(permits) = ledger.0.lock() {
        write(response.headers_mut(), &permits.iter().flat_map(Permit::usages).collect::<Vec<_>>());
    }
    response
}

fn write(headers: &mut HeaderMap, usages: &[Usage]) {
    if usages.is_empty() {
        return;
    }
    let (mut policies, mut left) = (String::new(), String::new());
    for usage in usages {
        let (policy, comma) = (usage.policy, if policies.is_empty() { "" } else { ", " });
        let _ = write!(policies, r#"{comma}"{}";q={};w={}"#, policy.name, policy.most, policy.window_s);
        let _ = write!(left, r#"{comma}"{}";r={};t={}"#, policy.name, usage.left(), usage.ends_in_s);
    }
    for (name, value) in [("ratelimit-policy", policies), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Metered
where
    Verifier: FromRef<S>,
    Clock: FromRef<S>,
    Table: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(identity) = Caller::from_request_parts(parts, state).await?;
        let ledger = parts.extensions.get::<Ledger>().cloned().unwrap_or_default();
        Ok(Self { identity, now: Clock::from_ref(state).now(), table: Table::from_ref(state), ledger })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Reader
where
    Verifier: FromRef<S>,
    Clock: FromRef<S>,
    Table: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let metered = Metered::from_request_parts(parts, state).await?;
        metered.count(Class::Read)?;
        Ok(Self(metered.identity))
    }
}

#[cfg(test)]
mod tests {
    use domain::limits;

    use super::*;

    #[test]
    fn the_headers_name_each_policy_and_what_is_left_of_it() {
        let now = Timestamp::from_second(3_599).unwrap();
        let [minute, hour] = &limits::CREATIONS;
        let mut headers = HeaderMap::new();
        write(&mut headers, &[minute.usage(11, now), hour.usage(11, now)]);
        assert_eq!(headers["ratelimit-policy"], r#""create";q=10;w=60, "create-hour";q=60;w=3600"#);
        assert_eq!(headers["ratelimit"], r#""create";r=0;t=1, "create-hour";r=49;t=1"#);
    }
}
