use std::time::Duration;

use domain::user_row::UserRow;
use domain::{
    credential::Cutoff,
    cursor::Gen,
    envelope::News,
    event::EventName,
    ids::{QueueId, ThreadId},
    sequence::InboxSeq,
    wire::{Typing, TypingState},
};
use jiff::Timestamp;

use super::{
    lease::{Held, Receiving},
    stream_handle::EndRequest,
    work::WorkItem,
    *,
};
use crate::wire::last_event_id::LastEventId;

const GEN: Gen = Gen(1);

fn at(seq: u64) -> Cursor {
    Cursor { r#gen: GEN, seq: InboxSeq(seq) }
}

fn image(seq: u64) -> Image {
    Image { cursor: at(seq), row: UserRow { seq: InboxSeq(seq), ..UserRow::default() } }
}

fn news() -> News {
    News::new(EventName::Message, "{}".into())
}

fn encoded() -> Arc<EncodedEvent> {
    EncodedEvent::new(&news(), None)
}

fn events(seqs: impl IntoIterator<Item = u64>) -> Vec<Event> {
    seqs.into_iter().map(|seq| Event { seq: InboxSeq(seq), news: news() }).collect()
}

fn held() -> Held {
    Held { queue: QueueId::made(1), receiving: Receiving::Edges }
}

/// A user with one stream, a lease and a ring at 5.
fn alice() -> (Arc<User>, Arc<StreamHandle>, Instant) {
    let now = Instant::now();
    let user = User::new(UserId::parse("alice").unwrap(), Arc::default(), now);
    let handle = Arc::new(StreamHandle::opened_at(Timestamp::from_second(1_000).unwrap()));
    assert_eq!(user.join(handle.clone(), Instant::now()), Some(Work::TAKE_LEASE));
    assert!(user.lease_taken(held(), now, || true).is_none());
    user.row_read(&image(5));
    (user, handle, now)
}

/// The events that a stream shows from `seq` on.
fn shown(user: &User, seq: u64, now: Instant) -> Vec<String> {
    let mut replay = Replay::new(LastEventId::Cursor(at(seq)));
    replay.row_read(at(seq), now);
    let mut typing = 0;
    let mut ids = Vec::new();
    while let Next::Event(event, id, _) = user.next(&mut replay, &mut typing, now) {
        assert_eq!(event.lines(), "event: message\ndata: {}\n");
        let Id::At(cursor) = id else { panic!("{id:?}") };
        ids.push(cursor.seq.to_string());
    }
    ids
}

#[test]
fn the_next_event_of_an_envelope_is_shown_at_once_and_only_once() {
    let (user, _, now) = alice();
    assert_eq!(user.envelope_received(at(6), Some(&encoded())), Work::NOTHING);
    assert_eq!(user.envelope_received(at(6), Some(&encoded())), Work::NOTHING);
    assert_eq!(user.envelope_received(at(4), Some(&encoded())), Work::NOTHING);
    assert_eq!(shown(&user, 5, now), ["6"]);
    assert_eq!(user.next_work(), None);
}

#[test]
fn an_envelope_from_further_on_or_without_news_makes_the_ring_catch_up() {
    let (user, _, now) = alice();
    assert_eq!(user.envelope_received(at(8), Some(&encoded())), Work::CATCH_UP);
    assert!(user.request(Work::CATCH_UP));
    assert_eq!(user.next_work(), Some(WorkItem::CatchUp(at(5))));
    assert!(user.page_read(&events([6, 7, 8])));
    assert_eq!(shown(&user, 5, now), ["6", "7", "8"]);
    assert_eq!(user.next_work(), None);
    assert_eq!(user.envelope_received(at(9), None), Work::CATCH_UP);
}

#[test]
fn an_envelope_of_another_generation_makes_head_be_read() {
    let (user, _, now) = alice();
    assert_eq!(
        user.envelope_received(Cursor { r#gen: Gen(2), seq: InboxSeq(6) }, Some(&encoded())),
        Work::READ_ROW
    );
    assert_eq!(shown(&user, 5, now), [""; 0]);
}

#[test]
fn an_envelope_that_comes_before_head_was_read_is_not_forgotten() {
    let now = Instant::now();
    let user = User::new(UserId::parse("alice").unwrap(), Arc::default(), now);
    user.join(Arc::new(StreamHandle::opened_at(Timestamp::UNIX_EPOCH)), Instant::now());
    user.envelope_received(at(6), Some(&encoded()));
    // Read before the event was appended.
    user.row_read(&image(5));
    assert!(user.request(Work::CATCH_UP));
    assert_eq!(user.next_work(), Some(WorkItem::CatchUp(at(5))));
}

#[test]
fn there_is_one_worker_at_a_time_and_it_takes_the_lease_before_it_reads() {
    let now = Instant::now();
    let user = User::new(UserId::parse("alice").unwrap(), Arc::default(), now);
    let ask = user.join(Arc::new(StreamHandle::opened_at(Timestamp::UNIX_EPOCH)), Instant::now()).unwrap();
    assert!(user.request(ask));
    assert!(!user.request(Work::REPAIR));
    assert_eq!(user.next_work(), Some(WorkItem::TakeLease));
    assert_eq!(user.next_work(), Some(WorkItem::ReadRow));
    user.row_read(&image(5));
    assert_eq!(user.next_work(), None);
    assert!(user.request(Work::READ_ROW));
}

#[test]
fn a_lease_goes_after_the_linger_unless_a_stream_opens_in_between() {
    let (user, handle, now) = alice();
    let minute = Duration::from_secs(60);
    user.leave(&handle, now);
    assert_eq!(user.due(now + limits::LINGER / 2, minute, limits::LINGER).work, Work::NOTHING);
    let later = now + limits::LINGER;
    assert_eq!(user.due(later, minute, limits::LINGER).work, Work::RELEASE);
    assert!(user.request(Work::RELEASE));
    assert_eq!(user.join(handle.clone(), Instant::now()), Some(Work::NOTHING));
    assert_eq!(user.next_work(), None);
    user.leave(&handle, later);
    assert!(user.request(Work::RELEASE));
    assert_eq!(user.next_work(), Some(WorkItem::Release));
    assert!(user.release_lease().is_some());
    // A stream that opens now waits for a new lease.
    assert_eq!(user.join(handle, Instant::now()), Some(Work::TAKE_LEASE));
    assert!(!user.request(Work::TAKE_LEASE));
    assert_eq!(user.next_work(), Some(WorkItem::TakeLease));
    assert_eq!(user.next_work(), Some(WorkItem::ReadRow));
}

#[test]
fn a_lease_of_an_old_boot_id_is_not_kept() {
    let (user, _, now) = alice();
    user.schedule().lose_lease();
    assert!(user.lease_taken(held(), now, || false).is_some());
    assert_eq!(user.held(), None);
}

#[test]
fn comparisons_that_find_nothing_become_rarer_until_something_comes() {
    let (user, _, now) = alice();
    let minute = Duration::from_secs(60);
    let due = |at: Instant| user.due(at, minute, limits::LINGER);
    assert!(!due(now).check, "the lease has brought the row");
    let (mut at, mut waits) = (now, Vec::new());
    for _ in 0..6 {
        let until = due(at).until;
        assert!(due(until).check);
        user.schedule().check_ended();
        waits.push(until - at);
        at = until;
    }
    for (wait, minutes) in waits.iter().zip([1, 2, 4, 8, 10, 10]) {
        let around = minute * minutes;
        assert!(*wait >= around.mul_f64(0.8) && *wait <= around.mul_f64(1.2), "{wait:?} for {minutes}");
    }
    user.envelope_received(self::at(6), Some(&encoded()));
    assert!(due(at).until <= at + minute.mul_f64(1.2));
}

#[test]
fn without_a_lease_head_is_checked_every_second_and_the_lease_tried_again() {
    // A lease whose queue is gone counts as none.
    let losses: [fn(&User); 2] =
        [|user| user.schedule().unconfirm_lease(), |user| drop(user.schedule().lose_lease())];
    for lost in losses {
        let (user, _, now) = alice();
        let due =
            |second| user.due(now + Duration::from_secs(second), Duration::from_hours(1), limits::LINGER);
        lost(&user);
        user.schedule().lease_failed(now + Duration::from_secs(2), false);
        let (mut checks, mut tries) = (0, 0);
        for second in 4..15 {
            let due = due(second);
            if due.check {
                checks += 1;
                user.schedule().check_ended();
            }
            if due.work == Work::TAKE_LEASE {
                tries += 1;
                user.schedule().lease_failed(now + Duration::from_secs(second), false);
            }
        }
        assert_eq!(checks, 11);
        assert!((2..6).contains(&tries), "{tries}");
    }
}

#[test]
fn neither_a_head_check_nor_a_take_begins_while_one_is_under_way() {
    let (user, handle, now) = alice();
    let due = |second| user.due(now + Duration::from_secs(second), Duration::from_secs(5), limits::LINGER);
    assert!(!due(0).check);
    assert!(due(10).check);
    assert!(!due(100).check);
    user.schedule().check_ended();
    assert!(due(101).check);
    user.leave(&handle, now);
    user.schedule().lose_lease();
    assert_eq!(user.join(handle, now), Some(Work::TAKE_LEASE));
    assert!(user.request(Work::TAKE_LEASE));
    assert_eq!(user.next_work(), Some(WorkItem::TakeLease));
    assert_eq!(due(102).work, Work::NOTHING);
    assert_eq!(user.next_work(), None);
    assert_eq!(due(102).work, Work::TAKE_LEASE, "at once, not when the lost one was due again");
}

#[test]
fn a_comparison_that_comes_early_makes_the_next_one_no_rarer() {
    let (user, _, now) = alice();
    let due = |second| user.due(now + Duration::from_secs(second), Duration::from_secs(5), limits::LINGER);
    assert!(!due(0).check);
    for second in [1, 2, 3] {
        user.schedule().check_from(now + Duration::from_secs(second));
        assert!(due(second).check);
        user.schedule().check_ended();
    }
    // Five seconds and a fifth later. Planned comparisons in vain double that.
    assert!(due(10).check);
    user.schedule().check_ended();
    assert!(!due(17).check);
    assert!(due(23).check);
}

#[test]
fn a_comparison_finds_a_user_behind_a_lost_lease_and_a_revoked_stream() {
    let (user, handle, _) = alice();
    let compared = |image: &Image, is_held| user.row_compared(image, is_held);
    assert_eq!(compared(&image(5), true), Work::NOTHING);
    assert_eq!(compared(&image(4), false), Work::NOTHING, "an older image says nothing");
    assert_eq!(compared(&image(6), true), Work::CATCH_UP, "a post was lost");
    assert_eq!(compared(&image(6), false), Work::TAKE_LEASE.and(Work::CATCH_UP), "nobody posts here");
    let revoked = |seconds| {
        let valid_from = Timestamp::from_second(seconds).ok();
        let row = UserRow { cutoff: Cutoff { valid_from, ended: Vec::new() }, ..UserRow::default() };
        Image { row, ..image(5) }
    };
    compared(&revoked(1_000), true);
    assert_eq!(handle.end_request(), EndRequest::Open);
    compared(&revoked(1_001), true);
    assert_eq!(handle.end_request(), EndRequest::Close(CloseReason::Revoked));
}

#[test]
fn without_a_lease_events_that_a_comparison_finds_do_not_wait_for_a_take_that_fails_slowly() {
    let (user, _, now) = alice();
    user.schedule().lose_lease();
    assert!(user.request(Work::TAKE_LEASE));
    assert_eq!(user.next_work(), Some(WorkItem::TakeLease));
    // Meanwhile two comparisons find the user behind.
    for seq in [6, 7] {
        let work = user.row_compared(&image(seq), false);
        assert!(!user.request(work));
    }
    user.schedule().lease_failed(now, false);
    assert_eq!(user.next_work(), Some(WorkItem::CatchUp(at(5))));
}

#[test]
fn a_hint_that_the_row_disproves_is_dropped() {
    let (user, _, _) = alice();
    user.envelope_received(at(9), None);
    assert!(!user.page_read(&[]));
    assert_eq!(user.next_work(), Some(WorkItem::CatchUp(at(5))));
    user.hint_disproved(at(5));
    assert_eq!(user.next_work(), None);
}

#[test]
fn a_gap_sends_the_streams_past_it() {
    let (user, _, now) = alice();
    user.envelope_received(at(9), None);
    user.skip_gap(at(5), &image(9));
    let mut replay = Replay::new(LastEventId::Cursor(at(5)));
    replay.row_read(at(5), now);
    assert!(matches!(user.next(&mut replay, &mut 0, now), Next::Step(Step::ReadSettled)));
    replay.settled_read(at(9));
    assert!(matches!(user.next(&mut replay, &mut 0, now), Next::Step(Step::Reset { to, .. }) if to == at(9)));
}

#[test]
fn the_answer_of_a_take_serves_the_streams_that_had_joined_and_no_later_one() {
    let now = Instant::now();
    let user = User::new(UserId::parse("alice").unwrap(), Arc::default(), now);
    let stream = || Arc::new(StreamHandle::opened_at(Timestamp::UNIX_EPOCH));
    let [early, late] = [stream(), stream()];
    let work = user.join(early.clone(), now).unwrap();
    assert!(user.request(work) && user.will_answer(&early));
    assert_eq!(user.next_work(), Some(WorkItem::TakeLease));
    user.lease_asked();
    user.join(late.clone(), now);
    assert!(user.will_answer(&early) && !user.will_answer(&late));
    user.lease_answered(&Arc::new(image(5)));
    assert_eq!(early.take_image().map(|image| image.cursor), Some(at(5)));
    assert!(late.take_image().is_none() && !user.will_answer(&early));
}

#[test]
fn after_a_take_that_failed_streams_read_for_themselves() {
    let now = Instant::now();
    let user = User::new(UserId::parse("alice").unwrap(), Arc::default(), now);
    let stream = Arc::new(StreamHandle::opened_at(Timestamp::UNIX_EPOCH));
    let work = user.join(stream.clone(), now).unwrap();
    user.request(work);
    user.next_work();
    user.lease_asked();
    user.lease_unanswered();
    assert!(!user.will_answer(&stream) && stream.take_image().is_none());
}

fn bob_types() -> Ephemeral {
    let (thread, bob) = (ThreadId::group(1), UserId::parse("bob").unwrap());
    let typing = Typing { thread, user: bob, state: TypingState::Started, ttl_ms: 6_000 };
    let news = News::new(EventName::Typing, serde_json::to_string(&typing).unwrap());
    Ephemeral::read(&news).unwrap()
}

#[test]
fn typing_is_shown_to_a_stream_that_is_live_and_only_then() {
    let (user, _, now) = alice();
    assert!(user.ephemeral_received(bob_types(), now, now + limits::TYPING_TTL));
    let mut replay = Replay::new(LastEventId::Cursor(at(4)));
    replay.row_read(at(5), now);
    let mut version = 0;
    assert!(matches!(
        user.next(&mut replay, &mut version, now),
        Next::Step(Step::ReadInbox { after: InboxSeq(4) })
    ));
    replay.shipped(InboxSeq(5));
    let Next::Event(event, id, _) = user.next(&mut replay, &mut version, now) else { panic!("it is live") };
    assert_eq!((event.event, id), (EventName::Typing, Id::At(at(5))));
    assert!(matches!(user.next(&mut replay, &mut version, now), Next::Step(Step::Wait)));
}

/// Whether a stream from 5 on has to ask again after each event that it shows.
fn more(user: &User, typed: &mut u64, now: Instant) -> Vec<More> {
    let mut replay = Replay::new(LastEventId::Cursor(at(5)));
    replay.row_read(at(5), now);
    let mut all = Vec::new();
    while let Next::Event(event, _, more) = user.next(&mut replay, typed, now) {
        if event.event == EventName::Typing {
            break;
        }
        all.push(more);
    }
    all
}

#[test]
fn only_after_the_last_event_there_is_nothing_more_to_ask_for() {
    let (user, _, now) = alice();
    for seq in 6..=8 {
        user.envelope_received(at(seq), Some(&encoded()));
    }
    let mut typed = 0;
    assert_eq!(more(&user, &mut typed, now), [More::Perhaps, More::Perhaps, More::Nothing]);
    assert!(user.ephemeral_received(bob_types(), now, now + limits::TYPING_TTL));
    assert_eq!(more(&user, &mut typed, now), [More::Perhaps; 3]);
    // It was shown meanwhile.
    assert_eq!(more(&user, &mut typed, now), [More::Perhaps, More::Perhaps, More::Nothing]);
    // A stream that came too late for it stops looking for it.
    let (mut late, after) = (0, now + limits::TYPING_TTL);
    assert_eq!(more(&user, &mut late, after), [More::Perhaps; 3]);
    assert_eq!(more(&user, &mut late, after), [More::Perhaps, More::Perhaps, More::Nothing]);
}

#[test]
fn a_worker_that_panicked_is_replaced() {
    let (user, _, _) = alice();
    assert!(user.request(Work::READ_ROW));
    assert!(!user.request(Work::READ_ROW));
    user.worker_lost();
    assert!(user.request(Work::READ_ROW));
    assert_eq!(user.next_work(), Some(WorkItem::ReadRow));
}
