//! Requests that no client sends: each gets one refusal, and nothing behind it is read as a request.

use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};
use sse_edge::config::Topology;
use tests::{raw::Raw, world::World};

/// Sent at a time.
const AT_ONCE: usize = 16;

/// A request, by what is odd in it, and the statuses that may answer it.
struct Case {
    what: String,
    bytes: Vec<u8>,
    statuses: &'static [u16],
}

const BAD: &[u16] = &[400];
const UNKNOWN: &[u16] = &[401];
const NOWHERE: &[u16] = &[404];
const UNSUPPORTED: &[u16] = &[415];
const WRONG: &[u16] = &[400, 422];
/// Where hyper reads chunks in spite of a length, it closes behind them.
const ONCE: &[u16] = &[201, 400];

/// The cases of one world: `token` is a member's, and `thread` the member's.
fn cases(token: &str, thread: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>, statuses: &'static [u16]| {
        cases.push(Case { what: what.to_owned(), bytes, statuses });
    };
    let auth = format!("authorization: Bearer {token}\r\n");
    let get = |line: &str, headers: &str| format!("{line}\r\nhost: api\r\n{headers}\r\n").into_bytes();
    for (what, bytes, statuses) in lines() {
        add(what, get(&bytes, &auth), statuses);
    }
    for (what, headers, statuses) in headers() {
        add(what, get("GET /v1/threads HTTP/1.1", &format!("{headers}{auth}")), statuses);
    }
    for (what, headers) in credentials(token) {
        add(what, get("GET /v1/threads HTTP/1.1", &headers), UNKNOWN);
    }
    for (what, path, status) in paths() {
        add(what, get(&format!("GET {path} HTTP/1.1"), &auth), status);
    }
    let post = format!("POST /v1/threads/{thread}/messages HTTP/1.1\r\nhost: api\r\n{auth}");
    for (what, framing, status) in framings() {
        add(what, format!("{post}content-type: application/json\r\n{framing}").into_bytes(), status);
    }
    for (what, body, status) in bodies() {
        let length = body.len();
        let head = format!("{post}content-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        add(what, [head.as_bytes(), &body].concat(), status);
    }
    for (what, headers, status) in kinds() {
        let body = r#"{"text":"hi"}"#;
        let head = format!("{post}{headers}content-length: {}\r\n\r\n{body}", body.len());
        add(what, head.into_bytes(), status);
    }
    cases
}

type Texts = Vec<(&'static str, String, &'static [u16])>;

/// Lines of requests.
fn lines() -> Texts {
    let long = format!("GET /v1/threads/{} HTTP/1.1", "a".repeat(20_000));
    let odd = [
        ("no version", "GET /v1/threads", BAD),
        ("a version of old", "GET /v1/threads HTTP/0.9", BAD),
        ("a version of the future", "GET /v1/threads HTTP/3.0", BAD),
        ("a version that is none", "GET /v1/threads HTTP/1.9", BAD),
        ("two blanks", "GET  /v1/threads HTTP/1.1", BAD),
        ("a tab", "GET\t/v1/threads HTTP/1.1", BAD),
        ("a blank in the path", "GET /v1/thr eads HTTP/1.1", BAD),
        ("no path", "GET HTTP/1.1", BAD),
        ("a method in small letters", "get /v1/threads HTTP/1.1", &[404, 405]),
        ("an unknown method", "BREW /v1/threads HTTP/1.1", &[405]),
        ("TRACE", "TRACE /v1/threads HTTP/1.1", &[405]),
        ("CONNECT", "CONNECT api:443 HTTP/1.1", &[400, 404, 405]),
        ("OPTIONS of all", "OPTIONS * HTTP/1.1", &[200, 404, 405]),
        ("a method that is no token", "G(T /v1/threads HTTP/1.1", BAD),
        ("a NUL in the path", "GET /v1/\0threads HTTP/1.1", BAD),
        ("a fragment", "GET /v1/threads#top HTTP/1.1", &[200, 400, 404]),
        ("another host's address", "GET http://elsewhere/v1/nothing HTTP/1.1", &[404]),
        ("a path of another protocol", "GET ftp://elsewhere/ HTTP/1.1", &[404]),
    ];
    let mut lines: Texts = odd.map(|(what, line, statuses)| (what, line.to_owned(), statuses)).into();
    lines.push(("a path of 20 kB", long, &[400, 414, 431]));
    lines
}

