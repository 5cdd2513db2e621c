use axum::{
    Router,
    routing::{get, post},
};
use domain::ids::UserId;
use http::StatusCode;
use serde::Deserialize;
use tower::ServiceExt as _;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    text: String,
    #[serde(default)]
    tags: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the types of its fields matter")]
struct Letter {
    to: Vec<UserId>,
    about: About,
    speed: Speed,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only the types of its fields matter")]
struct About {
    number: u64,
    urgent: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speed {
    Fast,
    Slow,
}

/// The problem with a body that is no letter.
fn refused(body: &str) -> serde_json::Value {
    serde_json::from_slice(&parse::<Letter>(body.as_bytes()).unwrap_err().json()).unwrap()
}

async fn echo(Json(message): Json<Message>) -> String {
    format!("{}{:?}", message.text, message.tags)
}

fn app() -> Router {
    Router::new()
        .route("/", post(echo))
        .route("/n/{n}", get(async |Path(n): Path<u8>| n.to_string()))
        .route("/q", get(async |Query(q): Query<Vec<(String, u8)>>| format!("{q:?}")))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
}

async fn send(request: http::request::Builder, body: impl Into<Body>) -> (StatusCode, String) {
    let response = app().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.into()).unwrap())
}

async fn post_json(body: impl Into<Body>) -> (StatusCode, String) {
    send(Request::post("/").header("content-type", "application/json"), body).await
}

