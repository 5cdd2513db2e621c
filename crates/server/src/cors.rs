//! Pages of other origins (CORS): none by default, else exactly those that a setting names.

use std::{str::FromStr, sync::Arc};

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

/// What a page may send beside what every page may.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, last-event-id, x-request-id");
/// What a page may do.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// What a page may read beside what every page may.
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static("retry-after, x-request-id");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

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
    /// The origin of a request, if it is let in.
    fn of(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut sent = headers.get_all(header::ORIGIN).iter();
        let origin = sent.next().filter(|origin| self.0.contains(origin))?;
        sent.next().is_none().then(|| origin.clone())
    }

    /// The answer to a browser that asks beforehand; none if this is no such question, or not from
    /// an origin that is let in.
    pub(crate) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        let asks = method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        self.of(headers).filter(|_| asks)?;
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(response)
    }

    /// What every answer to a request with these headers says.
    pub(crate) fn dress(&self, asked: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        // Caches must not give one origin's answer to another.
        let mut says = vec![(header::VARY, HeaderValue::from_static("origin"))];
        if let Some(origin) = self.of(asked) {
            says.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
            says.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
            says.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS));
        }
        says
    }
}

#[cfg(test)]
mod tests {
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
    fn nobody_who_only_resembles_an_origin_is_let_in() {
        let origins: Origins = "https://app.example.com".parse().unwrap();
        let allowed = |origin: &str| {
            let headers = HeaderMap::from_iter([(header::ORIGIN, origin.parse().unwrap())]);
            origins.of(&headers).is_some()
        };
        assert!(allowed("https://app.example.com"));
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
            assert!(!allowed(other), "{other}");
        }
    }
}
