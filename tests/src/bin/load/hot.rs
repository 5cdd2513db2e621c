//! One user in many busy threads: how fast their inbox grows, and whether all of it arrives.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use http::StatusCode;
use serde_json::json;
use tests::{http::Api, sse::Stream};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::sign_in;

/// How long to wait for what the sweeper has to bring: a hold of the outbox row and a sweep.
const LAST: Duration = Duration::from_secs(45);

/// What to load with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hot {
    /// Where `runnel` serves.
    pub address: SocketAddr,
    /// Threads of the user.
    pub threads: u32,
    /// Writers in each.
    pub writers: u32,
    /// For how long they write, each as fast as it is answered.
    pub time: Duration,
}

/// Runs it, and says what came of it.
pub(crate) async fn run(hot: Hot) {
    let user = sign_in(hot.address, "hot").await;
    let (mut writers, tracker) = (Vec::new(), TaskTracker::new());
    for t in 0..hot.threads {
        let names: Vec<String> = (0..hot.writers).map(|w| format!("writer{t}-{w}")).collect();
        let mut members = names.clone();
        members.push("hot".into());
        let mut apis = Vec::new();
        for name in &names {
            apis.push(Api { address: hot.address, token: Some(sign_in(hot.address, name).await) });
        }
        let thread = apis[0].thread(json!({"members": members, "title": format!("busy {t}")})).await;
        writers.extend(apis.into_iter().map(|api| (api, thread.clone())));
    }
    let mut stream = Stream::open(hot.address, &user, None).await;
    stream.expect("hello").await;
    let begin = Instant::now();
    let writing: Vec<_> = writers
        .into_iter()
        .map(|(api, thread)| tracker.spawn(write(api, thread, begin + hot.time)))
        .collect();
    let counting = tracker.spawn(count(stream, begin));
    let (mut accepted, mut refused) = (0, 0);
    for writer in writing {
        let (a, r) = writer.await.unwrap();
        accepted += a;
        refused += r;
    }
    let written = begin.elapsed();
    let (shown, doubled, reordered, last) = counting.await.unwrap();
    println!(
        "{accepted} messages accepted in {:.1} s ({:.0}/s), {refused} answered 503; {shown} in one inbox after {:.1} s ({:.0}/s); lost {}, doubled {doubled}, reordered {reordered}",
        written.as_secs_f64(),
        f64::from(accepted) / written.as_secs_f64(),
        last.as_secs_f64(),
        f64::from(shown) / last.as_secs_f64(),
        i64::from(accepted) - i64::from(shown),
    );
}

async fn write(api: Api, thread: String, end: Instant) -> (u32, u32) {
    let (mut accepted, mut refused) = (0, 0);
    while Instant::now() < end {
        let said = api.post(&format!("/v1/threads/{thread}/messages"), json!({"text": "busy"})).await;
        match said.status {
            StatusCode::CREATED => accepted += 1,
            StatusCode::SERVICE_UNAVAILABLE => refused += 1,
            other => panic!("{other}"),
        }
    }
    (accepted, refused)
}

/// Counts messages until none has come for a while: shown, doubled, reordered, time of the last.
async fn count(mut stream: Stream, begin: Instant) -> (u32, u32, u32, Duration) {
    let (mut shown, mut doubled, mut reordered, mut last) = (0, 0, 0, Duration::ZERO);
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    let mut quiet = Instant::now() + LAST;
    while let Ok(frame) = timeout(quiet - Instant::now(), stream.next()).await {
        let (Some(thread), Some(number)) = (frame.data["thread"].as_str(), frame.data["number"].as_u64())
        else {
            continue;
        };
        (last, quiet) = (begin.elapsed(), Instant::now() + LAST);
        let before = numbers.entry(thread.to_owned()).or_default();
        match number.cmp(&(*before + 1)) {
            std::cmp::Ordering::Less => doubled += 1,
            std::cmp::Ordering::Greater => reordered += 1,
            std::cmp::Ordering::Equal => shown += 1,
        }
        *before = number.max(*before);
    }
    (shown, doubled, reordered, last)
}
