//! What every request to both processes has in common: a write that runs to its end, a request id, a span,
//! an end to panics, and the headers that keep a browser from guessing.

use std::any::Any;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use domain::limits;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument as _, Span, field};

use crate::{
    cors::Origins,
    listener::takeover::Place,
    problem::{Kind, Problem},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What every answer tells a browser: guess no type, tell no other site where one came from, come by https, share neither
/// process nor answer with other origins, and leave the devices alone.
const FOR_BROWSERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];
/// Longest request id taken over from a client or a proxy, in bytes.
const REQUEST_ID_BYTES: usize = 64;

/// The name of this request in logs and problems, for handlers that want to pass it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's own `x-request-id` if it is a plain word, else 128 random bits.
    fn of(headers: &HeaderMap) -> Self {
        let plain = |id: &&HeaderValue| {
            let id = id.as_bytes();
            (1..=REQUEST_ID_BYTES).contains(&id.len())
                && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        };
        Self(headers.get(REQUEST_ID).filter(plain).cloned().unwrap_or_else(|| {
            let id = format!("{:032x}", rand::random::<u128>());
            HeaderValue::try_from(id).expect("hexadecimal digits are a header value")
        }))
    }

    /// The id as text, of `A-Z a-z 0-9 - _ .` only.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("only plain words become request ids")
    }
}

/// Wraps all routes that `router` has by now, its fallbacks too, in what all requests share.
///
/// A request that may write runs to its end, even if its client hangs up. Extensions of the request gain a
/// [`RequestId`]. Problems gain their `instance`. A handler that panics answers 500. Pages of `origins` are let in, and
/// answered before they ask; the cookie counts for no other page of another origin. Headers that a handler has set itself
/// are left alone.
pub fn wrap(router: Router, origins: &Origins) -> Router {
    let router = router.layer(CatchPanicLayer::custom(after_panic));
    let router = match origins.layer() {
        Some(cors) => router.layer(cors),
        None => router,
    };
    let router = router.layer(from_fn_with_state(origins.clone(), without_foreign_cookies));
    // From the inside, where the route is known: a span names `/v1/threads/{t}`, never an id.
    router.layer(from_fn(shared)).layer(from_fn(to_the_end))
}

/// Takes the cookie from requests of pages that may not use it. To a page of another site that is as if nobody was
/// signed in.
async fn without_foreign_cookies(
    State(origins): State<Origins>,
    mut request: Request,
    next: Next,
) -> Response {
    if !origins.may_use_cookie(request.headers()) {
        request.headers_mut().remove(header::COOKIE);
    }
    next.run(request).await
}

/// Runs what may write in a task of its own. When a client hangs up, hyper drops the future that answers it. A
/// write that ended there could be in the log, and nobody would be told of it until a sweep.
///
/// The task keeps the place of its connection. So clients that hang up cannot start more writes at once than
/// there may be connections, and a process that stops waits for the writes too. It ends after
/// [`limits::WRITE_LIFE`], as a process that dies would end it.
async fn to_the_end(mut request: Request, next: Next) -> Response {
    // Their methods promise that there is nothing to be kept from (RFC 9110, section 9.2.1).
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let place = request.extensions_mut().remove::<Place>();
    let writing = async move {
        let response = next.run(request).await;
        drop(place);
        response
    };
    // Nobody waits for this tracker: a process that stops waits for the places.
    let answering = TaskTracker::new().spawn(timeout(limits::WRITE_LIFE, writing).in_current_span());
    match answering.await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::warn!(
                "a write has not ended within {} s, and is given up",
                limits::WRITE_LIFE.as_secs()
            );
            let detail = "the request took too long: retry with the same `Idempotency-Key`";
            Problem::passing(Kind::Unavailable, 1, detail).into_response()
        }
        // A panic is answered inside. What is left is the end of the process.
        Err(_) => Problem::internal().into_response(),
    }
}

async fn shared(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        request.id = id.as_str(),
        request.method = %request.method(),
        request.route = route,
        user.id = field::Empty,
        user.via = field::Empty,
        response.status = field::Empty,
    );
    request.extensions_mut().insert(id.clone());
    let response = next.run(request).instrument(span.clone()).await;
    finish(&span, &id, response)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer gives it away")]
fn after_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!("a handler panicked: {}", text.unwrap_or("no message"));
    Problem::internal().into_response()
}

fn finish(span: &Span, id: &RequestId, mut response: Response) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = fill(response, &problem.in_request(id.as_str()));
    }
    let status = response.status();
    span.record("response.status", status.as_u16());
    span.in_scope(|| {
        if status.is_server_error() {
            tracing::warn!("answered {status}");
        } else {
            tracing::debug!("answered {status}");
        }
    });
    dress(response.headers_mut(), &id.0);
    response
}

