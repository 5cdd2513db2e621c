//! A request for a stream or a poll, as far as it matters.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Query, Request};
use http::{HeaderMap, HeaderName};

use crate::wire::last_event_id::LastEventId;

/// A request for a stream or a poll, before its user is known.
#[derive(Debug)]
pub(crate) struct StreamRequest {
    pub(crate) headers: HeaderMap,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) last_event_id: LastEventId,
    /// The client's address, as far as it is known.
    pub(crate) address: Option<IpAddr>,
}

impl StreamRequest {
    /// Reads a request. `trusted` is the header of the proxy in front.
    pub(crate) fn of(request: Request, trusted: Option<&HeaderName>) -> Self {
        let (parts, _) = request.into_parts();
        // A query that cannot be read counts as empty: a status would end a browser's stream for good.
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|Query(query)| query);
        let query = query.unwrap_or_default();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let forwarded = trusted.and_then(|name| forwarded(&parts.headers, name));
        let last_event_id = LastEventId::of(&parts.headers, &query);
        Self { headers: parts.headers, query, last_event_id, address: forwarded.or(peer) }
    }

    /// The first value of a query parameter.
    pub(crate) fn parameter(&self, wanted: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }
}

/// The last entry counts: the client may have written the entries before it.
fn forwarded(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let last = value.rsplit(',').next()?.trim();
    let with_port = || last.parse::<SocketAddr>().map(|address| address.ip()).ok();
    // CloudFront writes an IPv6 address and its port without brackets.
    let bare_port = || last.rsplit_once(':')?.0.parse().ok();
    last.parse().ok().filter(|_| name != "cloudfront-viewer-address").or_else(with_port).or_else(bare_port)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn address(name: &'static str, value: &str, trusted: Option<&'static str>) -> String {
        let peer: SocketAddr = ([10, 0, 0, 1], 1234).into();
        let request = Request::get("/v1/events").header(name, value).extension(ConnectInfo(peer));
        let trusted = trusted.map(HeaderName::from_static);
        StreamRequest::of(request.body(Body::empty()).unwrap(), trusted.as_ref()).address.unwrap().to_string()
    }

    #[test]
    fn only_the_header_of_the_own_proxy_counts_and_of_it_the_last_entry() {
        let forged = "198.51.100.1, 203.0.113.7";
        assert_eq!(address("x-forwarded-for", forged, None), "10.0.0.1");
        assert_eq!(address("x-forwarded-for", forged, Some("x-forwarded-for")), "203.0.113.7");
        assert_eq!(address("x-forwarded-for", "203.0.113.7:4711", Some("x-forwarded-for")), "203.0.113.7");
        assert_eq!(address("x-forwarded-for", "unknown", Some("x-forwarded-for")), "10.0.0.1");
    }

    #[test]
    fn cloudfronts_form_is_read() {
        let of = |value| address("cloudfront-viewer-address", value, Some("cloudfront-viewer-address"));
        assert_eq!(of("203.0.113.7:46532"), "203.0.113.7");
        assert_eq!(of("2001:db8:0:0:0:0:0:7:46532"), "2001:db8::7");
        assert_eq!(of("2001:db8::7:4653"), "2001:db8::7");
    }
}
