//! Signing in by name alone: for development, on a loopback address.

use std::time::Duration;

use axum::{
    Json as Answer, Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use domain::ids::UserId;
use http::{HeaderMap, header, uri::Authority};
use serde::{Deserialize, Serialize};
use server::{
    auth::mint::Minter,
    clock::Clock,
    json::Json,
    problem::{Kind, Problem},
};

/// How long a development token is good for.
pub const LIFE: Duration = Duration::from_hours(12);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    user: UserId,
}

#[derive(Debug, Serialize)]
struct Session {
    token: String,
    user: UserId,
    expires_in: u64,
}

#[derive(Clone)]
struct Dev {
    minter: std::sync::Arc<Minter>,
    clock: Clock,
}

/// `POST /dev/session {"user"}`.
pub fn router(minter: Minter, clock: Clock) -> Router {
    Router::new()
        .route("/dev/session", post(sign_in))
        .with_state(Dev { minter: std::sync::Arc::new(minter), clock })
}

async fn sign_in(
    State(dev): State<Dev>,
    headers: HeaderMap,
    Json(SignIn { user }): Json<SignIn>,
) -> Response {
    // A page from elsewhere could have its own name lead here.
    if !is_loopback(&headers) {
        return Problem::new(
            Kind::Forbidden,
            "development sign-in requires the host `localhost` or `127.0.0.1`, without a proxy",
        )
        .into_response();
    }
    let token = dev.minter.mint(&user, LIFE, dev.clock.now());
    Answer(Session { token, user, expires_in: LIFE.as_secs() }).into_response()
}

fn is_loopback(headers: &HeaderMap) -> bool {
    // A proxy on this machine brings strangers here.
    if ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(host) = host else { return false };
    let name = host.host().trim_matches(['[', ']']);
    let local = name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    local && origin.is_none_or(|origin| origin == format!("http://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_this_machine_signs_in_by_name() {
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            is_loopback(&pairs.collect::<HeaderMap>())
        };
        assert!(asked(&[("host", "127.0.0.1:8080")]));
        assert!(asked(&[("host", "[::1]:8080"), ("origin", "http://[::1]:8080")]));
        assert!(asked(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")]));
        assert!(!asked(&[]));
        assert!(!asked(&[("host", "evil.example:8080")]));
        assert!(!asked(&[("host", "localhost:8080"), ("origin", "http://evil.example")]));
        assert!(!asked(&[("host", "127.0.0.1:8080"), ("x-forwarded-for", "203.0.113.7")]));
    }
}
