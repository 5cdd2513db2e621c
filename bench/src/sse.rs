//! Reads an event stream off the wire as strictly as a browser does: the head, the chunks, the lines.

use memchr::{memchr, memmem};

use crate::stamp::number;

/// What a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// The head of a 200.
    Opened,
    /// An event: its data and its id.
    Event(&'a [u8], Option<&'a [u8]>),
    /// A comment, or an event without data.
    Nothing,
}

/// Bytes that are no event stream, or its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The server ended it.
    End,
    /// A head that is no 200.
    Status(u64),
    /// Broken framing.
    Broken,
}

/// Where a reader stands.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    stage: Stage,
    /// Bytes of the chunk still to come.
    left: usize,
    /// The beginning of a head, of a chunk's size or of its end.
    rest: Vec<u8>,
    /// The beginning of an event.
    event: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    #[default]
    Head,
    Size,
    Data,
    Close,
    /// Not chunked: up to the end of the connection.
    Plain,
}

impl Reader {
    /// Takes what has arrived.
    pub(crate) fn read(&mut self, bytes: &[u8], hear: &mut impl FnMut(Heard<'_>)) -> Result<(), Over> {
        if self.rest.is_empty() {
            let used = self.take(bytes, hear)?;
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let used = self.take(&all, hear)?;
            all.drain(..used);
            self.rest = all;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], hear: &mut impl FnMut(Heard<'_>)) -> Result<usize, Over> {
        let mut at = 0;
        while at < bytes.len() {
            let now = &bytes[at..];
            at += match self.stage {
                Stage::Head => {
                    let Some(end) = memmem::find(now, b"\r\n\r\n") else { return Ok(at) };
                    self.head(&now[..end])?;
                    hear(Heard::Opened);
                    end + 4
                }
                Stage::Size => {
                    let Some(end) = memchr(b'\n', now) else { return Ok(at) };
                    let size = now[..end].strip_suffix(b"\r").ok_or(Over::Broken)?;
                    let size = std::str::from_utf8(size).map_err(|_| Over::Broken)?;
                    self.left = usize::from_str_radix(size, 16).map_err(|_| Over::Broken)?;
                    if self.left == 0 {
                        return Err(Over::End);
                    }
                    self.stage = Stage::Data;
                    end + 1
                }
                Stage::Data => {
                    let part = &now[..self.left.min(now.len())];
                    self.lines(part, hear);
                    self.left -= part.len();
                    if self.left == 0 {
                        self.stage = Stage::Close;
                    }
                    part.len()
                }
                Stage::Close if now.len() < 2 => return Ok(at),
                Stage::Close if now.starts_with(b"\r\n") => {
                    self.stage = Stage::Size;
                    2
                }
                Stage::Close => return Err(Over::Broken),
                Stage::Plain => {
                    self.lines(now, hear);
                    now.len()
                }
            };
        }
        Ok(at)
    }

    fn head(&mut self, head: &[u8]) -> Result<(), Over> {
        let status = head.get(9..12).and_then(number).ok_or(Over::Broken)?;
        if status != 200 {
            return Err(Over::Status(status));
        }
        let head = head.to_ascii_lowercase();
        let chunked = memmem::find(&head, b"\r\ntransfer-encoding: chunked").is_some();
        self.stage = if chunked { Stage::Size } else { Stage::Plain };
        Ok(())
    }

    fn lines(&mut self, part: &[u8], hear: &mut impl FnMut(Heard<'_>)) {
        if self.event.is_empty() {
            let used = events(part, hear);
            self.event.extend_from_slice(&part[used..]);
        } else {
            let mut all = std::mem::take(&mut self.event);
            all.extend_from_slice(part);
            let used = events(&all, hear);
            all.drain(..used);
            self.event = all;
        }
    }
}

/// Tells of all whole events, and says how many bytes they were.
fn events(bytes: &[u8], hear: &mut impl FnMut(Heard<'_>)) -> usize {
    let mut begin = 0;
    loop {
        let (mut at, mut data, mut id, mut lines) = (begin, None, None, 0);
        loop {
            let Some(end) = memchr(b'\n', &bytes[at..]) else { return begin };
            let line = &bytes[at..at + end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            at += end + 1;
            if line.is_empty() {
                break;
            }
            lines += 1;
            if let Some(value) = line.strip_prefix(b"data:") {
                data = Some(value);
            } else if let Some(value) = line.strip_prefix(b"id:") {
                id = Some(value.strip_prefix(b" ").unwrap_or(value));
            }
        }
        match data {
            Some(data) => hear(Heard::Event(data, id)),
            None if lines > 0 => hear(Heard::Nothing),
            None => {}
        }
        begin = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n:\n\r\n\
        0021\r\nevent: message\ndata: {}\nid: a.1\n\n\r\n3\r\n:\n\n\r\n";

    fn heard(parts: &[&[u8]]) -> (Vec<String>, Result<(), Over>) {
        let (mut reader, mut all) = (Reader::default(), Vec::new());
        for part in parts {
            if let Err(over) = reader.read(part, &mut |heard| all.push(format!("{heard:?}"))) {
                return (all, Err(over));
            }
        }
        (all, Ok(()))
    }

    #[test]
    fn a_stream_reads_the_same_wherever_it_is_cut() {
        let (whole, end) = heard(&[WIRE]);
        assert_eq!((whole.len(), end), (3, Ok(())));
        for cut in 0..WIRE.len() {
            assert_eq!(heard(&[&WIRE[..cut], &WIRE[cut..]]).0, whole, "cut at {cut}");
        }
    }

    #[test]
    fn broken_framing_and_refusals_are_told() {
        assert_eq!(heard(&[&WIRE[..WIRE.len() - 2], b"xx"]).1, Err(Over::Broken));
        assert_eq!(heard(&[WIRE, b"0\r\n\r\n"]).1, Err(Over::End));
        assert_eq!(heard(&[b"HTTP/1.1 503 No\r\n\r\n"]).1, Err(Over::Status(503)));
    }
}
