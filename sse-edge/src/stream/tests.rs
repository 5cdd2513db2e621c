//! Tests a stream alone: what it writes, and when, over an AWS that a function answers.

use std::task::Waker;

use client::aws::{Answer, Aws};
use domain::{
    cursor::{Cursor, Gen},
    ids::UserId,
    sequence::InboxSeq,
    user_row::UserRow,
};
use jiff::Timestamp;
use tokio::time::{advance, sleep};

use super::*;
use crate::context::{config::EdgeArgs, testing};

const AT: Cursor = Cursor { r#gen: Gen(1), seq: InboxSeq(5) };

/// A stream of a client with this id, whose user row is known or cannot be read; and its handle.
async fn opened(
    last_event_id: LastEventId,
    head: Option<Cursor>,
    life: SignedDuration,
) -> (Stream, Arc<StreamHandle>) {
    let aws = Aws::new(|_, _| Answer::Lost);
    let cx = testing::context(&aws, EdgeArgs::default()).await;
    let (hub, _) = Hub::new();
    let (hub, rows) = (Arc::new(hub), RowReader::start(&cx));
    let pings = PingSchedule::new(Instant::now(), cx.config.ping);
    let user: UserId = testing::user("alice");
    let handle = Arc::new(StreamHandle::opened_at(Timestamp::UNIX_EPOCH));
    let (alice, _) = hub.join(&user, handle.clone(), 10, Instant::now()).unwrap();
    let image = head.map(|cursor| Arc::new(Image { cursor, row: UserRow::default() }));
    alice.lease_asked();
    match &image {
        Some(image) => alice.lease_answered(image),
        None => alice.lease_unanswered(),
    }
    let address = Arc::<server::address_limit::AddressLimits>::default().acquire(None, 10).unwrap();
    let (issued_at, expires_at) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + life);
    let identity = Identity {
        user,
        issued_at,
        expires_at,
        session: None,
        scopes: server::auth::scope::Scopes::default(),
        via: None,
    };
    let deps = Arc::new(StreamDeps { cx, hub, rows, pings });
    let parts = (alice, handle.clone(), address);
    (Stream::new(deps, parts, &identity, last_event_id), handle)
}

/// What the stream writes now, as text; none if it waits or has ended.
fn written(stream: &mut Stream) -> Option<String> {
    let mut cx = task::Context::from_waker(Waker::noop());
    match stream.next(&mut cx, Instant::now()) {
        Output::Frame(frame) | Output::Last(frame, _) => {
            Some(String::from_utf8(frame.text().to_vec()).unwrap())
        }
        Output::Wait(_) | Output::End => None,
    }
}

/// The name of the event that the stream writes now.
fn event(stream: &mut Stream) -> Option<String> {
    let text = written(stream)?;
    let name = text.lines().find_map(|line| line.strip_prefix("event: ")).unwrap_or("none");
    Some(name.to_owned())
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn a_stream_says_hello_pings_and_says_why_it_ends() {
    let (mut stream, handle) = opened(LastEventId::Cursor(AT), Some(AT), HOUR).await;
    let hello = written(&mut stream).unwrap();
    assert!(hello.starts_with(":\nevent: hello\n") && hello.ends_with(&format!("id: {AT}\n\n")), "{hello}");
    assert_eq!(event(&mut stream), None);
    advance(limits::PING).await;
    assert_eq!(event(&mut stream).as_deref(), Some("ping"));
    assert_eq!(event(&mut stream), None, "one ping a period");
    handle.close(CloseReason::Drain);
    assert!(written(&mut stream).unwrap().contains("\"drain\""));
    assert_eq!(event(&mut stream), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_token_does() {
    let (mut stream, _handle) = opened(LastEventId::Cursor(AT), Some(AT), SignedDuration::from_mins(1)).await;
    assert_eq!(event(&mut stream).as_deref(), Some("hello"));
    advance(Duration::from_secs(89)).await;
    assert_eq!(event(&mut stream).as_deref(), Some("ping"));
    assert_eq!(event(&mut stream), None);
    // The clocks of its issuer and of the edge may differ by 30 s.
    advance(Duration::from_secs(1)).await;
    assert!(written(&mut stream).unwrap().contains("\"expired\""));
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_cursor_hears_nothing_until_its_inbox_is_read() {
    let (mut stream, handle) = opened(LastEventId::Absent, None, HOUR).await;
    assert_eq!(written(&mut stream).as_deref(), Some(":\n"));
    for _ in 0..5 {
        // No read succeeds: what it has learned nothing of it does not greet with.
        sleep(limits::PING).await;
        assert_eq!(event(&mut stream), None);
    }
    handle.cut();
    assert!(stream.poll_cut(&mut task::Context::from_waker(Waker::noop())).is_ready());
    let mut cx = task::Context::from_waker(Waker::noop());
    assert!(matches!(stream.next(&mut cx, Instant::now()), Output::End), "a cut says no bye");
}
