//! Who reaches an emulator. It checks no signature, so browsers must not: they bring pages of any origin to a loopback
//! address.

use std::net::{Ipv4Addr, TcpListener};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header, uri::Authority};
use server::auth::cookie::is_loopback;

/// A listener at an address that no page guesses. Where the system has no other loopback address, it is 127.0.0.1.
pub(super) fn hidden_listener() -> std::io::Result<TcpListener> {
    let [a, b, c, _] = rand::random::<u32>().to_be_bytes();
    let listener = TcpListener::bind((Ipv4Addr::new(127, a, b, c.max(2)), 0))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers pages with 403: requests with an `Origin`, and requests to a host with a name of its own. A page whose name
/// leads here (DNS rebinding) makes the second kind.
pub(super) fn guarded(router: Router) -> Router {
    router.layer(middleware::from_fn(refuse_pages))
}

async fn refuse_pages(request: Request, next: Next) -> Response {
    if is_of_page(request.headers()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

fn is_of_page(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let is_here = host.is_some_and(|host| !host.as_str().contains('@') && is_loopback(host.host()));
    !is_here || named.next().is_some() || headers.contains_key(header::ORIGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_by_its_origin_or_its_name() {
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            is_of_page(&headers)
        };
        for own in ["127.1.2.3:80", "127.0.0.1", "localhost:4566", "[::1]:4566"] {
            assert!(!asked(&[("host", own)]), "{own}");
        }
        for page in [
            &[][..],
            &[("host", "evil.example:80")],
            &[("host", "127.0.0.1.evil.example")],
            &[("host", "evil@127.0.0.1:80")],
            &[("host", "10.0.0.1:80")],
            &[("host", "127.1.2.3:80"), ("host", "evil.example:80")],
            &[("host", "127.1.2.3:80"), ("origin", "http://evil.example")],
            &[("host", "127.1.2.3:80"), ("origin", "null")],
        ] {
            assert!(asked(page), "{page:?}");
        }
    }
}
