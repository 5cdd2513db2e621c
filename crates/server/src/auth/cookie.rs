//! The cookie in which a browser keeps its token for the stream, and for nothing else.
//!
//! On https it is `__Host-runnel`: no other host, not even a subdomain, can set it. Plain http
//! cannot have that one, so on a loopback address, and only there, it is `runnel`.

use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;

use super::Identity;

const SECURE_NAME: &str = "__Host-runnel";
const LOCAL_NAME: &str = "runnel";
/// Longest name and value that every browser keeps, in bytes (RFC 6265bis, section 5.6).
const COOKIE_BYTES: usize = 4096;

/// The token is longer than a browser keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is too long for a cookie: open streams with a ticket from `POST /v1/tickets` instead")]
pub struct TooLong;

/// The `Set-Cookie` that lets the browser behind `request` open streams with `token`, which has
/// been verified as `identity`, until it expires.
///
/// # Errors
/// [`TooLong`]: a browser would drop the cookie without a word.
pub fn grant(
    request: &HeaderMap,
    token: &str,
    identity: &Identity,
    now: Timestamp,
) -> Result<HeaderValue, TooLong> {
    let max_age_s = identity.expires_at.duration_since(now).as_secs().max(0);
    let (name, secure) = if is_https(request) || !host(request).is_some_and(is_loopback) {
        (SECURE_NAME, "; Secure")
    } else {
        (LOCAL_NAME, "")
    };
    if name.len() + token.len() > COOKIE_BYTES {
        return Err(TooLong);
    }
    let cookie = format!("{name}={token}; Path=/{secure}; HttpOnly; SameSite=Lax; Max-Age={max_age_s}");
    Ok(HeaderValue::try_from(cookie).expect("a verified token is base64url and dots"))
}

/// The two `Set-Cookie`s that make a browser forget its token, under whichever name it has it.
pub fn clear() -> [HeaderValue; 2] {
    [
        HeaderValue::from_static("__Host-runnel=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"),
        HeaderValue::from_static("runnel=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"),
    ]
}

/// The token in the cookie. Over https only `__Host-runnel` counts, since a sister site could have
/// set the other.
pub(super) fn read(headers: &HeaderMap) -> Option<&str> {
    let value = |wanted: &str| {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, value)| *name == wanted && !value.is_empty()).map(|(_, value)| value)
    };
    value(SECURE_NAME).or_else(|| if is_https(headers) { None } else { value(LOCAL_NAME) })
}

/// Whether a proxy says that the client came over https. One who lies about it only spoils the
/// cookie of their own.
fn is_https(headers: &HeaderMap) -> bool {
    ["cloudfront-forwarded-proto", "x-forwarded-proto"].iter().any(|name| {
        let value = headers.get(*name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // The first of several is the one nearest to the client.
        value.split(',').next().is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"))
    })
}

fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    Some(&host[..end])
}

/// Whether a host, without its port, is this machine.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<std::net::IpAddr>().map_or_else(
        |_| bare.eq_ignore_ascii_case("localhost") || bare.to_ascii_lowercase().ends_with(".localhost"),
        |ip| ip.is_loopback(),
    )
}

#[cfg(test)]
mod tests {
    use domain::ids::UserId;

    use super::*;
    use crate::auth::scope::Scopes;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn granted(request: &[(&'static str, &'static str)], token: &str) -> Result<HeaderValue, TooLong> {
        let now = Timestamp::from_second(1_000).unwrap();
        let identity = Identity {
            user: UserId::parse("alice").unwrap(),
            issued_at: now,
            expires_at: Timestamp::from_second(1_600).unwrap(),
            session: None,
            scopes: Scopes::default(),
            via: None,
        };
        grant(&headers(request), token, &identity, now)
    }

    #[test]
    fn over_https_and_wherever_it_is_unsure_the_cookie_is_bound_to_its_host() {
        for request in [
            &[("host", "chat.example"), ("x-forwarded-proto", "https")][..],
            &[("host", "127.0.0.1"), ("cloudfront-forwarded-proto", "https")][..],
            &[("host", "chat.example")][..],
            &[("host", "localhost.evil")][..],
            &[][..],
        ] {
            assert_eq!(
                granted(request, "a.b.c").unwrap(),
                "__Host-runnel=a.b.c; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"
            );
        }
    }

    #[test]
    fn on_plain_loopback_it_has_the_plain_name() {
        for host in ["localhost:8080", "127.0.0.1:8080", "127.8.8.8", "[::1]:8080", "a.localhost"] {
            assert_eq!(
                granted(&[("host", host)], "a.b.c").unwrap(),
                "runnel=a.b.c; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"
            );
        }
    }

    #[test]
    fn a_token_that_a_browser_would_drop_is_an_error() {
        assert!(granted(&[], &"x".repeat(4_000)).is_ok());
        assert_eq!(granted(&[], &"x".repeat(4_090)), Err(TooLong));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(read(&headers(&[("cookie", "a=b; runnel=x.y.z;c=d")])), Some("x.y.z"));
        assert_eq!(read(&headers(&[("cookie", "a=b"), ("cookie", "runnel=x")])), Some("x"));
        assert_eq!(read(&headers(&[("cookie", "runnel=x; __Host-runnel=y")])), Some("y"));
        for none in ["", "runnel", "runnel=", "xrunnel=a", "Runnel=a", ";;=;"] {
            assert_eq!(read(&headers(&[("cookie", none)])), None, "{none}");
        }
    }

    #[test]
    fn over_https_a_cookie_that_a_sister_site_may_have_set_does_not_count() {
        let https = ("x-forwarded-proto", "https");
        assert_eq!(read(&headers(&[https, ("cookie", "runnel=x")])), None);
        assert_eq!(read(&headers(&[https, ("cookie", "__Host-runnel=x")])), Some("x"));
    }

    #[test]
    fn clearing_names_both_and_the_attributes_they_were_set_with() {
        let [secure, local] = clear();
        assert!(secure.to_str().unwrap().starts_with("__Host-runnel=; Path=/; Secure;"));
        assert!(local.to_str().unwrap().starts_with("runnel=; Path=/;"));
    }
}
