//! The last frames of a user, shared by all of the user's streams.

use std::{collections::VecDeque, num::NonZeroU64, sync::Arc};

use domain::{
    cursor::{Cursor, Gen},
    envelope::News,
    event::EventName,
    frame, limits,
};
use mistakes::mistake;
use tokio::time::Instant;

/// Frames of one generation, contiguous, with the present at their end.
#[derive(Debug)]
pub(crate) struct Ring {
    generation: Gen,
    /// The last seq known to have happened and to have been here.
    end: u64,
    /// The frames up to `end`, and how many bytes they have.
    frames: VecDeque<Arc<Shown>>,
    bytes: usize,
    /// The first seq that was given up.
    hole: Option<NonZeroU64>,
}

/// An event as all who are told it share it: encoded once, whoever they are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    event: EventName,
    /// The lines of its frames.
    pub(crate) lines: Box<str>,
    /// When its envelope was posted, by the edge's own clock; absent if it came out of the inbox.
    pub(crate) sent_at: Option<Instant>,
}

impl Shown {
    pub(crate) fn new(news: &News, sent_at: Option<Instant>) -> Arc<Self> {
        let lines = frame::lines(news.event, news.data.get()).into();
        Arc::new(Self { event: news.event, lines, sent_at })
    }
}

/// Where a ring stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingView {
    /// The inbox generation that it counts in.
    pub generation: Gen,
    /// The seq of the first frame held; `end + 1` if none is.
    pub start: u64,
    /// The last seq.
    pub end: u64,
    /// What comes after this seq cannot be had: whoever stands here is reset.
    pub hole_after: Option<u64>,
}

impl RingView {
    /// The present.
    pub fn cursor(&self) -> Cursor {
        Cursor { r#gen: self.generation, seq: self.end }
    }

    /// Whether `cursor` is not above the present.
    pub fn reaches(&self, cursor: Cursor) -> bool {
        cursor.r#gen == self.generation && cursor.seq <= self.end
    }
}

impl Ring {
    /// A ring without frames whose present is `head`.
    pub(crate) fn at(head: Cursor) -> Self {
        Self { generation: head.r#gen, end: head.seq, frames: VecDeque::new(), bytes: 0, hole: None }
    }

    /// The same, where what lies between the old end and `head` cannot be had.
    pub(crate) fn past_hole(&self, head: Cursor) -> Self {
        Self { hole: NonZeroU64::MIN.checked_add(self.end), ..Self::at(head) }
    }

    pub(crate) fn view(&self) -> RingView {
        let start = self.end + 1 - self.frames.len() as u64;
        let hole_after = self.hole.map(|hole| hole.get() - 1);
        RingView { generation: self.generation, start, end: self.end, hole_after }
    }

    /// Takes the event if it is the next one.
    pub(crate) fn push(&mut self, seq: u64, shown: &Arc<Shown>) -> bool {
        if seq != self.end + 1 && !(mistake!(ShownOverGap) && seq > self.end) {
            return false;
        }
        // A frame from before may hold the text that this event takes away, and would be shown to
        // whoever resumes before it: they read the inbox, which has only what is left.
        if matches!(shown.event, EventName::Edit | EventName::Delete) {
            self.frames.clear();
            self.bytes = 0;
        }
        self.bytes += shown.lines.len();
        self.frames.push_back(shown.clone());
        self.end = seq;
        while self.frames.len() > limits::RING_FRAMES || self.bytes > limits::RING_BYTES {
            self.bytes -= self.frames.pop_front().map_or(0, |oldest| oldest.lines.len());
        }
        true
    }

    /// An event, if it is held.
    pub(crate) fn shown(&self, seq: u64) -> Option<&Arc<Shown>> {
        let index = seq.checked_sub(self.view().start)?;
        self.frames.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(event: EventName) -> Arc<Shown> {
        Shown::new(&News::new(event, "{}".into()), None)
    }

    #[test]
    fn only_the_next_event_is_taken() {
        let mut ring = Ring::at(Cursor { r#gen: Gen(1), seq: 5 });
        assert!(!ring.push(5, &shown(EventName::Message)));
        assert!(!ring.push(7, &shown(EventName::Message)));
        assert!(ring.push(6, &shown(EventName::Message)));
        assert!(ring.shown(5).is_none() && ring.shown(6).is_some() && ring.shown(7).is_none());
    }

    #[test]
    fn it_keeps_the_last_frames_and_knows_where_they_begin() {
        let mut ring = Ring::at(Cursor { r#gen: Gen(1), seq: 0 });
        assert_eq!((ring.view().start, ring.view().end), (1, 0));
        let all = limits::RING_FRAMES as u64 + 10;
        for seq in 1..=all {
            let news = News::new(EventName::Message, seq.to_string());
            assert!(ring.push(seq, &Shown::new(&news, None)));
        }
        assert_eq!((ring.view().start, ring.view().end), (11, all));
        assert!(ring.shown(10).is_none());
        assert_eq!(&*ring.shown(11).unwrap().lines, "event: message\ndata: 11\n");
    }

    #[test]
    fn it_holds_no_more_than_so_many_bytes() {
        let mut ring = Ring::at(Cursor { r#gen: Gen(1), seq: 0 });
        let long = |len| Shown::new(&News::new(EventName::Message, format!("\"{}\"", "x".repeat(len))), None);
        for seq in 1..=10 {
            ring.push(seq, &long(limits::RING_BYTES / 4));
        }
        assert_eq!((ring.view().start, ring.view().end), (8, 10));
        // Whoever lacks this one reads it in the inbox.
        assert!(ring.push(11, &long(limits::RING_BYTES)));
        assert_eq!((ring.view().start, ring.view().end), (12, 11));
        ring.push(12, &long(1));
        assert_eq!((ring.view().start, ring.view().end), (12, 12));
    }

    #[test]
    fn what_a_deletion_takes_away_is_held_no_longer() {
        for event in [EventName::Edit, EventName::Delete] {
            let mut ring = Ring::at(Cursor { r#gen: Gen(1), seq: 0 });
            ring.push(1, &shown(EventName::Message));
            ring.push(2, &shown(event));
            assert!(ring.shown(1).is_none() && ring.shown(2).is_some());
            assert_eq!((ring.view().start, ring.view().end), (2, 2));
        }
    }

    #[test]
    fn past_a_hole_it_remembers_where_the_hole_began() {
        let ring = Ring::at(Cursor { r#gen: Gen(1), seq: 5 });
        let view = ring.past_hole(Cursor { r#gen: Gen(1), seq: 9 }).view();
        assert_eq!((view.start, view.end, view.hole_after), (10, 9, Some(5)));
    }
}
