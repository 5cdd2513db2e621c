//! Where a request carries its token: the API reads the `Authorization` header and nothing else,
//! the stream also a cookie, since an EventSource cannot set a header.

use axum::extract::{FromRef, FromRequestParts};
use http::{HeaderMap, header, request::Parts};

use super::{Identity, Verdict, Verifier, cookie};
use crate::{
    clock::Clock,
    problem::{Kind, Problem},
};

/// When to come back while the identity provider's keys cannot be had, in seconds.
const RETRY_S: u32 = 10;

/// The identity behind a request to the API.
///
/// It never comes from a cookie, which a browser sends for any page that asks.
#[derive(Clone, Debug)]
pub struct Bearer(
    /// Whom the token speaks for.
    pub Identity,
);

impl<S: Send + Sync> FromRequestParts<S> for Bearer
where
    Verifier: FromRef<S>,
    Clock: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let token = token(&parts.headers)?;
        let now = Clock::from_ref(state).now();
        match Verifier::from_ref(state).verify(token, now).await {
            Verdict::Genuine(identity) => {
                tracing::Span::current().record("user.id", identity.user.as_str());
                Ok(Self(identity))
            }
            Verdict::Expired(_) => {
                Err(Problem::new(Kind::TokenExpired, "the token has expired: fetch a new one"))
            }
            Verdict::Refused(refusal) => {
                tracing::debug!("refused a token: {refusal}");
                Err(Problem::new(Kind::TokenInvalid, refusal.to_string()))
            }
            Verdict::Unknown => Err(Problem::passing(
                Kind::Unavailable,
                RETRY_S,
                "the identity provider's keys are not available: retry later",
            )),
        }
    }
}

/// The token in the one `Authorization` header, or what is wrong with it.
fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let malformed = || {
        let detail =
            "the request must have exactly one `Authorization` header, with the value `Bearer <token>`";
        Problem::new(Kind::TokenInvalid, detail)
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let missing = || {
        let detail = "the request has no token: send `Authorization: Bearer <token>`";
        Problem::new(Kind::TokenMissing, detail)
    };
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(malformed());
    }
    // The scheme's case does not matter (RFC 9110, section 11.1).
    match value.to_str().ok().and_then(|value| value.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && is_word(token) => Ok(token),
        // RFC 6750, section 3.1: a request with another scheme is told no error.
        Some((scheme, _)) if !scheme.eq_ignore_ascii_case("bearer") => Err(missing()),
        _ => Err(malformed()),
    }
}

fn is_word(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The token of a stream: the `Authorization` header before the cookie. It is not judged yet.
pub fn credentials(headers: &HeaderMap) -> Option<&str> {
    token(headers).ok().or_else(|| cookie::read(headers))
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, extract::Request, routing::get};
    use domain::ids::UserId;
    use http::HeaderValue;
    use http_body_util::BodyExt as _;
    use jiff::Timestamp;
    use tower::ServiceExt as _;

    use super::*;
    use crate::auth::{AuthConfig, mint::Minter};

    const NOW: i64 = 1_800_000_000;

    #[derive(Clone)]
    struct State {
        verifier: Verifier,
        clock: Clock,
    }

    impl FromRef<State> for Verifier {
        fn from_ref(state: &State) -> Self {
            state.verifier.clone()
        }
    }

    impl FromRef<State> for Clock {
        fn from_ref(state: &State) -> Self {
            state.clock.clone()
        }
    }

    fn config() -> AuthConfig {
        AuthConfig { secret: Some("0123456789abcdef0123456789abcdef".into()), ..AuthConfig::default() }
    }

    fn minted(at: i64) -> String {
        let alice = UserId::parse("alice").unwrap();
        let at = Timestamp::from_second(at).unwrap();
        Minter::new(&config()).unwrap().mint(&alice, std::time::Duration::from_secs(60), at)
    }

    async fn send(values: &[&str]) -> (u16, String) {
        let state = State {
            verifier: Verifier::new(&config()).unwrap(),
            clock: Clock::fixed(Timestamp::from_second(NOW).unwrap()),
        };
        let who = async |Bearer(identity): Bearer| identity.user.to_string();
        let app = Router::new().route("/", get(who)).with_state(state);
        let mut request = Request::new(Body::empty());
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append("authorization", value);
        }
        let response = app.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        assert!(status != 401 || response.headers()["www-authenticate"].as_bytes().starts_with(b"Bearer"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn a_genuine_token_names_its_user_whatever_the_case_of_the_scheme() {
        for scheme in ["Bearer", "bearer"] {
            let value = format!("{scheme} {}", minted(NOW));
            assert_eq!(send(&[&value]).await, (200, "alice".to_owned()));
        }
    }

    #[tokio::test]
    async fn each_way_to_fail_is_a_401_of_its_own_that_never_quotes_the_token() {
        let genuine = format!("Bearer {}", minted(NOW));
        let expired = format!("Bearer {}", minted(NOW - 3_600));
        let forged = genuine.replace(".e", ".f");
        for (values, kind, says) in [
            (&[][..], Kind::TokenMissing, "has no token"),
            (&["Bearer"][..], Kind::TokenInvalid, "exactly one"),
            (&["Bearer "][..], Kind::TokenInvalid, "exactly one"),
            (&["Bearer  a.b.c"][..], Kind::TokenInvalid, "exactly one"),
            (&["Bearer a.b c"][..], Kind::TokenInvalid, "exactly one"),
            (&["Basic YTpi"][..], Kind::TokenMissing, "has no token"),
            (&["Bearer ü"][..], Kind::TokenInvalid, "exactly one"),
            (&[genuine.as_str(), genuine.as_str()][..], Kind::TokenInvalid, "exactly one"),
            (&["Bearer a.b.c"][..], Kind::TokenInvalid, "is not a signed JWT"),
            (&[expired.as_str()][..], Kind::TokenExpired, "has expired"),
            (&[forged.as_str()][..], Kind::TokenInvalid, "signature is invalid"),
        ] {
            let (status, body) = send(values).await;
            assert_eq!(status, 401, "{values:?}");
            assert!(body.contains(says) && body.contains(kind.url()), "{values:?}: {body}");
            assert!(!body.contains("eyJ"), "{body}");
        }
    }

    #[test]
    fn a_stream_may_use_the_header_or_the_cookie_and_the_header_wins() {
        let mut headers = HeaderMap::new();
        assert_eq!(credentials(&headers), None);
        headers.insert("cookie", HeaderValue::from_static("a=b; __Host-runnel=c.o.o"));
        assert_eq!(credentials(&headers), Some("c.o.o"));
        headers.insert("authorization", HeaderValue::from_static("Basic YTpi"));
        assert_eq!(credentials(&headers), Some("c.o.o"));
        headers.insert("authorization", HeaderValue::from_static("Bearer h.e.a"));
        assert_eq!(credentials(&headers), Some("h.e.a"));
    }
}