#[tokio::test]
async fn a_good_body_is_read() {
    let request = Request::post("/").header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(send(request, r#"{"text":"hi"}"#).await, (StatusCode::OK, "hi[]".to_owned()));
}

#[tokio::test]
async fn another_content_type_is_415() {
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let request = Request::post("/").header("content-type", kind);
        assert_eq!(send(request, r#"{"text":"hi"}"#).await.0, 415, "{kind}");
    }
    assert_eq!(send(Request::post("/"), r#"{"text":"hi"}"#).await.0, 415);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let large = "x".repeat(limits::BODY_BYTES + 1);
    assert_eq!(post_json(large.clone()).await.0, 413);
    let chunks = large.into_bytes().chunks(1024).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let stream = futures_util::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
    assert_eq!(post_json(Body::from_stream(stream)).await.0, 413);
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_read() {
    let mut body = r#"{"text":"hi"}"#.to_owned();
    body.extend(std::iter::repeat_n(' ', limits::BODY_BYTES - body.len()));
    assert_eq!(post_json(body).await.0, 200);
}

#[tokio::test]
async fn what_is_not_json_is_400_with_the_position() {
    for bad in ["", "{", r#"{"text":"hi"} x"#, "{\"text\":\"\u{1}\"}", "nul", "[1,2"] {
        let (status, body) = post_json(bad).await;
        assert_eq!(status, 400, "{bad}");
        assert!(body.contains("line 1 column"), "{body}");
    }
    assert_eq!(post_json(b"{\"text\":\"\xff\"}".to_vec()).await.0, 400);
}

#[tokio::test]
async fn a_wrong_shape_is_422_and_names_the_field() {
    for (bad, field) in [
        (r#"{"text":1}"#, r#""field":"text""#),
        (r#"{"text":"hi","tags":[1,300]}"#, r#""field":"tags[1]""#),
        (r#"{"text":"hi","x":1}"#, "unknown field `x`"),
        (r#"{"text":"hi","text":"ho"}"#, "duplicate field `text`"),
        ("{}", "missing field `text`"),
        ("[\"hi\"]", "must be a JSON object"),
        ("null", "must be a JSON object"),
    ] {
        let (status, body) = post_json(bad).await;
        assert_eq!(status, 422, "{bad}: {body}");
        assert!(body.contains(field), "{bad}: {body}");
    }
}

#[test]
fn a_wrong_value_is_named_by_its_path_and_by_what_it_must_be() {
    let name = "`to[1]`: a user name must have 1 to 128 characters from a–z, A–Z, 0–9 and _ . @ | : + = ~ -";
    for (body, field, detail) in [
        (r#"{"to":"bob"}"#, "to", "`to` must be a list"),
        (r#"{"to":", expected 1 at line 1 column 1"}"#, "to", "`to` must be a list"),
        (r#"{"to":["bob",7]}"#, "to[1]", "`to[1]` must be a string"),
        (r#"{"to":["bob","a b"]}"#, "to[1]", name),
        (r#"{"about":1}"#, "about", "`about` must be an object"),
        (r#"{"about":{"number":-1}}"#, "about.number", "`about.number` must be a whole number, 0 or more"),
        (r#"{"about":{"number":null}}"#, "about.number", "`about.number` must be a whole number, 0 or more"),
        (r#"{"about":{"urgent":"yes"}}"#, "about.urgent", "`about.urgent` must be `true` or `false`"),
        (r#"{"about":{"number":1}}"#, "about", "`about`: missing field `urgent`"),
        (r#"{"speed":"slowly"}"#, "speed", "`speed` must be `fast` or `slow`"),
    ] {
        let problem = refused(body);
        assert_eq!(problem["field"], field, "{body}");
        assert_eq!(problem["detail"], detail, "{body}");
        assert_eq!(problem["status"], 422, "{body}");
    }
}

#[test]
fn what_is_sent_may_look_like_a_position() {
    let problem = refused(r#"{"x at line 1 column 1":1}"#);
    assert_eq!(problem["field"], "x at line 1 column 1");
    let detail = "unknown field `x at line 1 column 1`, expected one of `to`, `about`, `speed`";
    assert_eq!(problem["detail"], detail);
}

#[test]
fn a_value_however_long_is_no_part_of_the_problem() {
    let problem = refused(&format!(r#"{{"to":"{}"}}"#, "x".repeat(5_000)));
    assert_eq!(problem["detail"], "`to` must be a list");
}

#[test]
fn malformed_json_is_told_by_its_position() {
    let problem = refused("{\"to\":\n[\"bob\"");
    assert_eq!(problem["status"], 400);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("the body cannot be read as JSON: "), "{detail}");
    assert!(detail.contains(" at line 2 column "), "{detail}");
}

#[tokio::test]
async fn deep_nesting_is_refused_and_not_recursed_into() {
    let deep = format!(r#"{{"text":{}"#, "[".repeat(30_000));
    let status = post_json(deep).await.0;
    assert!(status.is_client_error(), "{status}");
}

#[tokio::test]
async fn a_problem_quotes_little_of_the_body() {
    let (status, body) = post_json(format!(r#"{{"{}":1}}"#, "é".repeat(5_000))).await;
    assert_eq!(status, 422);
    assert!(body.len() < 1_000, "{}", body.len());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_408() {
    let never = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    assert_eq!(post_json(never).await.0, 408);
}

#[tokio::test]
async fn a_compressed_body_is_refused_as_such() {
    let of = |coding: &str| {
        let request = Request::post("/").header("content-type", "application/json");
        request.header("content-encoding", coding)
    };
    assert_eq!(send(of("gzip"), "{}").await.0, 415);
    assert_eq!(send(of("identity").header("content-encoding", "gzip"), "{}").await.0, 415);
    assert_ne!(send(of("Identity"), "{}").await.0, 415);
}

#[tokio::test]
async fn a_path_that_names_nothing_is_404() {
    assert_eq!(send(Request::get("/n/7"), "").await, (StatusCode::OK, "7".to_owned()));
    for path in ["/n/x", "/n/%ff", "/n/999", "/none"] {
        let (status, body) = send(Request::get(path), "").await;
        assert_eq!(status, 404, "{path}");
        assert!(body.contains(Kind::NotFound.url()), "{body}");
    }
}

#[tokio::test]
async fn a_bad_query_is_422() {
    assert_eq!(send(Request::get("/q?a=1"), "").await.0, 200);
    let (status, body) = send(Request::get("/q?a=x"), "").await;
    assert_eq!(status, 422);
    assert!(body.contains("the query string is invalid: "), "{body}");
    assert!(!body.contains("deserialize"), "{body}");
}

#[tokio::test]
async fn a_wrong_method_is_405_and_lists_the_right_ones() {
    let request = Request::delete("/").body(Body::empty()).unwrap();
    let response = app().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}
