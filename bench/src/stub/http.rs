//! Requests as the SDK writes them, and answers as it reads them.

use memchr::memmem;

use crate::stamp::number;

/// A call.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// `x-amz-target`: the service and the call.
    pub(crate) target: &'a str,
    /// Its JSON.
    pub(crate) body: &'a [u8],
}

/// The first whole request and its length in bytes.
pub(crate) fn request(bytes: &[u8]) -> Option<(Request<'_>, usize)> {
    let end = memmem::find(bytes, b"\r\n\r\n")?;
    let head = &bytes[..end + 2];
    let size = header(head, b"\r\ncontent-length: ").and_then(number).unwrap_or(0) as usize;
    let body = bytes.get(end + 4..end + 4 + size)?;
    let target = header(head, b"\r\nx-amz-target: ").unwrap_or_default();
    Some((Request { target: std::str::from_utf8(target).unwrap_or_default(), body }, end + 4 + size))
}

/// The value behind a name that the SDK writes in small letters.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = &head[memmem::find(head, name)? + name.len()..];
    Some(&value[..memchr::memchr(b'\r', value)?])
}

/// Writes an answer.
pub(crate) fn answer(out: &mut Vec<u8>, body: &str) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: ";
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body.as_bytes());
}
