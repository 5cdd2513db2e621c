//! Signing in by name alone: for development, on a loopback address.
//!
//! Whoever reaches such an address could be anybody: a page whose own name leads here, or a stranger behind a proxy on this
//! machine. So a request must name this server's own address, and it must bring the word that the server has printed
//! at its start. `--dev` does without the word.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json as Answer, Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use domain::ids::UserId;
use http::{HeaderMap, HeaderName, header};
use serde::{Deserialize, Serialize};
use server::{
    auth::mint::Minter,
    clock::Clock,
    json::Json,
    problem::{Kind, Problem},
};
use sha2::{Digest, Sha256};

/// How long a development token is good for.
pub const LIFE: Duration = Duration::from_hours(12);

/// Who is signed in by name.
#[derive(Debug, Clone)]
pub enum ByName {
    /// Nobody: the address is no loopback address.
    Nobody,
    /// Nobody: the tokens are those of an identity provider.
    Provider,
    /// Clients that send the word.
    With(Word),
    /// Every client that reaches the address (`--dev`).
    Anybody,
}

impl ByName {
    /// Who is on a server that listens at `address`.
    pub fn at(address: SocketAddr, dev: bool) -> Self {
        match () {
            () if !address.ip().is_loopback() => Self::Nobody,
            () if dev => Self::Anybody,
            () => Self::With(Word::new()),
        }
    }
}

/// The word that signs people in by name until the server stops.
#[derive(Debug, Clone)]
pub struct Word(String);

impl Word {
    /// Of 128 random bits.
    fn new() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// The word as the server prints it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares hashes, so that the time that it takes tells nothing of the word.
    fn is(&self, other: &str) -> bool {
        Sha256::digest(&self.0) == Sha256::digest(other)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    user: UserId,
    word: Option<String>,
}

#[derive(Debug, Serialize)]
struct Session {
    token: String,
    user: UserId,
    expires_in: u64,
}

struct Dev {
    minter: Minter,
    clock: Clock,
    hosts: Vec<String>,
    word: Option<Word>,
}

/// `POST /dev/session {"user", "word"}` on a server that listens at `address`.
pub fn router(minter: Minter, clock: Clock, address: SocketAddr, by_name: ByName) -> Router {
    let word = match by_name {
        ByName::Nobody | ByName::Provider => return Router::new(),
        ByName::With(word) => Some(word),
        ByName::Anybody => None,
    };
    let dev = Dev { minter, clock, hosts: hosts(address), word };
    Router::new().route("/dev/session", post(sign_in)).with_state(Arc::new(dev))
}

async fn sign_in(
    State(dev): State<Arc<Dev>>,
    headers: HeaderMap,
    Json(SignIn { user, word }): Json<SignIn>,
) -> Response {
    let refused = |detail: String| Problem::new(Kind::SignInRefused, detail).into_response();
    if !is_own(&headers, &dev.hosts) {
        return refused(format!(
            "open the page at http://{}, without a proxy, to sign in by name",
            dev.hosts[0]
        ));
    }
    if dev.word.as_ref().is_some_and(|own| !word.is_some_and(|word| own.is(&word))) {
        return refused("open the link that `runnel` printed at its start to sign in by name".into());
    }
    let token = dev.minter.mint(&user, LIFE, dev.clock.now());
    Answer(Session { token, user, expires_in: LIFE.as_secs() }).into_response()
}

/// What a browser writes as the host of this address.
fn hosts(address: SocketAddr) -> Vec<String> {
    let named = format!("localhost:{}", address.port());
    let mut hosts = vec![address.to_string(), named];
    if address.port() == 80 {
        // The port that a URL leaves out.
        let bare = |host: &String| host.strip_suffix(":80").map(str::to_owned);
        hosts.extend(hosts.clone().iter().filter_map(bare));
    }
    hosts
}

/// Whether a request was made to this address, and by no page but its own.
fn is_own(headers: &HeaderMap, hosts: &[String]) -> bool {
    // A proxy on this machine brings strangers here.
    if ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().unwrap_or_default());
        if values.next().is_some() { Some("") } else { first }
    };
    let Some(host) = only(header::HOST).filter(|host| hosts.iter().any(|own| own == host)) else {
        return false;
    };
    only(header::ORIGIN).is_none_or(|origin| origin == format!("http://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_this_very_address_signs_in_by_name() {
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            is_own(&headers, &hosts("127.0.0.1:8080".parse().unwrap()))
        };
        let host = ("host", "127.0.0.1:8080");
        assert!(asked(&[host]));
        assert!(asked(&[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(asked(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")]));
        for bad in [
            &[][..],
            &[("host", "")],
            &[("host", "127.0.0.1")],
            &[("host", "127.0.0.1:8081")],
            &[("host", "127.0.0.2:8080")],
            &[("host", "[::1]:8080")],
            &[("host", "evil.example:8080")],
            &[("host", "evil@127.0.0.1:8080")],
            &[("host", "localhost.evil.example:8080")],
            &[host, host],
            &[host, ("host", "evil.example")],
            &[host, ("origin", "http://evil.example")],
            &[host, ("origin", "http://localhost:8080")],
            &[host, ("origin", "https://127.0.0.1:8080")],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://127.0.0.1:8080"), ("origin", "http://evil.example")],
            &[host, ("x-forwarded-for", "203.0.113.7")],
        ] {
            assert!(!asked(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_url_leaves_out_port_80() {
        let own = hosts("[::1]:80".parse().unwrap());
        assert_eq!(own, ["[::1]:80", "localhost:80", "[::1]", "localhost"]);
    }

    #[test]
    fn a_word_is_long_and_equal_to_itself_only() {
        let (one, other) = (Word::new(), Word::new());
        assert!(one.is(one.as_str()) && !one.is(other.as_str()) && !one.is(""));
        assert_eq!(one.as_str().len(), 32);
    }
}
