//! Extractors whose refusals are problems, and the two fallbacks of a router.
//!
//! Malformed JSON is 400; JSON of a wrong shape is 422 and names the field. A path that names
//! nothing is 404, since an id of the wrong form names nothing either.

use std::{
    error::Error as _,
    future::{Ready, ready},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request, rejection::QueryRejection},
};
use domain::limits;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::problem::{Kind, Problem};

/// How long a body may take to arrive: 40 KiB on the worst mobile line, and an end to slow bodies.
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
            return Err(not_json());
        }
        let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let detail = "the body must be sent without `Content-Encoding`";
            return Err(Problem::new(Kind::UnsupportedMedia, detail));
        }
        // What is announced as too large is refused before any of it is read.
        if request.body().size_hint().lower() > limits::BODY_BYTES as u64 {
            return Err(too_large());
        }
        parse(&timely(request.into_body()).await?).map(Self)
    }
}

/// No body at all is none. A content type alone makes no body.
impl<T: DeserializeOwned, S: Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        if request.body().is_end_stream() {
            return Ok(None);
        }
        if is_json(request.headers()) {
            return <Self as FromRequest<S>>::from_request(request, state).await.map(Some);
        }
        // A body in chunks may turn out to be empty.
        match timely(request.into_body()).await?.as_slice() {
            [] => Ok(None),
            _ => Err(not_json()),
        }
    }
}

fn not_json() -> Problem {
    Problem::new(Kind::UnsupportedMedia, "the body must be sent with `Content-Type: application/json`")
}

async fn timely(body: Body) -> Result<Vec<u8>, Problem> {
    tokio::time::timeout(BODY_TIMEOUT, read(body))
        .await
        .map_err(|_| Problem::new(Kind::Timeout, "the body did not arrive within 10 s: retry"))?
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    match Limited::new(body, limits::BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::new(Kind::BadRequest, "the body is incomplete: retry")),
    }
}

fn too_large() -> Problem {
    let limit = limits::BODY_BYTES;
    Problem::new(Kind::TooLarge, format!("the body must not exceed {limit} bytes"))
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
    let detail = format!("the body cannot be read as JSON: {}", quote(&error.to_string()));
    Problem::new(Kind::BadRequest, detail)
}

fn wrong_shape(path: &str, error: &serde_json::Error) -> Problem {
    let message = without_position(error);
    // "." is the body itself, "?" a value without a name.
    if matches!(path, "." | "?") {
        return Problem::new(Kind::Invalid, quote(&message));
    }
    let field = quote(path);
    let detail = explain(&field, &message);
    Problem::invalid(field, detail)
}

/// serde's message without its position: the path of the field is clearer to a person.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(position.as_str()).unwrap_or(&text).to_owned()
}

/// Describes what is wrong with the value of `field`, without serde's terms.
fn explain(field: &str, message: &str) -> String {
    let wrong_value = ["invalid type: ", "invalid value: ", "unknown variant "];
    // Split at the last one: the message quotes the client's value before it.
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if wrong_value.iter().any(|start| message.starts_with(*start)) => {
            format!("`{field}` must be {}", json_name(expected))
        }
        // This message names the field itself.
        _ if message.starts_with("unknown field ") => quote(message),
        _ => format!("`{field}`: {}", quote(message)),
    }
}

/// The JSON name of a type that serde expects: clients do not know Rust types.
fn json_name(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a map" => "an object",
        "a boolean" => "`true` or `false`",
        "u64" | "usize" => "a whole number, 0 or more",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
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
            .map_err(|rejection| bad_query(&rejection))
    }
}

fn bad_query(rejection: &QueryRejection) -> Problem {
    // The cause names the parameter. axum's own sentence only adds "deserialize".
    let reason = rejection.source().map_or_else(|| rejection.body_text(), |cause| cause.to_string());
    Problem::new(Kind::Invalid, format!("the query string is invalid: {}", quote(&reason)))
}

/// The fallback of a router: no such route. A handler, which has nothing to wait for.
pub fn no_such_route() -> Ready<Problem> {
    ready(Problem::new(
        Kind::NotFound,
        "this route does not exist: `GET /v1/openapi.json` of the API lists all routes",
    ))
}

/// The method fallback of a router: the route exists, the method does not. axum adds `Allow`.
pub fn no_such_method() -> Ready<Problem> {
    ready(Problem::new(
        Kind::MethodNotAllowed,
        "this route does not support this method: the `Allow` header lists the supported ones",
    ))
}

#[cfg(test)]
mod tests;
