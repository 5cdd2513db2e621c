//! The latest events of a user, shared by all of the user's streams.

use std::{collections::VecDeque, num::NonZeroU64, sync::Arc};

use domain::{
    cursor::{Cursor, Gen},
    event::EventName,
    limits,
    sequence::InboxSeq,
};
use mistakes::mistake;

use crate::wire::encoded_event::EncodedEvent;

/// Events of one generation, contiguous, up to the present.
#[derive(Debug)]
pub(crate) struct Ring {
    generation: Gen,
    /// The seq of the present.
    end: InboxSeq,
    /// The events up to `end`, and how many bytes they have.
    events: VecDeque<Arc<EncodedEvent>>,
    bytes: usize,
    /// The first seq that the edge gave up.
    gap: Option<NonZeroU64>,
}

/// From where to where a ring reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RingBounds {
    /// The generation of the inbox.
    pub(crate) generation: Gen,
    /// The seq of the first event held; `end + 1` if the ring is empty.
    pub(crate) start: InboxSeq,
    /// The last seq.
    pub(crate) end: InboxSeq,
    /// The event after this seq is missing for good: a stream with this cursor is reset.
    pub(crate) gap_after: Option<InboxSeq>,
}

impl RingBounds {
    /// The present.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { r#gen: self.generation, seq: self.end }
    }

    /// Whether `cursor` is not above the present.
    pub(crate) fn reaches(&self, cursor: Cursor) -> bool {
        cursor.r#gen == self.generation && cursor.seq <= self.end
    }
}

impl Ring {
    /// An empty ring whose present is `head`.
    pub(crate) fn at(head: Cursor) -> Self {
        Self { generation: head.r#gen, end: head.seq, events: VecDeque::new(), bytes: 0, gap: None }
    }

    /// An empty ring at `head`. The events between the end of this ring and `head` are missing for good.
    pub(crate) fn past_gap(&self, head: Cursor) -> Self {
        Self { gap: NonZeroU64::MIN.checked_add(self.end.0), ..Self::at(head) }
    }

    pub(crate) fn bounds(&self) -> RingBounds {
        let start = InboxSeq(self.end.0 + 1 - self.events.len() as u64);
        let gap_after = self.gap.map(|gap| InboxSeq(gap.get() - 1));
        RingBounds { generation: self.generation, start, end: self.end, gap_after }
    }

    /// Takes the event if it is the next one.
    pub(crate) fn push(&mut self, seq: InboxSeq, event: &Arc<EncodedEvent>) -> bool {
        if seq != self.end + 1 && !(mistake!(ShownOverGap) && seq > self.end) {
            return false;
        }
        // An earlier event may hold the text that this one removes, and a stream that resumes before it would show that
        // text. Such a stream reads the inbox instead, which has only the text as it is now.
        if matches!(event.event, EventName::Edit | EventName::Delete) {
            self.events.clear();
            self.bytes = 0;
        }
        self.bytes += event.lines().len();
        self.events.push_back(event.clone());
        self.end = seq;
        while self.events.len() > limits::RING_FRAMES || self.bytes > limits::RING_BYTES {
            self.bytes -= self.events.pop_front().map_or(0, |oldest| oldest.lines().len());
        }
        true
    }

    /// An event, if it is held.
    pub(crate) fn get(&self, seq: InboxSeq) -> Option<&Arc<EncodedEvent>> {
        let index = seq.0.checked_sub(self.bounds().start.0)?;
        self.events.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use domain::envelope::News;

    use super::*;

    fn shown(event: EventName) -> Arc<EncodedEvent> {
        EncodedEvent::new(&News::new(event, "{}".into()), None)
    }

    /// The first and the last event held.
    fn held(ring: &Ring) -> (u64, u64) {
        (ring.bounds().start.0, ring.bounds().end.0)
    }

    #[test]
    fn only_the_next_event_is_taken() {
        let mut ring = Ring::at(Cursor { r#gen: Gen(1), seq: InboxSeq(5) });
        assert!(!ring.push(InboxSeq(5), &shown(EventName::Message)));
        assert!(!ring.push(InboxSeq(7), &shown(EventName::Message)));
        assert!(ring.push(InboxSeq(6), &shown(EventName::Message)));
        assert!(
            ring.get(InboxSeq(5)).is_none()
                && ring.get(InboxSeq(6)).is_some()
                && ring.get(InboxSeq(7)).is_none()
        );
    }

    #[test]
    fn it_keeps_the_last_frames_and_knows_where_they_begin() {
        let mut ring = Ring::at(Cursor { r#gen: Gen(1), seq: InboxSeq(0) });
        assert_eq!(held(&ring), (1, 0));
        let all = limits::RING_FRAMES as u64 + 10;
        for seq in 1..=all {
            let news = News::new(EventName::Message, seq.to_string());
            assert!(ring.push(InboxSeq(seq), &EncodedEvent::new(&news, None)));
        }
        assert_eq!(held(&ring), (11, all));
        assert!(ring.get(InboxSeq(10)).is_none());
        assert_eq!(ring.get(InboxSeq(11)).unwrap().lines(), "event: message\ndata: 11\n");
    }

    #[test]
    fn it_holds_no_more_than_so_many_bytes() {
        let mut ring = Ring::at(Cursor { r#gen: Gen(1), seq: InboxSeq(0) });
        let long =
            |len| EncodedEvent::new(&News::new(EventName::Message, format!("\"{}\"", "x".repeat(len))), None);
        for seq in 1..=10 {
            ring.push(InboxSeq(seq), &long(limits::RING_BYTES / 4));
        }
        assert_eq!(held(&ring), (8, 10));
        // A stream that lacks this one reads it from the inbox.
        assert!(ring.push(InboxSeq(11), &long(limits::RING_BYTES)));
        assert_eq!(held(&ring), (12, 11));
        ring.push(InboxSeq(12), &long(1));
        assert_eq!(held(&ring), (12, 12));
    }

    #[test]
    fn what_a_deletion_takes_away_is_held_no_longer() {
        for event in [EventName::Edit, EventName::Delete] {
            let mut ring = Ring::at(Cursor { r#gen: Gen(1), seq: InboxSeq(0) });
            ring.push(InboxSeq(1), &shown(EventName::Message));
            ring.push(InboxSeq(2), &shown(event));
            assert!(ring.get(InboxSeq(1)).is_none() && ring.get(InboxSeq(2)).is_some());
            assert_eq!(held(&ring), (2, 2));
        }
    }

    #[test]
    fn past_a_gap_it_remembers_where_the_gap_began() {
        let ring = Ring::at(Cursor { r#gen: Gen(1), seq: InboxSeq(5) });
        let view = ring.past_gap(Cursor { r#gen: Gen(1), seq: InboxSeq(9) }).bounds();
        assert_eq!((view.start, view.end, view.gap_after), (InboxSeq(10), InboxSeq(9), Some(InboxSeq(5))));
    }
}
