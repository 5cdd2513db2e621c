//! What becomes of the bytes of one answer on their way from the edge to a browser.

use std::sync::Arc;

use domain::frame::OPENING;

/// What is to happen to a lane's answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// What the edge has said to an equal request before: the first answer, at no cost.
    pub(crate) recorded: Option<Arc<Vec<u8>>>,
    /// Where the first answers are cut, in this order; those that follow are not.
    pub(crate) cuts: Vec<Cut>,
    /// Takes the opening away, as if there were none.
    pub(crate) without_opening: bool,
    /// Writes this instead of the `retry` of a stream that is told to come back much later.
    pub(crate) hurry_ms: Option<u32>,
}

/// One cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Behind how many bytes of the body as it stands on the wire.
    pub(crate) at: usize,
    /// The way to break.
    pub(crate) how: How,
}

/// A way to break a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// In order, though in the middle of a body.
    Fin,
    /// Hard.
    Rst,
}

/// One answer on its way.
#[derive(Debug)]
pub(crate) struct Passage {
    plan: Plan,
    cut: Option<Cut>,
    head: Vec<u8>,
    is_in_body: bool,
    /// Held back until a chunk can be changed as a whole.
    held: Vec<u8>,
    body: Vec<u8>,
}

impl Passage {
    /// The lane's answer number `place`.
    pub(crate) fn new(mut plan: Plan, place: usize) -> Self {
        let cut = plan.cuts.get(place).copied();
        if place > 0 {
            plan.recorded = None;
        }
        Self { plan, cut, head: Vec::new(), is_in_body: false, held: Vec::new(), body: Vec::new() }
    }

    /// The answer, if the edge need not be asked.
    pub(crate) fn recorded(&mut self) -> Option<Arc<Vec<u8>>> {
        self.plan.recorded.take()
    }

    /// What was passed of the head.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// What was passed of the body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// What of these bytes to pass on, and whether to cut then.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<Cut>) {
        let mut pass = Vec::new();
        let mut rest = bytes;
        if !self.is_in_body {
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let end = find(&self.head, b"\r\n\r\n").map_or(self.head.len(), |at| at + 4);
            self.is_in_body = self.head.ends_with(b"\r\n\r\n") || end < self.head.len();
            self.head.truncate(end);
            pass.extend_from_slice(&self.head[before..]);
            rest = &bytes[end - before..];
        }
        if !self.is_in_body {
            return (pass, None);
        }
        let mut rest = self.change(rest);
        let cut = self.cut.filter(|cut| cut.at <= self.body.len() + rest.len());
        if let Some(cut) = cut {
            rest.truncate(cut.at - self.body.len());
        }
        self.body.extend_from_slice(&rest);
        pass.extend(rest);
        (pass, cut)
    }

    /// Makes the plan's changes, chunk by chunk.
    fn change(&mut self, bytes: &[u8]) -> Vec<u8> {
        if !self.plan.without_opening && self.plan.hurry_ms.is_none() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let mut changed = Vec::new();
        while let Some((chunk, end)) = first_chunk(&self.held) {
            let frame = self.change_frame(str::from_utf8(chunk).unwrap());
            changed.extend(format!("{:X}\r\n{frame}\r\n", frame.len()).into_bytes());
            self.held.drain(..end);
        }
        changed
    }

    fn change_frame(&self, frame: &str) -> String {
        let mut frame = frame;
        if self.plan.without_opening {
            frame = frame.strip_prefix(OPENING).unwrap_or(frame);
        }
        match (self.plan.hurry_ms, frame.split_once("\nretry: ")) {
            (Some(ms), Some((before, retry))) => {
                format!("{before}\nretry: {ms}\n{}", retry.split_once('\n').unwrap().1)
            }
            _ => frame.to_owned(),
        }
    }
}

/// The first chunk if all of it is here, and where the next one begins.
fn first_chunk(body: &[u8]) -> Option<(&[u8], usize)> {
    let start = find(body, b"\r\n")? + 2;
    let length = usize::from_str_radix(str::from_utf8(&body[..start - 2]).unwrap(), 16).unwrap();
    let chunk = body.get(start..start + length)?;
    body.get(start + length + 2 - 1)?;
    Some((chunk, start + length + 2))
}

/// What a body says behind its framing, as far as it got.
pub(crate) fn unframed(mut body: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    while let Some(line) = find(body, b"\r\n") {
        let length = str::from_utf8(&body[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let chunk = &body[line + 2..];
        said.extend_from_slice(&chunk[..length.min(chunk.len())]);
        body = chunk.get(length + 2..).unwrap_or_default();
    }
    said
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
