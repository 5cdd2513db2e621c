//! Chromium, Firefox and `WebKitGTK` as Debian has them, against a real edge: what each makes of a
//! stream that breaks, with nothing around its own `EventSource`.
//!
//! An engine that is not installed is skipped, aloud. What a run finds is printed as tables, and
//! pictures of the page lie in `tests/out`.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "a run says what it skipped and what it found")]

mod doors;
mod passage;
mod product;
mod proxy;
mod sweep;
mod table;

use doors::{Doors, RETRY_MS};
use futures_util::future::join_all;
use product::chat;
use sweep::{Outcome, Stage};
use tests::{browser::Browser, engine::Engine};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_engine_loses_doubles_or_corrupts_an_event_wherever_its_stream_is_cut() {
    let stage = Stage::set().await;
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    let start = Instant::now();
    let (stage, all) = (&stage, Engine::installed(&Engine::ALL).into_iter());
    let all = all.map(|engine| async move {
        let outcome = engine.lend(async |browser| stage.every_byte(engine, browser).await).await;
        (engine, outcome, start.elapsed())
    });
    for (engine, outcome, took) in join_all(all).await {
        let Outcome { lanes, glued, exact, .. } = outcome;
        let cells = vec![
            stage.length().to_string(),
            lanes.to_string(),
            outcome.wrong.len().to_string(),
            glued.to_string(),
            exact.to_string(),
            format!("{:.1} s", took.as_secs_f32()),
        ];
        lines.push((engine, cells));
        wrong.extend(outcome.wrong);
    }
    let columns =
        ["bytes", "streams cut", "wrong", "glued to a hello", "came with the last whole id", "time"];
    table::print("Cut behind every byte, by FIN and by RST", &columns, &lines);
    assert!(wrong.is_empty(), "{} wrong, such as {}", wrong.len(), wrong[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_opening_is_what_keeps_an_engine_that_glues_from_showing_what_was_cut() {
    let stage = Stage::set().await;
    let mut lines = Vec::new();
    for engine in Engine::installed(&Engine::ALL) {
        let Outcome { lanes, wrong, .. } =
            engine.lend(async |browser| stage.without_opening(engine, browser).await).await;
        lines.push((engine, vec![lanes.to_string(), wrong.len().to_string()]));
        assert_eq!(!wrong.is_empty(), engine.glues(), "{engine:?}: {:?}", wrong.first());
    }
    table::print("Cut in a message, on streams without their opening", &["streams cut", "wrong"], &lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_engine_comes_back_when_it_is_told_to_and_never_when_it_is_told_so() {
    let all = Engine::installed(&Engine::ALL).into_iter().map(|engine| async move {
        let story = async |browser: &mut Browser| {
            let mut doors = Doors::open(engine, browser).await;
            vec![doors.drain().await, doors.busy().await, doors.revoked().await]
        };
        (engine, engine.lend(story).await)
    });
    let drain = format!("bye with retry {RETRY_MS}");
    table::print("Told to come back", &[&drain, "200, busy", "204"], &join_all(all).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_works_in_every_engine() {
    let all = Engine::installed(&Engine::ALL).into_iter();
    join_all(all.map(|engine| engine.lend(async move |browser: &mut Browser| chat(engine, browser).await)))
        .await;
}
