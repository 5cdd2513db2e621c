//! Tests the replay alone, then against an inbox, a ring and a clock with arbitrary behaviour.

use domain::{cursor::Gen, sequence::InboxSeq};
use proptest::prelude::*;

use super::*;

fn at(seq: u64) -> Cursor {
    Cursor { r#gen: Gen(1), seq: InboxSeq(seq) }
}

fn ring(start: u64, end: u64) -> RingBounds {
    RingBounds { generation: Gen(1), start: InboxSeq(start), end: InboxSeq(end), gap_after: None }
}

fn seqs(seqs: impl IntoIterator<Item = u64>) -> impl Iterator<Item = InboxSeq> {
    seqs.into_iter().map(InboxSeq)
}

fn opened(last_event_id: LastEventId, head: u64, now: Instant) -> Replay {
    let mut replay = Replay::new(last_event_id);
    replay.row_read(at(head), now);
    replay
}

/// The replay is lost, and goes on at `to` once that is read.
fn assert_reset(replay: &mut Replay, ring: RingBounds, now: Instant, (to, why): (Cursor, ResetReason)) {
    assert_eq!(replay.step(Some(ring), now), Step::ReadSettled);
    replay.settled_read(to);
    assert_eq!(replay.step(Some(ring), now), Step::Reset { to, why });
}

#[test]
fn a_client_without_a_cursor_starts_at_the_settled_one() {
    let now = Instant::now();
    let mut replay = Replay::new(LastEventId::Absent);
    assert_eq!(replay.greeting(true), None);
    assert_eq!(replay.step(Some(ring(8, 7)), now), Step::ReadSettled);
    replay.settled_read(at(7));
    assert_eq!(replay.id(), Id::At(at(7)));
    assert_eq!(replay.step(Some(ring(8, 7)), now), Step::Wait);
    assert!(replay.is_live(Some(ring(8, 7))));
}

#[test]
fn a_cursor_within_the_ring_is_served_from_it() {
    let now = Instant::now();
    let mut replay = opened(LastEventId::Cursor(at(5)), 7, now);
    assert_eq!(replay.step(None, now), Step::Wait);
    assert_eq!(replay.step(Some(ring(6, 7)), now), Step::Ship(InboxSeq(6)));
    assert_eq!(replay.step(Some(ring(6, 7)), now), Step::Ship(InboxSeq(7)));
    assert_eq!(replay.step(Some(ring(6, 7)), now), Step::Wait);
}

#[test]
fn a_slow_reader_falls_out_of_the_ring_and_reads_the_inbox() {
    let now = Instant::now();
    let mut replay = opened(LastEventId::Cursor(at(5)), 7, now);
    assert_eq!(replay.step(Some(ring(40, 103)), now), Step::ReadInbox { after: InboxSeq(5) });
    assert_eq!(replay.page_read(seqs(6..=39), Rest::Unread, now), 34);
    seqs(6..=39).for_each(|seq| replay.shipped(seq));
    assert_eq!(replay.step(Some(ring(40, 103)), now), Step::Ship(InboxSeq(40)));
}

#[test]
fn hello_says_what_comes_of_the_cursor_and_repeats_it() {
    let now = Instant::now();
    let told = |replay: &Replay| (replay.greeting(false), replay.id());
    let resumed = Some(Status::Resumed);
    let mut replay = Replay::new(LastEventId::Cursor(at(9)));
    assert_eq!(told(&replay), (resumed, Id::At(at(9))), "the row cannot be read now");
    replay.row_read(at(9), now);
    assert_eq!(told(&replay), (resumed, Id::At(at(9))));
    let reset = Some(Status::Reset);
    assert_eq!(told(&Replay::new(LastEventId::Invalid)), (reset, Id::Unreadable));
    let foreign = Cursor { r#gen: Gen(2), seq: InboxSeq(3) };
    assert_eq!(told(&opened(LastEventId::Cursor(foreign), 7, now)), (reset, Id::At(foreign)));
    // One that is above the inbox is read again first.
    let mut above = opened(LastEventId::Cursor(at(9)), 7, now);
    assert_eq!(told(&above), (None, Id::At(at(9))));
    above.row_read(at(7), now);
    assert_eq!(told(&above), (reset, Id::At(at(9))));
    assert_eq!(Replay::new(LastEventId::Absent).id(), Id::Empty, "a bye takes no place from anybody");
}

#[test]
fn a_cursor_of_no_use_is_reset_to_the_present() {
    let now = Instant::now();
    let foreign = Cursor { r#gen: Gen(2), seq: InboxSeq(3) };
    let far = limits::REPLAY_EVENTS + 8;
    for (last_event_id, head, why) in [
        (LastEventId::Invalid, 7, ResetReason::Unreadable),
        (LastEventId::Cursor(foreign), 7, ResetReason::Generation),
        (LastEventId::Cursor(at(7)), far, ResetReason::Behind),
    ] {
        let mut replay = opened(last_event_id, head, now);
        assert!(!replay.is_live(Some(ring(head + 1, head))));
        assert_reset(&mut replay, ring(head + 1, head), now, (at(head), why));
        assert_eq!(replay.id(), Id::At(at(head)));
        assert_eq!(replay.step(Some(ring(head + 1, head)), now), Step::Wait);
    }
}

#[test]
fn exactly_the_limit_behind_is_replayed() {
    let now = Instant::now();
    let head = limits::REPLAY_EVENTS + 7;
    let mut replay = opened(LastEventId::Cursor(at(7)), head, now);
    assert_eq!(replay.step(Some(ring(head + 1, head)), now), Step::ReadInbox { after: InboxSeq(7) });
}

#[test]
fn a_cursor_above_head_is_believed_only_when_a_second_look_agrees() {
    let now = Instant::now();
    let later = now + limits::CURSOR_PATIENCE;
    let mut replay = opened(LastEventId::Cursor(at(9)), 7, now);
    assert_eq!(replay.step(Some(ring(8, 7)), now), Step::WaitUntil(later));
    assert_eq!(replay.step(Some(ring(8, 7)), later), Step::ReadRow);
    replay.row_read(at(9), later);
    assert_eq!(replay.step(Some(ring(8, 7)), later), Step::Wait);
    assert!(!replay.is_live(Some(ring(8, 7))));

    let mut replay = opened(LastEventId::Cursor(at(9)), 7, now);
    replay.step(Some(ring(8, 7)), later);
    replay.row_read(at(8), later);
    assert_reset(&mut replay, ring(8, 8), later, (at(8), ResetReason::Above));

    // The ring gets there in between.
    let mut replay = opened(LastEventId::Cursor(at(9)), 7, now);
    assert_eq!(replay.step(Some(ring(8, 10)), now), Step::Ship(InboxSeq(10)));
}

#[test]
fn a_content_that_is_not_visible_yet_is_waited_for_however_long_it_takes() {
    let (start, mut pauses) = (Instant::now(), Vec::new());
    let mut now = start;
    let mut replay = opened(LastEventId::Cursor(at(5)), 9, now);
    for _ in 0..40 {
        assert_eq!(replay.step(Some(ring(10, 9)), now), Step::ReadInbox { after: InboxSeq(5) });
        assert_eq!(replay.page_read(seqs([]), Rest::Late, now), 0);
        let Step::WaitUntil(until) = replay.step(Some(ring(10, 9)), now) else { panic!("it must wait") };
        pauses.push((until - now).as_millis());
        now = until;
    }
    assert_eq!(pauses[..6], [100, 200, 400, 800, 1_600, limits::LATE_PAUSE.as_millis()]);
    assert_eq!(replay.page_read(seqs([6, 7]), Rest::Unread, now), 2);
}

#[test]
fn a_page_that_has_expired_is_a_gap_at_once() {
    let now = Instant::now();
    let mut replay = opened(LastEventId::Cursor(at(5)), 9, now);
    assert_eq!(replay.page_read(seqs([6]), Rest::Gone, now), 1, "what is before it is shipped");
    replay.shipped(InboxSeq(6));
    assert_eq!(replay.page_read(seqs([]), Rest::Gone, now), 0);
    assert_reset(&mut replay, ring(10, 9), now, (at(9), ResetReason::Gap));
}

#[test]
fn a_stream_before_a_gap_that_was_given_up_is_reset_at_once() {
    let now = Instant::now();
    let mut replay = opened(LastEventId::Cursor(at(5)), 5, now);
    let gone = RingBounds {
        generation: Gen(1),
        start: InboxSeq(10),
        end: InboxSeq(9),
        gap_after: Some(InboxSeq(5)),
    };
    assert_reset(&mut replay, gone, now, (at(9), ResetReason::Gap));
}

#[test]
fn a_failed_read_is_no_gap() {
    let mut now = Instant::now();
    let mut replay = opened(LastEventId::Cursor(at(5)), 9, now);
    for _ in 0..20 {
        replay.read_failed(now, 0.5);
        let Step::WaitUntil(until) = replay.step(Some(ring(10, 9)), now) else { panic!("it must wait") };
        assert!(until > now && until <= now + limits::LATE_PAUSE);
        now = until;
    }
    assert_eq!(replay.step(Some(ring(10, 9)), now), Step::ReadInbox { after: InboxSeq(5) });
    assert_eq!(replay.page_read(seqs([]), Rest::Unread, now), 0);
    assert!(matches!(replay.step(Some(ring(10, 9)), now), Step::WaitUntil(_)));
}

#[test]
fn another_generation_in_the_middle_of_a_stream_resets_it() {
    let now = Instant::now();
    let mut replay = opened(LastEventId::Cursor(at(5)), 5, now);
    let other = RingBounds { generation: Gen(2), start: InboxSeq(4), end: InboxSeq(3), gap_after: None };
    let to = Cursor { r#gen: Gen(2), seq: InboxSeq(3) };
    assert_reset(&mut replay, other, now, (to, ResetReason::Generation));
}

/// What the world around a stream may do between two of its steps.
#[derive(Debug, Clone)]
enum Happens {
    /// Events are appended; the ring follows.
    Append(u64),
    /// Events are appended that the ring has not heard of yet.
    AppendUnheard(u64),
    /// The ring hears of what was appended.
    Hear,
    /// The stream takes this many steps; few, for a slow reader.
    Steps(u8),
    /// The next reads find the item this far ahead not visible yet.
    Hide(u64),
    /// All items are visible.
    Show,
    /// The next read fails.
    Fail,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        (1..100_u64).prop_map(Happens::Append),
        (1..9_u64).prop_map(Happens::AppendUnheard),
        Just(Happens::Hear),
        (1..80_u8).prop_map(Happens::Steps),
        (1..5_u64).prop_map(Happens::Hide),
        Just(Happens::Show),
        Just(Happens::Fail),
    ]
}

struct World {
    now: Instant,
    head: u64,
    /// How far the ring has got.
    heard: u64,
    /// Where the ring began when the stream's user came here.
    first: u64,
    hidden: Option<u64>,
    failing: bool,
    replay: Replay,
    page: std::collections::VecDeque<u64>,
    cursor: u64,
}

impl World {
    fn ring(&self) -> RingBounds {
        let start = self.first.max((self.heard + 1).saturating_sub(limits::RING_FRAMES as u64));
        ring(start, self.heard)
    }

    /// One step of the stream; false if it only waits.
    fn step(&mut self) -> bool {
        if let Some(seq) = self.page.pop_front() {
            self.replay.shipped(InboxSeq(seq));
            self.ship(seq);
            return true;
        }
        match self.replay.step(Some(self.ring()), self.now) {
            Step::Ship(seq) => self.ship(seq.0),
            Step::ReadRow | Step::ReadSettled | Step::ReadInbox { .. }
                if std::mem::take(&mut self.failing) =>
            {
                self.replay.read_failed(self.now, 0.3);
            }
            Step::ReadRow => self.replay.row_read(at(self.head), self.now),
            Step::ReadSettled => {
                let hidden = self.hidden.filter(|hidden| (1..=self.head).contains(hidden));
                self.replay.settled_read(at(hidden.map_or(self.head, |hidden| hidden - 1)));
            }
            Step::ReadInbox { after } => {
                assert_eq!(after.0, self.cursor);
                let found = (after.0 + 1..=self.head).take_while(|seq| Some(*seq) != self.hidden).take(50);
                let found: Vec<u64> = found.collect();
                let rest = if found.is_empty() { Rest::Late } else { Rest::Unread };
                let good = self.replay.page_read(seqs(found.iter().copied()), rest, self.now);
                self.page.extend(&found[..good]);
            }
            Step::Reset { to, .. } => {
                assert!(
                    to.seq.0 <= self.head
                        && self.hidden.is_none_or(|hidden| to.seq.0 < hidden || hidden > self.head)
                );
                self.cursor = to.seq.0;
            }
            Step::WaitUntil(until) => {
                assert!(until > self.now);
                self.now = until;
            }
            Step::Wait => return false,
        }
        true
    }

    fn ship(&mut self, seq: u64) {
        assert_eq!(seq, self.cursor + 1, "contiguous, in order, each once");
        assert!(seq <= self.head, "nothing that did not happen");
        self.cursor = seq;
        assert_eq!(self.replay.id(), Id::At(at(seq)));
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_shipped_events_are_contiguous_and_all_arrive(
        last_event_id in 0..40_u64,
        head in 0..60_u64,
        story in prop::collection::vec(happens(), 0..40),
    ) {
        let cursor = last_event_id.min(head);
        let mut world = World {
            now: Instant::now(),
            head,
            heard: head,
            first: head + 1,
            hidden: None,
            failing: false,
            replay: Replay::new(LastEventId::Cursor(at(cursor))),
            page: std::collections::VecDeque::new(),
            cursor,
        };
        for happens in story {
            match happens {
                Happens::Append(n) => { world.head += n; world.heard = world.head; }
                Happens::AppendUnheard(n) => world.head += n,
                Happens::Hear => world.heard = world.head,
                Happens::Steps(n) => { (0..n).all(|_| world.step()); }
                Happens::Hide(ahead) => world.hidden = Some(world.cursor + ahead),
                Happens::Show => world.hidden = None,
                Happens::Fail => world.failing = true,
            }
        }
        world.hidden = None;
        world.heard = world.head;
        let mut steps = 0;
        while world.step() {
            steps += 1;
            prop_assert!(steps < 20_000, "it must come to rest");
        }
        prop_assert_eq!(world.cursor, world.head);
        prop_assert!(world.replay.is_live(Some(world.ring())));
    }
}
