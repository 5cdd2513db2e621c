//! What goes out with one write, and what a socket did not take of it.

use crate::frames::Frame;

/// Bytes from which on a write takes no further frame.
const BYTES: usize = 4 * 1024;

/// Frames that go out with one write.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// The frame that the last bytes are of, and how many it has in all.
    last: Option<(Frame, usize)>,
}

/// What a socket did not take: less than 4 KiB, and a frame. The lines of an event are those that all share who
/// are shown it, so whoever does not read costs little; what is replayed is a stream's own.
#[derive(Debug)]
pub(super) struct Rest {
    bytes: Box<[u8]>,
    /// The frame that comes behind them, and how many of its bytes, the last ones, are still to go out.
    last: Option<(Frame, usize)>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn push(&mut self, frame: Frame) {
        let before = self.bytes.len();
        frame.write_chunk(&mut self.bytes);
        self.last = Some((frame, self.bytes.len() - before));
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.last = None;
    }

    /// Takes out what was written, from the front.
    pub(super) fn written(&mut self, count: usize) {
        self.bytes.drain(..count);
    }

    /// What is left, if anything is, for [`Batch::resume`].
    pub(super) fn rest(&mut self) -> Option<Box<Rest>> {
        if self.bytes.is_empty() {
            return None;
        }
        let last = self.last.take().map(|(frame, size)| (frame, size.min(self.bytes.len())));
        let before = self.bytes.len() - last.as_ref().map_or(0, |(_, left)| *left);
        Some(Box::new(Rest { bytes: self.bytes[..before].into(), last }))
    }

    /// Goes on, in an empty batch, where another one was left.
    pub(super) fn resume(&mut self, rest: Rest) {
        self.push_bytes(&rest.bytes);
        if let Some((frame, left)) = rest.last {
            let before = self.bytes.len();
            self.push(frame);
            let written = self.bytes.len() - before - left;
            self.bytes.drain(before..before + written);
        }
    }

    /// Empties it; one large event must not keep its room for good.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * BYTES);
        self.last = None;
    }
}

impl Rest {
    /// Bytes that are no frame's.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), last: None }
    }
}

#[cfg(test)]
mod tests {
    use domain::{event::EventName, frame};

    use super::*;
    use crate::frames::Id;

    #[test]
    fn a_batch_goes_on_wherever_it_was_left_and_however_often() {
        let frames = [3, 40, 20]
            .map(|words| Frame::new(frame::lines(EventName::Message, &"word ".repeat(words)), Id(None)));
        let all = |batch: &mut Batch| {
            batch.push_bytes(b"head");
            for frame in &frames {
                batch.push(frame.clone());
            }
        };
        let (mut batch, mut whole) = (Batch::default(), Batch::default());
        all(&mut whole);
        let size = whole.bytes().len();
        whole.push(frames[0].clone());
        whole.push_bytes(b"end");
        let whole = whole.bytes();
        for first in 0..size {
            for second in [0, 1, 50, 120] {
                let mut heard = Vec::new();
                all(&mut batch);
                for count in [first, second] {
                    let count = count.min(batch.bytes().len());
                    heard.extend_from_slice(&batch.bytes()[..count]);
                    batch.written(count);
                    let rest = batch.rest();
                    batch.clear();
                    if let Some(rest) = rest {
                        batch.resume(*rest);
                    }
                }
                batch.push(frames[0].clone());
                batch.push_bytes(b"end");
                heard.extend_from_slice(batch.bytes());
                assert_eq!(heard, whole, "after {first} and {second}");
                batch.clear();
            }
        }
    }

    #[test]
    fn what_is_left_of_the_last_frame_is_not_copied() {
        let mut batch = Batch::default();
        batch.push_bytes(b"before");
        batch.push(Frame::new(frame::lines(EventName::Message, &"x".repeat(10_000)), Id(None)));
        for (written, copied) in [(1, 5), (10, 0)] {
            batch.written(written);
            let rest = batch.rest().unwrap();
            assert_eq!(rest.bytes.len(), copied);
            batch.clear();
            batch.resume(*rest);
        }
    }
}