/// The problem rendered anew; status and headers, which inner layers may have added to, stay.
fn fill(response: Response, problem: &Problem) -> Response {
    let (mut parts, _) = response.into_parts();
    // The length is that of the old body.
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, problem.json().into())
}

fn dress(headers: &mut HeaderMap, id: &HeaderValue) {
    let mut default = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    for (name, value) in FOR_BROWSERS {
        default(name, value);
    }
    if headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        let mut default = |name: HeaderName, value: &'static str| {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        };
        // JSON opened as a page by hand must be able to do nothing, and no proxy may keep it.
        default(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
        default(header::CACHE_CONTROL, "no-store");
    }
    headers.insert(REQUEST_ID, id.clone());
}

fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes();
    kind.starts_with(b"application/json") || kind.starts_with(b"application/problem+json")
}

#[cfg(test)]
mod tests {
    use axum::{Extension, body::Body, routing::get};
    use http::StatusCode;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::json;

    async fn panics() -> StatusCode {
        panic!("on purpose")
    }

    fn app() -> Router {
        let page = || async { ([(header::CONTENT_SECURITY_POLICY, "default-src 'self'")], "<p>") };
        wrap(
            Router::new()
                .route("/ok", get(|| async { axum::Json(1) }))
                .route("/page", get(page))
                .route("/missing", get(|| async { Problem::not_found() }))
                .route("/panics", get(panics))
                .route("/id", get(async |Extension(id): Extension<RequestId>| id.as_str().to_owned()))
                .fallback(json::no_such_route)
                .method_not_allowed_fallback(json::no_such_method),
            &"https://app.example.com".parse().unwrap(),
        )
    }

    async fn send(request: http::request::Builder) -> (http::response::Parts, String) {
        let response = app().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn a_plain_request_id_is_taken_over_and_echoed() {
        let (parts, body) = send(Request::get("/id").header("x-request-id", "Root-1.a_b")).await;
        assert_eq!(parts.headers["x-request-id"], "Root-1.a_b");
        assert_eq!(body, "Root-1.a_b");
    }

    #[tokio::test]
    async fn any_other_request_id_is_replaced() {
        for bad in ["", "a b", "a\"b", "ü", &"x".repeat(65)] {
            let (parts, _) = send(Request::get("/ok").header("x-request-id", bad)).await;
            assert_eq!(parts.headers["x-request-id"].len(), 32, "{bad}");
        }
        let (first, _) = send(Request::get("/ok")).await;
        let (second, _) = send(Request::get("/ok")).await;
        assert_ne!(first.headers["x-request-id"], second.headers["x-request-id"]);
    }

    #[tokio::test]
    async fn problems_of_handlers_fallbacks_and_panics_carry_the_instance() {
        for (path, status) in [("/missing", 404), ("/nowhere", 404), ("/panics", 500)] {
            let (parts, body) = send(Request::get(path).header("x-request-id", "r1")).await;
            assert_eq!(parts.status, status, "{path}");
            assert_eq!(parts.headers["content-type"], "application/problem+json");
            assert_eq!(parts.headers["cache-control"], "no-store");
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["instance"], "urn:runnel:request:r1", "{path}");
        }
    }

    #[tokio::test]
    async fn a_405_keeps_its_allow_and_a_length_that_fits() {
        let (parts, body) = send(Request::delete("/ok")).await;
        assert_eq!(parts.headers["allow"], "GET,HEAD");
        let length = parts.headers.get("content-length").map(|v| v.to_str().unwrap().to_owned());
        assert!(length.is_none_or(|length| length == body.len().to_string()));
        assert!(body.contains("urn:runnel:request:"));
    }

    #[tokio::test]
    async fn a_panic_says_nothing_of_its_inside() {
        let (_, body) = send(Request::get("/panics")).await;
        assert!(!body.contains("on purpose"), "{body}");
    }

    #[tokio::test]
    async fn json_may_do_nothing_and_a_page_keeps_its_own_policy() {
        let (parts, _) = send(Request::get("/ok")).await;
        let policy = "default-src 'none'; frame-ancestors 'none'";
        assert_eq!(parts.headers["content-security-policy"], policy);
        for (name, value) in FOR_BROWSERS {
            assert_eq!(parts.headers[name], value);
        }
        assert_eq!(parts.headers["cache-control"], "no-store");
        let (parts, _) = send(Request::get("/page")).await;
        assert_eq!(parts.headers["content-security-policy"], "default-src 'self'");
        assert_eq!(parts.headers["x-content-type-options"], "nosniff");
        assert!(!parts.headers.contains_key("cache-control"));
    }
}