/// Headers of a request for the list of threads.
fn headers() -> Texts {
    let odd = [
        ("a folded header", "x: a\r\n b\r\n", BAD),
        ("a blank before the colon", "x : a\r\n", BAD),
        ("no colon", "x\r\n", BAD),
        ("no name", ": a\r\n", BAD),
        ("a name that is no token", "x(y): a\r\n", BAD),
        ("a NUL in a name", "x\0: a\r\n", BAD),
        ("a NUL in a value", "x: \0\r\n", BAD),
        ("a bare carriage return", "x: a\rb: c\r\n", BAD),
        ("two lengths", "content-length: 1\r\ncontent-length: 2\r\n", BAD),
        ("a length with a sign", "content-length: +1\r\n", BAD),
        ("a length below nought", "content-length: -1\r\n", BAD),
        ("a length in words", "content-length: one\r\n", BAD),
        ("a length beyond 64 bits", "content-length: 18446744073709551616\r\n", BAD),
        ("a list of lengths", "content-length: 1, 2\r\n", BAD),
        ("an unknown coding", "transfer-encoding: gzip\r\n", BAD),
        ("chunked twice over", "transfer-encoding: chunked, identity\r\n", BAD),
        ("an expectation", "expect: the worst\r\n", &[200, 417]),
        ("two keys", "idempotency-key: a\r\nidempotency-key: b\r\n", &[200]),
        ("another protocol", "connection: upgrade\r\nupgrade: h2c\r\n", &[200]),
    ];
    let mut headers: Texts = odd.map(|(what, line, statuses)| (what, line.to_owned(), statuses)).into();
    headers.push(("a header of 17 kB", format!("x: {}\r\n", "a".repeat(17 * 1024)), &[431]));
    headers.push(("101 headers", "x: a\r\n".repeat(101), &[431]));
    headers
}

