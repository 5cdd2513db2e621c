//! What a client is told when a request fails: an RFC 9457 problem with a stable `type`.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

pub use kind::Kind;

mod kind;

/// The media type of a problem (RFC 9457, section 3).
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A problem, as handlers return it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    instance: Option<String>,
    field: Option<String>,
    limit: Option<usize>,
    /// The scope that the token lacks.
    scope: Option<&'static str>,
    retry_after_s: Option<u32>,
}

/// A problem, as clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// The stable URL of the kind, which explains its cause and what to do.
    #[serde(rename = "type")]
    #[schema(
        format = "uri",
        example = "https://github.com/runnel-chat/runnel/blob/main/docs/PROBLEMS.md#not-found"
    )]
    url: &'static str,
    /// A few words, the same for every occurrence of the type.
    title: &'static str,
    /// The HTTP status, repeated.
    status: u16,
    /// What went wrong this time and what to do about it.
    detail: &'a str,
    /// This occurrence: `urn:runnel:request:` and the request id found in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    /// The field that is wrong, when it is one field: a path like `members[2]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The limit that was reached, when it is one that does not pass with time.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

impl Problem {
    /// A problem of `kind`; `detail` says what went wrong this time and what to do about it.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            instance: None,
            field: None,
            limit: None,
            scope: None,
            retry_after_s: None,
        }
    }

    /// A problem of `kind` that passes: the client retries after so many seconds.
    pub fn passing(kind: Kind, seconds: u32, detail: impl Into<String>) -> Self {
        Self { retry_after_s: Some(seconds), ..Self::new(kind, detail) }
    }

    /// Something is as large as it may be.
    pub fn full(kind: Kind, limit: usize, detail: impl Into<String>) -> Self {
        Self { limit: Some(limit), ..Self::new(kind, detail) }
    }

    /// The token lacks a scope (403).
    pub fn unscoped(scope: &'static str, detail: impl Into<String>) -> Self {
        Self { scope: Some(scope), ..Self::new(Kind::ScopeMissing, detail) }
    }

    /// A field with a wrong shape or value (422).
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail).about(field)
    }

    /// The same problem, because of one field.
    #[must_use]
    pub fn about(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// The one answer for what is absent and for what the caller may not know of.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "this resource does not exist, or you do not have access to it")
    }

    /// A fault of ours, without any of its insides: those belong in the log.
    pub fn internal() -> Self {
        Self::new(Kind::Internal, "an internal error occurred: find it in the server log by this `instance`")
    }

    /// The kind of problem.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The JSON document.
    pub(crate) fn json(&self) -> Vec<u8> {
        let body = ProblemBody {
            url: self.kind.url(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            instance: self.instance.as_deref(),
            field: self.field.as_deref(),
            limit: self.limit,
        };
        serde_json::to_vec(&body).expect("a struct of strings and numbers serializes")
    }

    /// Adds the headers that a problem of this kind has.
    fn describe(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.kind == Kind::UnsupportedMedia {
            // RFC 9110, section 15.5.16.
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }

    /// What `WWW-Authenticate` says, by RFC 6750, section 3.1. A request without a token is told no error.
    fn challenge(&self) -> Option<HeaderValue> {
        let title = self.kind.title();
        let challenge = match (self.kind, self.scope) {
            (Kind::TokenMissing, _) => "Bearer".to_owned(),
            (Kind::TokenInvalid | Kind::TokenExpired | Kind::TokenRevoked | Kind::TicketInvalid, _) => {
                format!(r#"Bearer error="invalid_token", error_description="{title}""#)
            }
            (Kind::ScopeMissing, Some(scope)) => {
                format!(r#"Bearer error="insufficient_scope", scope="{scope}""#)
            }
            _ => return None,
        };
        Some(HeaderValue::try_from(challenge).expect("titles and scopes are ASCII"))
    }

    /// The same problem as an occurrence in the request with this id.
    #[must_use]
    pub fn in_request(self, id: &str) -> Self {
        Self { instance: Some(format!("urn:runnel:request:{id}")), ..self }
    }
}

impl IntoResponse for Problem {
    /// The response carries the problem as an extension too, from which [`crate::layers::wrap`]
    /// renders it once more with its instance.
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), self.json()).into_response();
        self.describe(response.headers_mut());
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn json(response: Response) -> serde_json::Value {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn a_problem_is_what_the_rfc_says() {
        let response = Problem::invalid("text", "`text` is empty").in_request("abc").into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(
            json(response).await,
            serde_json::json!({
                "type": "https://github.com/runnel-chat/runnel/blob/main/docs/PROBLEMS.md#invalid",
                "title": "Invalid request",
                "status": 422,
                "detail": "`text` is empty",
                "instance": "urn:runnel:request:abc",
                "field": "text",
            })
        );
    }

    #[test]
    fn a_problem_of_credentials_names_the_scheme_and_the_error() {
        let challenge = |problem: Problem| {
            let response = problem.into_response();
            response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned())
        };
        let of = |kind| challenge(Problem::new(kind, "…"));
        assert_eq!(of(Kind::TokenMissing).unwrap(), "Bearer");
        let expired = r#"Bearer error="invalid_token", error_description="Expired token""#;
        assert_eq!(of(Kind::TokenExpired).unwrap(), expired);
        let unscoped = challenge(Problem::unscoped("runnel:act", "…"));
        assert_eq!(unscoped.unwrap(), r#"Bearer error="insufficient_scope", scope="runnel:act""#);
        for kind in Kind::ALL {
            assert!(kind.status() != StatusCode::UNAUTHORIZED || of(*kind).is_some(), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn a_problem_says_when_to_retry_which_limit_is_reached_and_which_media_are_accepted() {
        let response = Problem::passing(Kind::Unavailable, 7, "busy").into_response();
        assert_eq!(response.headers()["retry-after"], "7");
        let full = Problem::full(Kind::ThreadFull, 1_000, "full").into_response();
        assert_eq!(json(full).await["limit"], 1_000);
        let response = Problem::new(Kind::UnsupportedMedia, "text").into_response();
        assert_eq!(response.headers()["accept"], "application/json");
        assert_eq!(response.headers()["accept-encoding"], "identity");
    }
}
