//! Extractors whose refusals are problems, and the two fallbacks of a router.
//!
//! Malformed JSON is 400; JSON of a wrong shape is 422 and names the field. A path that names
//! nothing is 404, since an id of the wrong form names nothing either.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, FromRequestParts, Request},
};
use domain::limits;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::problem::{Kind, Problem};

/// How long a body may take to arrive: 33 KiB on the worst mobile line, and an end to slow bodies.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A parser's message may quote the input; this much of it is enough to understand, in bytes.
const QUOTE_BYTES: usize = 200;

/// A JSON body of type `T`, at most [`limits::BODY_BYTES`] long.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(
    /// The value that was sent.
    pub T,
);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                Kind::UnsupportedMedia,
                "send the body as `Content-Type: application/json`",
            ));
        }
        // What is announced as too large is refused before any of it is read.
        if request.body().size_hint().lower() > limits::BODY_BYTES as u64 {
            return Err(too_large());
        }
        let bytes = tokio::time::timeout(BODY_TIMEOUT, read(request.into_body()))
            .await
            .map_err(|_| Problem::new(Kind::Timeout, "the body did not arrive within 10 s"))??;
        parse(&bytes).map(Self)
    }
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    match Limited::new(body, limits::BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::new(Kind::BadRequest, "the body broke off")),
    }
}

fn too_large() -> Problem {
    let limit = limits::BODY_BYTES;
    Problem::new(Kind::TooLarge, format!("a body may have at most {limit} bytes"))
}

/// Whether the one content type is `application/json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Reads one JSON object of type `T` and nothing behind it.
///
/// # Errors
/// A 400 that names the position, or a 422 that names the field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde takes an array for a struct, field by field; no document of ours says so.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| malformed(&error))?;
        return Err(Problem::new(Kind::Invalid, "the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() { wrong_shape(&field, &error) } else { malformed(&error) }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::BadRequest, format!("the body is not JSON: {}", quote(&error.to_string())))
}

fn wrong_shape(field: &str, error: &serde_json::Error) -> Problem {
    let detail = quote(&error.to_string());
    // "." is the body itself, "?" a place without a name.
    if matches!(field, "." | "?") {
        Problem::new(Kind::Invalid, detail)
    } else {
        Problem::invalid(quote(field), detail)
    }
}

fn quote(text: &str) -> String {
    let end = text.floor_char_boundary(QUOTE_BYTES);
    if end == text.len() { text.to_owned() } else { format!("{}…", &text[..end]) }
}

/// Path parameters of type `T`; those that do not parse name nothing (404).
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(
    /// The parameters.
    pub T,
);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status().is_server_error() => {
                tracing::error!("a route and its path parameters do not fit: {rejection}");
                Err(Problem::internal())
            }
            Err(_) => Err(Problem::not_found()),
        }
    }
}

/// Query parameters of type `T`; those that do not parse are a 422.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(
    /// The parameters.
    pub T,
);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| Problem::new(Kind::Invalid, quote(&rejection.body_text())))
    }
}

/// The fallback of a router: no such route. A handler, which has nothing to wait for.
pub fn no_such_route() -> Ready<Problem> {
    ready(Problem::new(Kind::NotFound, "no such route; see /v1/openapi.json"))
}

/// The method fallback of a router: the route exists, the method does not. axum adds `Allow`.
pub fn no_such_method() -> Ready<Problem> {
    ready(Problem::new(Kind::MethodNotAllowed, "this route has no such method; `Allow` lists those it has"))
}

#[cfg(test)]
mod tests;
