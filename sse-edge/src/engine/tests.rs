//! Tests the engine against a model. The streams write, are asked to end, or are cut at any moment. Their sockets
//! accept any part of a write, accept nothing, or break.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    cursor::{Cursor, Gen},
    envelope::News,
    event::EventName,
    frame::Id,
    sequence::InboxSeq,
};
use tokio::time::{Instant, advance};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::model::{End, HEAD, Model, NEWS, PATIENCE, PING, READ, Side, WRITE};
use super::{connection::Connection, lane::Lane, transport::StreamSocket};
use crate::wire::{
    encoded_event::EncodedEvent,
    frame::{Content, Frame},
};

mod model;

/// How late the engine may be: a tick of its wheel, and rounding.
const LATE: Duration = Duration::from_millis(150);
/// The longest that time passes at once.
const JUMP_MS: u64 = 12_000;
const CONNS: usize = 12;
const STEPS: usize = 400;

struct Run {
    lane: Arc<Lane<End>>,
    models: Vec<Model>,
    rng: fastrand::Rng,
    said: u64,
}

impl Run {
    fn frame(&mut self) -> Frame {
        self.said += 1;
        let most = if self.rng.u8(..8) == 0 { 6_000 } else { 600 };
        let news = News::new(EventName::Message, format!("\"{}\"", "x".repeat(self.rng.usize(0..most))));
        let id = Id::At(Cursor { r#gen: Gen(1), seq: InboxSeq(self.said) });
        Frame::new(Content::Event(EncodedEvent::new(&news, None)), id)
    }

    fn adopt(&mut self) {
        let model = Model(Arc::new(Mutex::new(Side::new())));
        self.lane.adopt(End(model.clone(), self.rng.fork()), HEAD);
        self.models.push(model);
    }

    async fn step(&mut self) {
        let open: Vec<Model> = self.models.iter().filter(|model| model.side().is_open()).cloned().collect();
        if open.len() < CONNS {
            self.adopt();
        }
        let Some(one) = self.rng.choice(&open).cloned() else { return };
        match self.rng.u8(..32) {
            // A fan-out, in the midst of which some are cut, break or are let go on.
            0..4 => {
                let frame = self.frame();
                for model in &open {
                    self.tell(model, &frame);
                    if self.rng.u8(..3) == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
            4..10 => {
                for _ in 0..self.rng.usize(1..40) {
                    let frame = self.frame();
                    one.side().news.push_back(frame);
                }
                one.side().wake(NEWS);
            }
            10..20 => {
                let mut side = one.side();
                side.room += self.rng.usize(1..4_000);
                side.wake(WRITE);
            }
            24 => {
                let mut side = one.side();
                side.gone = true;
                side.wake(READ);
            }
            25 => {
                let mut side = one.side();
                side.asked_to_end = true;
                side.wake(NEWS);
            }
            26 => {
                let mut side = one.side();
                side.cut = true;
                side.wake(NEWS);
            }
            // A waker that calls for nothing.
            27 => one.side().wake(NEWS),
            // Time passes; a jump that the ping waits for may begin a stall late.
            _ => advance(Duration::from_millis(self.rng.u64(1..JUMP_MS))).await,
        }
        if self.rng.bool() {
            self.settle().await;
            self.judge();
        }
    }

    fn tell(&mut self, model: &Model, frame: &Frame) {
        let mut side = model.side();
        side.news.push_back(frame.clone());
        side.wake(NEWS);
        match self.rng.u8(..100) {
            0 => side.cut = true,
            1 => {
                side.gone = true;
                side.wake(READ);
            }
            _ => {}
        }
    }

    async fn settle(&self) {
        for _ in 0..CONNS * 10 {
            tokio::task::yield_now().await;
        }
    }

    fn judge(&self) {
        let now = Instant::now();
        for model in &self.models {
            let side = model.side();
            assert!(side.drops <= 1, "it is let go once");
            if side.drops == 1 {
                let stalled = now >= side.took_at + PATIENCE;
                let told = side.gone || side.cut || side.says_end || stalled;
                assert!(told, "nobody is closed for nothing");
                let whole = side.says_end && side.wire == side.said;
                assert!(whole || side.gone || side.reset, "what was said arrives, or a reset");
                continue;
            }
            assert!(!side.gone, "who is gone is let go");
            assert!(!(side.cut && side.is_blocked()), "who is cut is let go, whether it reads or not");
            if side.is_blocked() {
                let begin = side.took_at + PING + Duration::from_millis(JUMP_MS) + LATE;
                assert!(now < begin + PATIENCE, "who does not read is let go");
                assert!(side.said.len() - side.wire.len() < 11 * 1024, "and holds little meanwhile");
            } else {
                assert!(side.news.is_empty(), "who reads is shown everything");
                assert_eq!(side.wire, side.said);
                assert!(!side.says_end, "who has ended is let go");
                assert!(now < side.ping_at + LATE, "and pinged");
            }
        }
    }
}

async fn run(seed: u64) {
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let lane: Arc<Lane<End>> = Arc::default();
    tracker.spawn(lane.clone().run(stop.clone()));
    let mut run = Run { lane, models: Vec::new(), rng: fastrand::Rng::with_seed(seed), said: 0 };
    for _ in 0..STEPS {
        run.step().await;
    }
    // At the end, a reading client gets every frame, and every other stream is cut.
    stop.cancel();
    for model in &run.models {
        let mut side = model.side();
        if run.rng.bool() {
            side.asked_to_end = true;
            side.room = usize::MAX;
        } else {
            side.cut = true;
        }
        side.wake(WRITE);
        side.wake(NEWS);
    }
    tracker.close();
    tokio::time::timeout(Duration::from_secs(1), tracker.wait()).await.expect("the lane ends");
    run.judge();
    assert!(run.models.iter().all(|model| model.side().drops == 1));
    // Nobody is adopted any more, and nothing is left behind.
    run.adopt();
    assert_eq!(run.models.pop().unwrap().side().drops, 1);
    let left = run.models.iter().filter(|model| Arc::strong_count(&model.0) > 1).count();
    assert_eq!(left, 0, "nothing is held any more");
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_each_stream_arrives_whole_in_order_and_once() {
    let random = fastrand::u64(..);
    for seed in (0..24).chain([random]) {
        println!("seed {seed}");
        run(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_panics_is_let_go_alone() {
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let lane: Arc<Lane<End>> = Arc::default();
    tracker.spawn(lane.clone().run(stop.clone()));
    let mut run = Run { lane, models: Vec::new(), rng: fastrand::Rng::with_seed(1), said: 0 };
    for _ in 0..3 {
        run.adopt();
    }
    run.models[1].side().panics = true;
    for model in &run.models {
        model.side().room = usize::MAX;
    }
    run.settle().await;
    let frame = run.frame();
    for model in &run.models {
        model.side().news.push_back(frame.clone());
        model.side().wake(NEWS);
    }
    run.settle().await;
    let drops: Vec<usize> = run.models.iter().map(|model| model.side().drops).collect();
    assert_eq!(drops, [0, 1, 0]);
    let mut chunk = Vec::new();
    frame.write_chunk(&mut chunk);
    assert!(run.models[2].side().wire.ends_with(&chunk));
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_many_turns_of_the_wheel_is_made_up_for_at_once() {
    let lane: Arc<Lane<End>> = Arc::default();
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    tracker.spawn(lane.clone().run(stop.clone()));
    let mut run = Run { lane, models: Vec::new(), rng: fastrand::Rng::with_seed(1), said: 0 };
    // Their pings are due at every place of the wheel.
    for _ in 0..64 {
        run.adopt();
        run.models.last().unwrap().side().room = usize::MAX;
        run.settle().await;
        advance(Duration::from_millis(400)).await;
    }
    for pause in [Duration::from_hours(8 * 24), PING, Duration::from_hours(1), PING] {
        advance(pause).await;
        run.settle().await;
        run.judge();
    }
    assert!(run.models.iter().all(|model| model.side().is_open()));
}

#[test]
fn a_stream_at_rest_is_small() {
    let conn = size_of::<Connection<StreamSocket>>();
    assert!(conn <= 384, "{conn} bytes");
    let user = size_of::<crate::user::User>();
    assert!(user <= 288, "{user} bytes");
}
