//! The bytes of one write, and what a socket did not take of them.

use crate::wire::frame::Frame;

/// Bytes at which a write takes no further frame.
const BYTES: usize = 4 * 1024;

/// The frames of one write.
#[derive(Debug, Default)]
pub(super) struct WriteBuffer {
    bytes: Vec<u8>,
    /// The frame of the last bytes, and its whole length.
    last: Option<(Frame, usize)>,
}

/// The bytes that a socket did not accept: less than 4 KiB, and one frame. All streams that show an event share the
/// lines of its frame, so a slow reader costs little.
#[derive(Debug)]
pub(super) struct Unwritten {
    bytes: Box<[u8]>,
    /// The frame behind them, and how many of its last bytes are still to be written.
    last: Option<(Frame, usize)>,
}

impl WriteBuffer {
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

    /// Removes what was written, from the front.
    pub(super) fn written(&mut self, count: usize) {
        self.bytes.drain(..count);
    }

    /// What is left, if anything is, for [`WriteBuffer::resume`].
    pub(super) fn take_unwritten(&mut self) -> Option<Box<Unwritten>> {
        if self.bytes.is_empty() {
            return None;
        }
        let last = self.last.take().map(|(frame, size)| (frame, size.min(self.bytes.len())));
        let before = self.bytes.len() - last.as_ref().map_or(0, |(_, left)| *left);
        Some(Box::new(Unwritten { bytes: self.bytes[..before].into(), last }))
    }

    /// Goes on, in an empty buffer, where another one ended.
    pub(super) fn resume(&mut self, unwritten: Unwritten) {
        self.push_bytes(&unwritten.bytes);
        if let Some((frame, left)) = unwritten.last {
            let before = self.bytes.len();
            self.push(frame);
            let written = self.bytes.len() - before - left;
            self.bytes.drain(before..before + written);
        }
    }

    /// Empties it. One large event must not keep its memory for good.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * BYTES);
        self.last = None;
    }
}

impl Unwritten {
    /// Bytes of no frame.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), last: None }
    }
}

#[cfg(test)]
mod tests {
    use domain::{envelope::News, event::EventName, frame::Id};

    use super::*;
    use crate::wire::{encoded_event::EncodedEvent, frame::Content};

    fn message(text: &str) -> Frame {
        let news = News::new(EventName::Message, format!("\"{text}\""));
        Frame::new(Content::Event(EncodedEvent::new(&news, None)), Id::Unreadable)
    }

    #[test]
    fn a_buffer_goes_on_wherever_another_one_ended_and_however_often() {
        let frames = [3, 40, 20].map(|words| message(&"word ".repeat(words)));
        let all = |buffer: &mut WriteBuffer| {
            buffer.push_bytes(b"head");
            for frame in &frames {
                buffer.push(frame.clone());
            }
        };
        let (mut buffer, mut whole) = (WriteBuffer::default(), WriteBuffer::default());
        all(&mut whole);
        let size = whole.bytes().len();
        whole.push(frames[0].clone());
        whole.push_bytes(b"end");
        let whole = whole.bytes();
        for first in 0..size {
            for second in [0, 1, 50, 120] {
                let mut heard = Vec::new();
                all(&mut buffer);
                for count in [first, second] {
                    let count = count.min(buffer.bytes().len());
                    heard.extend_from_slice(&buffer.bytes()[..count]);
                    buffer.written(count);
                    let unwritten = buffer.take_unwritten();
                    buffer.clear();
                    if let Some(unwritten) = unwritten {
                        buffer.resume(*unwritten);
                    }
                }
                buffer.push(frames[0].clone());
                buffer.push_bytes(b"end");
                heard.extend_from_slice(buffer.bytes());
                assert_eq!(heard, whole, "after {first} and {second}");
                buffer.clear();
            }
        }
    }

    #[test]
    fn what_is_left_of_the_last_frame_is_not_copied() {
        let mut buffer = WriteBuffer::default();
        buffer.push_bytes(b"before");
        buffer.push(message(&"x".repeat(10_000)));
        for (written, copied) in [(1, 5), (10, 0)] {
            buffer.written(written);
            let unwritten = buffer.take_unwritten().unwrap();
            assert_eq!(unwritten.bytes.len(), copied);
            buffer.clear();
            buffer.resume(*unwritten);
        }
    }
}