/// Headers in the place of good credentials.
fn credentials(token: &str) -> Vec<(&'static str, String)> {
    let of = |value: &str| format!("authorization: {value}\r\n");
    let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let encoded = |json: &str| data_encoding::BASE64URL_NOPAD.encode(json.as_bytes());
    let none = encoded(r#"{"alg":"none","typ":"JWT"}"#);
    let header = |json: &str| of(&format!("Bearer {}.{body}.{signature}", encoded(json)));
    vec![
        ("nothing", String::new()),
        ("an empty value", of("")),
        ("no token", of("Bearer ")),
        ("a name and a password", of("Basic YTpi")),
        ("a token alone", of(token)),
        ("two tokens", format!("{}{}", of(&format!("Bearer {token}")), of(&format!("Bearer {token}")))),
        ("a token and a half", of(&format!("Bearer {token} {token}"))),
        ("a list of tokens", of(&format!("Bearer {token}, Bearer {token}"))),
        ("a token in quotes", of(&format!("Bearer \"{token}\""))),
        ("a token of 9 kB", of(&format!("Bearer {}", "a".repeat(9 * 1024)))),
        ("two parts", of(&format!("Bearer {head}.{body}"))),
        ("four parts", of(&format!("Bearer {token}.{signature}"))),
        ("empty parts", of("Bearer ..")),
        ("no signature", of(&format!("Bearer {head}.{body}."))),
        ("no algorithm", of(&format!("Bearer {none}.{body}."))),
        ("no algorithm, and a signature", of(&format!("Bearer {none}.{body}.{signature}"))),
        ("another algorithm", header(r#"{"alg":"RS256","typ":"JWT"}"#)),
        ("an algorithm in small letters", header(r#"{"alg":"hs256","typ":"JWT"}"#)),
        ("a key of its own", header(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#)),
        ("a key elsewhere", header(r#"{"alg":"HS256","jku":"http://127.0.0.1/keys"}"#)),
        ("a key by a path", header(r#"{"alg":"HS256","kid":"../../../../dev/null"}"#)),
        ("a critical extension", header(r#"{"alg":"HS256","crit":["x"],"x":1}"#)),
        ("a header that is a list", header("[]")),
        ("padding", of(&format!("Bearer {token}="))),
        ("bytes that are no base64", of(&format!("Bearer {head}.{body}.!!!!"))),
        ("a cookie on a route that takes none", format!("cookie: __Host-runnel={token}\r\n")),
        ("another scheme", of(&format!("DPoP {token}"))),
    ]
}

/// Paths that lead nowhere, or are no path.
fn paths() -> Vec<(&'static str, &'static str, &'static [u16])> {
    vec![
        ("a way up", "/v1/../v1/nothing", NOWHERE),
        ("a way up, encoded", "/v1/%2e%2e/%2e%2e/etc/passwd", NOWHERE),
        ("two slashes", "//v1/threads", NOWHERE),
        ("a slash at the end", "/v1/threads/", NOWHERE),
        ("capital letters", "/V1/THREADS", NOWHERE),
        ("a NUL, encoded", "/v1/threads/%00", &[400, 404]),
        ("no UTF-8", "/v1/threads/%ff%fe", &[400, 404]),
        ("half an escape", "/v1/threads/%4", &[400, 404]),
        ("another row", "/v1/threads/t_a%23META", &[400, 404]),
        ("an id of capital letters", "/v1/threads/T_A", &[400, 404]),
        ("an id with a blank", "/v1/threads/t_a%20b", &[400, 404]),
        ("an id of another script", "/v1/threads/t_%D0%B0", &[400, 404]),
        ("a script", "/v1/threads/%3Cscript%3E", &[400, 404]),
        ("a limit of nought", "/v1/threads?limit=0", &[422]),
        ("a limit below nought", "/v1/threads?limit=-1", &[422]),
        ("a limit beyond 64 bits", "/v1/threads?limit=99999999999999999999", &[422]),
        ("a limit of words", "/v1/threads?limit=all", &[422]),
        ("two limits", "/v1/threads?limit=1&limit=2", &[422]),
        ("an unknown parameter", "/v1/threads?admin=true", &[422]),
        ("a place that is none", "/v1/threads?after=AAAA", &[400, 422]),
        ("a place of bytes", "/v1/threads?after=%00%ff", &[400, 422]),
        ("an unknown state", "/v1/threads?state=all", &[422]),
        ("an insertion", "/v1/threads?limit=1%0d%0aset-cookie:%20a=b", &[422]),
    ]
}

/// How a body is framed that no client frames so.
fn framings() -> Vec<(&'static str, String, &'static [u16])> {
    let body = r#"{"text":"hi"}"#;
    let length = body.len();
    let chunk = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let smuggled = "GET /v1/health HTTP/1.1\r\nhost: api\r\n\r\n";
    let both = |coding: &str| format!("content-length: {length}\r\n{coding}\r\n\r\n{chunk}{smuggled}");
    let chunked = |chunk: &str| format!("transfer-encoding: chunked\r\n\r\n{chunk}");
    vec![
        ("both lengths", both("transfer-encoding: chunked"), ONCE),
        ("both, with a blank", both("transfer-encoding : chunked"), ONCE),
        ("both, with a tab", both("transfer-encoding:\tchunked"), ONCE),
        ("both, in capital letters", both("TRANSFER-ENCODING: CHUNKED"), ONCE),
        ("both, and another coding", both("transfer-encoding: x, chunked"), ONCE),
        ("both, chunked first", both("transfer-encoding: chunked, x"), ONCE),
        ("both, chunked twice", both("transfer-encoding: chunked, chunked"), ONCE),
        ("both, in two headers", both("transfer-encoding: chunked\r\ntransfer-encoding: identity"), ONCE),
        ("both, with a vertical tab", both("transfer-encoding: \x0bchunked"), ONCE),
        ("both, with rubbish behind", both("transfer-encoding: chunked;q=1"), ONCE),
        ("a chunk with no number", chunked("zz\r\nhi\r\n0\r\n\r\n"), BAD),
        ("a chunk below nought", chunked("-1\r\nhi\r\n0\r\n\r\n"), BAD),
        ("a chunk beyond 64 bits", chunked("fffffffffffffffff\r\nhi\r\n0\r\n\r\n"), BAD),
        ("a chunk longer than it says", chunked("2\r\nhithere\r\n0\r\n\r\n"), BAD),
        ("a chunk without an end", chunked("d\r\n{\"text\":"), &[400, 408]),
        (
            "extensions without an end",
            chunked(&format!("d;{}\r\n{body}\r\n0\r\n\r\n", "x".repeat(40_000))),
            BAD,
        ),
        ("a length that is not kept", format!("content-length: 50\r\n\r\n{body}"), &[400, 408]),
        ("a length beyond the limit", "content-length: 50000\r\n\r\n".to_owned(), &[413]),
    ]
}

/// Bodies that are no message.
fn bodies() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let text = |body: &str| body.as_bytes().to_vec();
    vec![
        ("nothing", text(""), WRONG),
        ("a blank", text(" "), WRONG),
        ("null", text("null"), WRONG),
        ("a list", text("[]"), WRONG),
        ("a word", text("\"hi\""), WRONG),
        ("no field", text("{}"), WRONG),
        ("an unknown field", text(r#"{"text":"hi","from":"alice"}"#), WRONG),
        ("a prototype", text(r#"{"text":"hi","__proto__":{}}"#), WRONG),
        ("a field twice", text(r#"{"text":"hi","text":"ho"}"#), WRONG),
        ("a number for a text", text(r#"{"text":7}"#), WRONG),
        ("no text", text(r#"{"text":null}"#), WRONG),
        ("an empty text", text(r#"{"text":""}"#), WRONG),
        ("a blank text", text(r#"{"text":"  \n "}"#), WRONG),
        ("a NUL in the text", text(r#"{"text":"a\u0000b"}"#), &[201]),
        ("half a character", text(r#"{"text":"\ud800"}"#), WRONG),
        ("no UTF-8", b"{\"text\":\"\xff\"}".to_vec(), WRONG),
        ("a mark of byte order", [b"\xef\xbb\xbf", text(r#"{"text":"hi"}"#).as_slice()].concat(), WRONG),
        ("rubbish behind", text(r#"{"text":"hi"}x"#), WRONG),
        ("two values", text(r#"{"text":"hi"}{"text":"ho"}"#), WRONG),
        ("a comma too many", text(r#"{"text":"hi",}"#), WRONG),
        ("a comment", text(r#"{"text":"hi"/* */}"#), WRONG),
        ("single quotes", text("{'text':'hi'}"), WRONG),
        ("not a number", text(r#"{"text":NaN}"#), WRONG),
        ("deep lists", text(&"[".repeat(20_000)), WRONG),
        ("deep objects", text(&r#"{"a":"#.repeat(5_000)), WRONG),
        ("a text of 17 kB", text(&format!(r#"{{"text":"{}"}}"#, "a".repeat(17 * 1024))), &[413, 422]),
        ("a body of 34 kB", text(&format!(r#"{{"text":"{}"}}"#, "a".repeat(34 * 1024))), &[413]),
    ]
}

/// What a body may be said to be.
fn kinds() -> Vec<(&'static str, String, &'static [u16])> {
    let kind = |kind: &str| format!("content-type: {kind}\r\n");
    vec![
        ("of no kind", String::new(), UNSUPPORTED),
        ("a text", kind("text/plain"), UNSUPPORTED),
        ("a form", kind("application/x-www-form-urlencoded"), UNSUPPORTED),
        ("several parts", kind("multipart/form-data; boundary=x"), UNSUPPORTED),
        ("two kinds", format!("{}{}", kind("application/json"), kind("text/plain")), &[201, 400, 415]),
        ("a kind that is none", kind("json"), UNSUPPORTED),
        ("packed", format!("{}content-encoding: gzip\r\n", kind("application/json")), &[201, 400, 415]),
        (
            "a key of 256 bytes",
            format!("{}idempotency-key: {}\r\n", kind("application/json"), "k".repeat(256)),
            BAD,
        ),
        ("an empty key", format!("{}idempotency-key: \r\n", kind("application/json")), BAD),
        (
            "two keys",
            format!("{}idempotency-key: a\r\nidempotency-key: b\r\n", kind("application/json")),
            BAD,
        ),
        ("a user whom it may not be", format!("{}runnel-user: alice\r\n", kind("application/json")), &[403]),
    ]
}

/// What is wrong with the answer to a case.
async fn wrong(api: SocketAddr, Case { what, bytes, statuses }: &Case) -> Option<String> {
    let raw = Raw::exchange(api, bytes).await;
    let got = raw.statuses();
    let is_as_wanted = matches!(got[..], [status] if statuses.contains(&status));
    (!is_as_wanted).then(|| format!("{what}: {got:?}, not one of {statuses:?}: {}", raw.got))
}

#[tokio::test]
async fn an_odd_request_gets_one_answer_and_nothing_behind_it_is_a_request() {
    let world = World::start(Topology::PerUser, 1).await;
    let bob = world.as_user("bob");
    let thread = bob.thread(serde_json::json!({"members": ["alice"]})).await;
    let cases = cases(&world.token("bob"), &thread);
    let wrong = stream::iter(&cases).map(|case| wrong(world.api, case)).buffer_unordered(AT_ONCE);
    let wrong: Vec<String> = wrong.filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    println!("{} requests", cases.len());
    assert!(cases.len() >= 110);
    bob.say(&thread, "still here").await;
}
