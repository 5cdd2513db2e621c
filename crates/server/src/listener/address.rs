//! Where to listen, as people write it on a command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The text names no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a port such as `8080`, or an address and a port such as `127.0.0.1:8080` or `[::1]:8080`")]
pub struct BadAddress;

/// Reads an address to listen on: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080` or `8080`.
///
/// A port without an address means 127.0.0.1: a server must not become public by a short form. No name but
/// `localhost` is looked up.
///
/// # Errors
/// [`BadAddress`], a sentence that says what to write.
pub fn parse(text: &str) -> Result<SocketAddr, BadAddress> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = match text.rsplit_once(':') {
        None => text,
        Some(("" | "localhost", port)) => port,
        Some(_) => return Err(BadAddress),
    };
    // `u16::from_str` also takes a sign.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadAddress);
    }
    let port = port.parse().map_err(|_| BadAddress)?;
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_loopback() {
        for text in ["8080", ":8080", "localhost:8080", "127.0.0.1:8080"] {
            assert_eq!(parse(text), Ok(SocketAddr::from(([127, 0, 0, 1], 8080))), "{text}");
        }
        assert_eq!(parse("[::1]:8080").unwrap().to_string(), "[::1]:8080");
        assert_eq!(parse("0.0.0.0:0").unwrap().to_string(), "0.0.0.0:0");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", ":", "here", "here:8080", "65536", "+80", "127.0.0.1", "::1:8080", "localhost", "8080:"]
        {
            assert_eq!(parse(text), Err(BadAddress), "{text}");
        }
    }
}
