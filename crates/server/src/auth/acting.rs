//! A service acts for a user: the request names the user in a header.

use domain::{ids::UserId, limits};
use http::HeaderMap;
use jiff::Timestamp;
use mistakes::mistake;

use super::{
    Identity,
    scope::{Scope, Scopes},
};
use crate::problem::{Kind, Problem};

/// The header that names the user for whom a service acts.
pub const USER_HEADER: &str = "runnel-user";

/// The identity that a request acts with: that of its token, or the user whom it names.
///
/// What is done for a user counts as done now, and a stream that is opened for a user ends after [`limits::ACTED_LIFE`]:
/// no stream knows whose token has opened it.
///
/// # Errors
/// 400 for a header without a user id, and 403 for a token without [`Scope::Act`].
pub fn acting(headers: &HeaderMap, identity: Identity, now: Timestamp) -> Result<Identity, Problem> {
    let mut named = headers.get_all(USER_HEADER).iter();
    let Some(name) = named.next() else { return Ok(identity) };
    if !identity.scopes.has(Scope::Act) && !mistake!(UserActs) {
        let scope = Scope::Act.name();
        let detail = format!("a token needs the scope `{scope}` to act for the user in `Runnel-User`");
        return Err(Problem::unscoped(scope, detail));
    }
    let user =
        name.to_str().ok().and_then(|name| UserId::parse(name).ok()).filter(|_| named.next().is_none());
    let detail =
        "`Runnel-User` must be one user id of 1 to 128 characters from a–z, A–Z, 0–9 and _ . @ | : + = ~ -";
    let user = user.ok_or_else(|| Problem::new(Kind::BadRequest, detail))?;
    let expires_at = identity.expires_at.min(now + limits::ACTED_LIFE);
    // The rights of a service are not those of the user for whom it acts.
    let scopes = Scopes::default();
    Ok(Identity { user, issued_at: now, expires_at, session: None, scopes, via: Some(identity.user) })
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_service_acts_for_the_one_user_that_it_names() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let user = |name: &str| UserId::parse(name).unwrap();
        let token = |scopes: &[&str]| Identity {
            user: user("backend"),
            issued_at: Timestamp::UNIX_EPOCH,
            expires_at: now,
            session: None,
            scopes: scopes.iter().copied().collect(),
            via: None,
        };
        let asked = |scopes: &[&str], names: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.append(USER_HEADER, HeaderValue::from_static(name));
            }
            acting(&headers, token(scopes), now)
        };
        assert_eq!(asked(&["runnel:act"], &[]).unwrap(), token(&["runnel:act"]));
        let acted = asked(&["runnel:act"], &["alice"]).unwrap();
        assert_eq!((acted.user, acted.via, acted.issued_at), (user("alice"), Some(user("backend")), now));
        assert!(!acted.scopes.are_any());
        for (scopes, names, status) in [
            (&[][..], &["alice"][..], 403),
            (&["runnel:users"], &["alice"], 403),
            (&["runnel:users"], &["backend"], 403),
            (&["runnel:act"], &[""], 400),
            (&["runnel:act"], &["a/b"], 400),
            (&["runnel:act"], &["alice", "bob"], 400),
        ] {
            assert_eq!(
                asked(scopes, names).unwrap_err().into_response().status(),
                status,
                "{scopes:?} {names:?}"
            );
        }
    }
}
