//! Pages of other origins (CORS): none by default, else exactly those that a setting names.

use std::{str::FromStr, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::CorsLayer;

/// What a page may send beside what every page may.
const REQUEST_HEADERS: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-request-id"),
];
/// What a page may do.
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
/// What a page may read beside what every page may.
const RESPONSE_HEADERS: [HeaderName; 7] = [
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
];
/// For how long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Settings for pages of other origins.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CorsArgs {
    /// Origins whose pages may use this service with the user's cookie: exact, separated by commas, such as
    /// `https://app.example.com`. Default: none. Prefer one origin for page and stream: Firefox does not reconnect a
    /// stream of another origin after a refused connection.
    #[arg(
        long,
        env = "RUNNEL_ALLOWED_ORIGINS",
        value_name = "ORIGINS",
        help_heading = "Other origins",
        default_value = "",
        hide_default_value = true
    )]
    pub allowed_origins: Origins,
}

/// The origins that are let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Arc<[HeaderValue]>);

/// The text is no list of origins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no origin: write what a browser sends, such as `https://app.example.com`")]
pub struct BadOrigin(String);

impl FromStr for Origins {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        texts
            .map(|text| origin(text).ok_or_else(|| BadOrigin(text.into())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// An origin just as a browser writes it: anything else would never be equal to one.
fn origin(text: &str) -> Option<HeaderValue> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let default_port = matches!((scheme, authority.port_u16()), ("https", Some(443)) | ("http", Some(80)));
    let exact = matches!(scheme, "http" | "https")
        && !default_port
        && !text.contains(['@', '*'])
        && text == format!("{scheme}://{authority}")
        && !text.contains(|c: char| c.is_ascii_uppercase());
    exact.then(|| text.parse().ok()).flatten()
}

impl Origins {
    /// Whether a page may use the cookie of whoever looks at it: one of this service's own, or of these origins. Without the
    /// headers of a browser there is no page.
    ///
    /// Cookies go by site and not by origin, so that the page of a sister host or of another port has them sent
    /// (RFC 6265bis, section 5.2). It may read nothing, but could hold all the streams that a user may have.
    pub(crate) fn may_use_cookie(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN);
        if origin.is_some_and(|origin| self.0.contains(origin)) {
            return true;
        }
        match headers.get("sec-fetch-site") {
            Some(site) => site == "same-origin",
            None => origin.is_none_or(|origin| is_own(origin, headers.get(header::HOST))),
        }
    }

    /// The layer that lets pages of these origins in; none if there are none.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let layer = CorsLayer::new()
            .allow_origin(self.0.to_vec())
            .allow_credentials(true)
            .allow_methods(METHODS)
            .allow_headers(REQUEST_HEADERS)
            .expose_headers(RESPONSE_HEADERS)
            .max_age(MAX_AGE)
            // Caches must not give one origin's answer to another.
            .vary([header::ORIGIN]);
        (!self.0.is_empty()).then_some(layer)
    }
}

fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let own = origin.as_bytes();
    let own = own.strip_prefix(b"https://").or_else(|| own.strip_prefix(b"http://"));
    own.is_some() && own == host.map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, routing::get};
    use http::Request;
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn origins_are_exact_or_refused_with_what_to_do() {
        let two: Origins = "https://app.example.com, http://localhost:5173".parse().unwrap();
        assert_eq!(two.0.len(), 2);
        assert_eq!("".parse(), Ok(Origins::default()));
        for bad in [
            "null",
            "*",
            "app.example.com",
            "https://*.example.com",
            "https://app.example.com/",
            "https://app.example.com:443",
            "https://App.example.com",
            "https://me@app.example.com",
            "ftp://app.example.com",
        ] {
            assert_eq!(bad.parse::<Origins>(), Err(BadOrigin(bad.into())), "{bad}");
        }
    }

    #[test]
    fn only_pages_of_this_service_and_of_named_origins_use_the_cookie() {
        let origins: Origins = "https://app.example.com".parse().unwrap();
        let may = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            origins.may_use_cookie(&pairs.collect())
        };
        let host = ("host", "chat.example.com");
        for good in [
            &[][..],
            &[host, ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "cross-site"), ("origin", "https://app.example.com")],
            &[host, ("origin", "https://app.example.com")],
            &[host, ("origin", "https://chat.example.com")],
        ] {
            assert!(may(good), "{good:?}");
        }
        for bad in [
            &[host, ("sec-fetch-site", "same-site")][..],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
            &[host, ("sec-fetch-site", "same-site"), ("origin", "https://blog.example.com")],
            &[host, ("origin", "https://chat.example.com:8443")],
            &[host, ("origin", "https://evil.example")],
            &[host, ("origin", "null")],
            &[("origin", "https://chat.example.com")],
        ] {
            assert!(!may(bad), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn nobody_who_only_resembles_an_origin_is_let_in() {
        let origins: Origins = "https://app.example.com".parse().unwrap();
        let router = crate::layers::wrap(Router::new().route("/", get(|| async {})), &origins);
        let allowed = async |origin: &str, method: Method| {
            let request = Request::builder().method(method).uri("/").header(header::ORIGIN, origin);
            let request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET").body(Body::empty());
            let response = router.clone().oneshot(request.unwrap()).await.unwrap();
            response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
        };
        for method in [Method::GET, Method::OPTIONS] {
            let app = "https://app.example.com";
            assert_eq!(allowed(app, method.clone()).await.unwrap(), app);
            for other in [
                "null",
                "",
                "https://evil.example",
                "http://app.example.com",
                "https://app.example.com:8443",
                "https://app.example.com.evil.example",
                "https://evil-app.example.com",
                "https://APP.example.com",
                "https://app.example.com/",
                "https://app.example.com, https://evil.example",
            ] {
                assert_eq!(allowed(other, method.clone()).await, None, "{method} {other}");
            }
        }
    }
}
