use std::time::Duration;

use domain::{cursor::Gen, envelope::News, event::EventName, ids::QueueId};
use jiff::Timestamp;

use super::{
    lease::{Held, Receiving},
    turns::Job,
    *,
};
use crate::brought::Brought;

const GEN: Gen = Gen(1);

fn at(seq: u64) -> Cursor {
    Cursor { r#gen: GEN, seq }
}

fn head(seq: u64) -> Head {
    Head { cursor: at(seq), authv: None }
}

fn news() -> News {
    News::new(EventName::Message, "{}".into())
}

fn told() -> Arc<Shown> {
    Shown::new(&news(), None)
}

fn events(seqs: impl IntoIterator<Item = u64>) -> Vec<Event> {
    seqs.into_iter().map(|seq| Event { seq, news: news() }).collect()
}

fn held() -> Held {
    Held { queue: QueueId::made(1), receiving: Receiving::Edges }
}

/// A user with one stream, a lease and a ring at 5.
fn alice() -> (UserStreams, Arc<Handle>, Instant) {
    let now = Instant::now();
    let user = UserStreams::new(UserId::parse("alice").unwrap(), now);
    let handle = Arc::new(Handle::new(Timestamp::from_second(1_000).unwrap()));
    assert_eq!(user.join(handle.clone(), Instant::now()), Some(Ask::LEASE));
    assert!(user.hold(held(), now, || true).is_none());
    user.settle(&head(5));
    (user, handle, now)
}

/// Follows from `seq` on, and says which events it is shown.
fn shown(user: &UserStreams, seq: u64, now: Instant) -> Vec<String> {
    let mut splice = Splice::new(Brought::Readable(at(seq)));
    splice.head(at(seq), now);
    let mut typing = 0;
    let mut ids = Vec::new();
    while let Next::Shown(shown, _) = user.next(&mut splice, &mut typing, now) {
        assert_eq!(&*shown.lines, "event: message\ndata: {}\n");
        ids.push(splice.id().0.unwrap().seq.to_string());
    }
    ids
}

#[test]
fn the_next_event_of_an_envelope_is_shown_at_once_and_only_once() {
    let (user, _, now) = alice();
    assert_eq!(user.deliver(at(6), Some(&told())), Ask::NOTHING);
    assert_eq!(user.deliver(at(6), Some(&told())), Ask::NOTHING);
    assert_eq!(user.deliver(at(4), Some(&told())), Ask::NOTHING);
    assert_eq!(shown(&user, 5, now), ["6"]);
    assert_eq!(user.next_job(), None);
}

#[test]
fn an_envelope_from_further_on_or_without_news_makes_the_ring_catch_up() {
    let (user, _, now) = alice();
    assert_eq!(user.deliver(at(8), Some(&told())), Ask::CATCH_UP);
    assert!(user.ask(Ask::CATCH_UP));
    assert_eq!(user.next_job(), Some(Job::CatchUp(at(5))));
    assert!(user.extend(&events([6, 7, 8])));
    assert_eq!(shown(&user, 5, now), ["6", "7", "8"]);
    assert_eq!(user.next_job(), None);
    assert_eq!(user.deliver(at(9), None), Ask::CATCH_UP);
}

#[test]
fn an_envelope_of_another_generation_makes_head_be_read() {
    let (user, _, now) = alice();
    assert_eq!(user.deliver(Cursor { r#gen: Gen(2), seq: 6 }, Some(&told())), Ask::HEAD);
    assert_eq!(shown(&user, 5, now), [""; 0]);
}

#[test]
fn an_envelope_that_comes_before_head_was_read_is_not_forgotten() {
    let now = Instant::now();
    let user = UserStreams::new(UserId::parse("alice").unwrap(), now);
    user.join(Arc::new(Handle::new(Timestamp::UNIX_EPOCH)), Instant::now());
    user.deliver(at(6), Some(&told()));
    // Read before the event was appended.
    user.settle(&head(5));
    assert!(user.ask(Ask::CATCH_UP));
    assert_eq!(user.next_job(), Some(Job::CatchUp(at(5))));
}

#[test]
fn there_is_one_task_at_a_time_and_it_takes_the_lease_before_it_reads() {
    let now = Instant::now();
    let user = UserStreams::new(UserId::parse("alice").unwrap(), now);
    let ask = user.join(Arc::new(Handle::new(Timestamp::UNIX_EPOCH)), Instant::now()).unwrap();
    assert!(user.ask(ask));
    assert!(!user.ask(Ask::AGAIN));
    assert_eq!(user.next_job(), Some(Job::TakeLease));
    assert_eq!(user.next_job(), Some(Job::ReadHead));
    user.settle(&head(5));
    assert_eq!(user.next_job(), None);
    assert!(user.ask(Ask::HEAD));
}

#[test]
fn a_lease_goes_after_the_linger_and_whoever_comes_in_between_keeps_it() {
    let (user, handle, now) = alice();
    let minute = Duration::from_secs(60);
    user.leave(&handle, now);
    assert_eq!(user.round(now + limits::LINGER / 2, minute, limits::LINGER).ask, Ask::NOTHING);
    let later = now + limits::LINGER;
    assert_eq!(user.round(later, minute, limits::LINGER).ask, Ask::RELEASE);
    assert!(user.ask(Ask::RELEASE));
    assert_eq!(user.join(handle.clone(), Instant::now()), Some(Ask::NOTHING));
    assert_eq!(user.next_job(), None);
    user.leave(&handle, later);
    assert!(user.ask(Ask::RELEASE));
    assert_eq!(user.next_job(), Some(Job::Release));
    assert!(user.release().is_some());
    // Whoever comes now waits for a lease taken anew.
    assert_eq!(user.join(handle, Instant::now()), Some(Ask::LEASE));
    assert!(!user.ask(Ask::LEASE));
    assert_eq!(user.next_job(), Some(Job::TakeLease));
    assert_eq!(user.next_job(), Some(Job::ReadHead));
}

#[test]
fn a_lease_of_an_old_name_is_not_kept() {
    let (user, _, now) = alice();
    user.lose_lease();
    assert!(user.hold(held(), now, || false).is_some());
    assert_eq!(user.held(), None);
}

#[test]
fn a_check_comes_two_seconds_after_a_lease_and_then_now_and_then() {
    let (user, _, now) = alice();
    let minute = Duration::from_secs(60);
    assert!(!user.round(now + limits::FIRST_CHECK / 2, minute, limits::LINGER).check);
    let first = now + limits::FIRST_CHECK;
    assert!(user.round(first, minute, limits::LINGER).check);
    user.compared();
    assert!(!user.round(first + minute / 2, minute, limits::LINGER).check);
    assert!(user.round(first + 2 * minute, minute, limits::LINGER).check);
}

#[test]
fn without_a_lease_the_cursor_is_compared_every_second_and_the_lease_tried_again() {
    // As good as none is one whose queue is gone.
    let losses: [fn(&UserStreams); 2] = [UserStreams::unconfirmed, |user| drop(user.lose_lease())];
    for lost in losses {
        let (user, _, now) = alice();
        let round =
            |second| user.round(now + Duration::from_secs(second), Duration::from_hours(1), limits::LINGER);
        assert!(round(2).check, "the one that follows the lease");
        user.compared();
        lost(&user);
        user.no_lease(now + Duration::from_secs(2));
        let (mut checks, mut tries) = (0, 0);
        for second in 3..14 {
            let round = round(second);
            if round.check {
                checks += 1;
                user.compared();
            }
            if round.ask == Ask::LEASE {
                tries += 1;
                user.no_lease(now + Duration::from_secs(second));
            }
        }
        assert_eq!(checks, 10);
        assert!((2..6).contains(&tries), "{tries}");
    }
}

#[test]
fn neither_a_comparison_nor_a_take_is_begun_while_one_is_under_way() {
    let (user, handle, now) = alice();
    let round =
        |second| user.round(now + Duration::from_secs(second), Duration::from_secs(5), limits::LINGER);
    assert!(round(2).check);
    assert!(!round(100).check);
    user.compared();
    assert!(round(101).check);
    user.leave(&handle, now);
    user.lose_lease();
    assert_eq!(user.join(handle, now), Some(Ask::LEASE));
    assert!(user.ask(Ask::LEASE));
    assert_eq!(user.next_job(), Some(Job::TakeLease));
    assert_eq!(round(102).ask, Ask::NOTHING);
    assert_eq!(user.next_job(), None);
    assert_eq!(round(102).ask, Ask::LEASE, "at once, not when the lost one was due again");
}

#[test]
fn a_check_finds_a_user_behind_and_a_revoked_stream() {
    let (user, handle, _) = alice();
    assert_eq!(user.compare(&head(5), Instant::now()), Ask::NOTHING);
    assert_eq!(user.compare(&head(4), Instant::now()), Ask::NOTHING);
    assert_eq!(user.compare(&head(6), Instant::now()), Ask::AGAIN);
    let old = Some(Timestamp::from_second(1_000).unwrap());
    user.compare(&Head { authv: old, ..head(5) }, Instant::now());
    assert_eq!(handle.asked(), crate::handle::Asked::Nothing);
    let new = Some(Timestamp::from_second(1_001).unwrap());
    user.compare(&Head { authv: new, ..head(5) }, Instant::now());
    assert_eq!(handle.asked(), crate::handle::Asked::Bye(Bye::Revoked));
}

#[test]
fn a_hint_that_head_does_not_bear_out_is_dropped_and_no_hole() {
    let (user, _, _) = alice();
    user.deliver(at(9), None);
    assert!(!user.extend(&[]));
    assert!(!user.give_up(at(5), &head(5)));
    assert_eq!(user.next_job(), None);
}

#[test]
fn a_hole_that_is_given_up_sends_the_streams_past_it() {
    let (user, _, now) = alice();
    user.deliver(at(9), None);
    assert!(!user.extend(&events([7, 8, 9])));
    assert!(user.give_up(at(5), &head(9)));
    let mut splice = Splice::new(Brought::Readable(at(5)));
    splice.head(at(5), now);
    assert!(matches!(user.next(&mut splice, &mut 0, now), Next::Step(Step::Reset { to, .. }) if to == at(9)));
}

#[test]
fn typing_is_shown_to_a_stream_that_is_live_and_only_then() {
    let (user, _, now) = alice();
    let bob = UserId::parse("bob").unwrap();
    let thread = domain::ids::ThreadId::group(1);
    let typing = Typing { thread, user: bob, state: domain::wire::TypingState::Started, ttl_ms: 6_000 };
    assert!(user.typing(&typing, "{\"a\":1}", now, now + limits::TYPING_TTL));
    let mut splice = Splice::new(Brought::Readable(at(4)));
    splice.head(at(5), now);
    let mut version = 0;
    assert!(matches!(user.next(&mut splice, &mut version, now), Next::Step(Step::ReadInbox { after: 4 })));
    splice.shipped(5);
    let Next::Typing(frame) = user.next(&mut splice, &mut version, now) else { panic!("it is live") };
    assert_eq!(frame.text(), format!("event: typing\ndata: {{\"a\":1}}\nid: {}\n\n", at(5)));
    assert!(matches!(user.next(&mut splice, &mut version, now), Next::Step(Step::Wait)));
}

/// Whether a stream that follows from 5 on has to be asked again behind each event that it is shown.
fn more(user: &UserStreams, typed: &mut u64, now: Instant) -> Vec<More> {
    let mut splice = Splice::new(Brought::Readable(at(5)));
    splice.head(at(5), now);
    let mut all = Vec::new();
    while let Next::Shown(_, more) = user.next(&mut splice, typed, now) {
        all.push(more);
    }
    all
}

#[test]
fn only_behind_the_last_event_of_the_ring_and_of_who_types_there_is_nothing_to_ask_for() {
    let (user, _, now) = alice();
    for seq in 6..=8 {
        user.deliver(at(seq), Some(&told()));
    }
    let mut typed = 0;
    assert_eq!(more(&user, &mut typed, now), [More::Perhaps, More::Perhaps, More::Nothing]);
    let thread = domain::ids::ThreadId::group(1);
    let bob = UserId::parse("bob").unwrap();
    let typing = Typing { thread, user: bob, state: domain::wire::TypingState::Started, ttl_ms: 6_000 };
    assert!(user.typing(&typing, "{}", now, now + limits::TYPING_TTL));
    assert_eq!(more(&user, &mut typed, now), [More::Perhaps; 3]);
    // It was shown meanwhile.
    assert_eq!(more(&user, &mut typed, now), [More::Perhaps, More::Perhaps, More::Nothing]);
    // Whoever came too late for it does not look for it for ever.
    let (mut late, after) = (0, now + limits::TYPING_TTL);
    assert_eq!(more(&user, &mut late, after), [More::Perhaps; 3]);
    assert_eq!(more(&user, &mut late, after), [More::Perhaps, More::Perhaps, More::Nothing]);
}

#[test]
fn a_user_whose_task_has_panicked_is_tended_by_another_one() {
    let (user, _, _) = alice();
    assert!(user.ask(Ask::HEAD));
    assert!(!user.ask(Ask::HEAD));
    user.untended();
    assert!(user.ask(Ask::HEAD));
    assert_eq!(user.next_job(), Some(Job::ReadHead));
}
