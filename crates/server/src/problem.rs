//! What a client is told when a request fails: an RFC 9457 problem with a stable `type`.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem (RFC 9457, section 3).
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Everything that can go wrong with a request, as far as a client would act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400: the request cannot be read at all.
    BadRequest,
    /// 401: no credentials, or none that count.
    Unauthorized,
    /// 403: the credentials count, but not for this.
    Forbidden,
    /// 403: the sender may no longer write to this direct thread.
    ThreadClosed,
    /// 404: no such thing, or none that the caller may know of.
    NotFound,
    /// 405: the thing exists, the method does not.
    MethodNotAllowed,
    /// 408: the body came too slowly.
    Timeout,
    /// 409: the thing has changed meanwhile.
    Conflict,
    /// 413: the body or a part of it is too large.
    TooLarge,
    /// 415: the body is not `application/json`.
    UnsupportedMedia,
    /// 422: readable, but a field has a wrong shape or value.
    Invalid,
    /// 422: the `Idempotency-Key` belongs to another request.
    KeyReused,
    /// 429: too many at once; come back after this many seconds.
    TooMany(u32),
    /// 429: the user has used up an allowance; come back after this many seconds.
    RateLimited(u32),
    /// 500: a fault of ours.
    Internal,
    /// 503: not now; come back after this many seconds. Nothing is lost by repeating.
    Unavailable(u32),
}

impl Kind {
    /// Every kind, for documents and tests.
    pub const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::ThreadClosed,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::Invalid,
        Self::KeyReused,
        Self::TooMany(1),
        Self::RateLimited(1),
        Self::Internal,
        Self::Unavailable(1),
    ];

    /// The status, the stable `type` and the title, all on one page.
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadRequest => (S::BAD_REQUEST, "urn:runnel:problem:bad-request", "Bad request"),
            Self::Unauthorized => (S::UNAUTHORIZED, "urn:runnel:problem:unauthorized", "Not authenticated"),
            Self::Forbidden => (S::FORBIDDEN, "urn:runnel:problem:forbidden", "Not allowed"),
            Self::ThreadClosed => (S::FORBIDDEN, "urn:runnel:problem:thread-closed", "Thread closed"),
            Self::NotFound => (S::NOT_FOUND, "urn:runnel:problem:not-found", "Not found"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "urn:runnel:problem:method-not-allowed", "Method not allowed")
            }
            Self::Timeout => (S::REQUEST_TIMEOUT, "urn:runnel:problem:timeout", "Request took too long"),
            Self::Conflict => (S::CONFLICT, "urn:runnel:problem:conflict", "Conflict"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "urn:runnel:problem:too-large", "Too large"),
            Self::UnsupportedMedia => {
                (S::UNSUPPORTED_MEDIA_TYPE, "urn:runnel:problem:unsupported-media", "Unsupported media type")
            }
            Self::Invalid => (S::UNPROCESSABLE_ENTITY, "urn:runnel:problem:invalid", "Invalid request"),
            Self::KeyReused => {
                (S::UNPROCESSABLE_ENTITY, "urn:runnel:problem:key-reused", "Idempotency key already used")
            }
            Self::TooMany(_) => (S::TOO_MANY_REQUESTS, "urn:runnel:problem:too-many", "Too many requests"),
            Self::RateLimited(_) => {
                (S::TOO_MANY_REQUESTS, "urn:runnel:problem:rate-limited", "Too many requests of one user")
            }
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "urn:runnel:problem:internal", "Internal error"),
            Self::Unavailable(_) => (S::SERVICE_UNAVAILABLE, "urn:runnel:problem:unavailable", "Unavailable"),
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// The stable URN by which clients and documents know this kind.
    pub fn urn(self) -> &'static str {
        self.row().1
    }

    /// A few words for people, the same for every occurrence.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    fn retry_after_s(self) -> Option<u32> {
        match self {
            Self::TooMany(s) | Self::RateLimited(s) | Self::Unavailable(s) => Some(s),
            _ => None,
        }
    }
}

/// A problem, both as a value that handlers return and as the JSON that clients read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The stable URN of the kind, `urn:runnel:problem:…`.
    #[serde(rename = "type")]
    urn: &'static str,
    /// A few words, the same for every occurrence of the type.
    title: &'static str,
    /// The HTTP status, repeated.
    status: u16,
    /// What went wrong this time and what to do about it.
    detail: String,
    /// This occurrence: `urn:runnel:request:` and the request id found in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// The field that is wrong, when it is one field: a path like `members[2]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip)]
    #[schema(ignore)]
    kind: Kind,
}

impl Problem {
    /// A problem of `kind`; `detail` says what went wrong this time and what to do about it.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            urn: kind.urn(),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            instance: None,
            field: None,
            kind,
        }
    }

    /// A field with a wrong shape or value (422).
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Kind::Invalid, detail) }
    }

    /// The one answer for what is absent and for what the caller may not know of.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "this resource does not exist, or you do not have access to it")
    }

    /// A fault of ours, without any of its insides: those belong in the log.
    pub fn internal() -> Self {
        Self::new(Kind::Internal, "an internal error occurred: find it in the server log by this `instance`")
    }

    /// What went wrong, as far as a client would act differently.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The JSON document.
    pub(crate) fn body(&self) -> Body {
        serde_json::to_vec(self).expect("a struct of strings and a number serializes").into()
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
        let mut response = (self.kind.status(), self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.kind.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
                "type": "urn:runnel:problem:invalid",
                "title": "Invalid request",
                "status": 422,
                "detail": "`text` is empty",
                "instance": "urn:runnel:request:abc",
                "field": "text",
            })
        );
    }

    #[test]
    fn every_kind_has_a_type_of_its_own() {
        let urns: HashSet<_> = Kind::ALL.iter().map(|kind| kind.urn()).collect();
        assert_eq!(urns.len(), Kind::ALL.len());
    }

    #[test]
    fn a_401_names_the_scheme_and_a_503_the_time() {
        let response = Problem::new(Kind::Unauthorized, "no token").into_response();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let response = Problem::new(Kind::Unavailable(7), "busy").into_response();
        assert_eq!(response.headers()["retry-after"], "7");
    }
}
