//! Parsers of texts.

use std::{str, sync::LazyLock};

use api::routes::{
    members::{Membership, NewMembers},
    messages::{ChangedMessage, NewMessage},
    page,
    seen::Mark,
    threads::{NewThread, NewTitle},
    typing::NewTyping,
    users::Ban,
};
use domain::{cursor::Cursor, envelope::Envelope, job::Job};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use server::{
    auth::{AuthConfig, Verdict, Verifier, bearer},
    json,
};

/// The secret of the one token that counts, and a time at which it does.
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_800_000_000;
/// The token: the seed `token/genuine`.
const GENUINE: &str = include_str!("../seeds/token/genuine");

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let config = AuthConfig { secret: Some(SECRET.into()), ..AuthConfig::default() };
    Verifier::new(&config).expect("a good secret")
});

/// No token counts but the genuine one. Making another one needs the secret.
pub(crate) fn token(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let now = Timestamp::from_second(NOW).expect("a time");
    let verdict = VERIFIER.verify(text, now).now_or_never().expect("a secret needs no network");
    let is_genuine = matches!(verdict, Verdict::Genuine(_));
    assert_eq!(is_genuine, text == GENUINE, "{text}");
}

/// A line of input is a line of `Cookie`, or of another header where it begins with its name. What is found in them is one of
/// their values, and over https that of the name that no other host can set.
pub(crate) fn cookie(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let (name, value) = match line {
            [b'!', value @ ..] => (header::HeaderName::from_static("x-forwarded-proto"), value),
            [b'@', value @ ..] => (header::AUTHORIZATION, value),
            value => (header::COOKIE, value),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let Some(token) = bearer::credentials(&headers) else { return };
    assert!(!token.is_empty());
    let lines = || headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let has = |pair: String| lines().any(|line| line.split(';').any(|one| one.trim() == pair));
    if headers.get_all(header::AUTHORIZATION).iter().count() == 0 {
        let is_https = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let is_local = !is_https && has(format!("runnel={token}"));
        assert!(is_local || has(format!("__Host-runnel={token}")), "{token} in {headers:?}");
    }
}

/// A cursor has one text.
pub(crate) fn cursor(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
}

/// What was read is written so that it is read as the same.
pub(crate) fn envelope(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(envelope) = Envelope::decode(text) else { return };
    if envelope.to.is_empty() {
        // No writer posts an envelope without recipients.
        return;
    }
    let written = envelope.encode();
    let again =
        Envelope::decode(&written).unwrap_or_else(|_| panic!("{text:?} is not read again: {written:?}"));
    assert_eq!((again.encode(), again.to), (written.clone(), envelope.to.clone()), "{text}");
    let (recipients, hint) = (envelope.to.len(), envelope.without_news());
    assert!(hint.news.is_none() && hint.to.len() <= recipients);
}

/// What was read is written so that it is read as the same.
pub(crate) fn job(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(job) = Job::decode(text) {
        assert_eq!(Job::decode(&job.encode()).as_ref(), Ok(&job), "{text}");
    }
}

/// The body of each route is read, or refused with a problem.
pub(crate) fn json(bytes: &[u8]) {
    stays::<NewMessage>(bytes);
    stays::<ChangedMessage>(bytes);
    stays::<NewThread>(bytes);
    stays::<NewTitle>(bytes);
    stays::<Membership>(bytes);
    stays::<NewMembers>(bytes);
    drop(json::parse::<Mark>(bytes));
    drop(json::parse::<NewTyping>(bytes));
    drop(json::parse::<Ban>(bytes));
}

fn stays<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    let Ok(body) = json::parse::<T>(bytes) else { return };
    let written = serde_json::to_vec(&body).expect("it was JSON");
    let again =
        json::parse::<T>(&written).unwrap_or_else(|_| panic!("{} is not read again", written.escape_ascii()));
    assert_eq!(serde_json::to_vec(&again).expect("it was JSON"), written);
}

/// What names a place in a list names the same place once more.
pub(crate) fn page(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(found) = page::place(text) {
        assert_eq!(page::place(&found.to_string()).ok(), Some(found), "{text}");
    }
    if let Ok(found) = page::tseq("before", text) {
        assert_eq!(page::tseq("before", &found.to_string()).ok(), Some(found), "{text}");
    }
}
