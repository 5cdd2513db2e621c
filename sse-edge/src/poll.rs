//! `GET /v1/events/poll`: the stream for clients that cannot have one, cut into answers.
//!
//! It is the very stream of `GET /v1/events`, read by the request that waits: the same cursor, the
//! same frames, the same caps and leases. An answer ends the stream, not the lease: that lingers
//! until the client comes back.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use domain::{event::EventName, frame, limits};
use http::Method;
use serde::Serialize;
use serde_json::value::RawValue;
use server::problem::{Kind, Problem};
use tokio::time::{Instant, sleep_until};

use crate::{
    caps::Cap,
    client::Client,
    frames::Bye,
    open::{self, NoStream},
    shared::Shared,
    stream::Stream,
    timed::Timed,
};

/// How much longer than asked a poll may take until it knows that there is nothing: a cursor above
/// HEAD is believed after [`limits::HOLE_PATIENCE`].
const GRACE: Duration = limits::HOLE_PATIENCE.saturating_add(Duration::from_secs(2));

/// What a poll answers.
#[derive(Debug, Default, Serialize)]
struct Answer {
    /// What is new, in order.
    events: Vec<Shown>,
    /// Where the next poll, or a stream, goes on.
    cursor: String,
    /// The client has to list again; `cursor` is where to go on then.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<Box<RawValue>>,
    #[serde(skip)]
    bytes: usize,
}

/// One frame, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    event: String,
    id: String,
    data: Box<RawValue>,
}

/// Whether a poll goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There may be more.
    On,
    /// There is enough.
    Enough,
    /// The stream has ended, perhaps with a reason.
    Ended(Option<Bye>),
    /// It cannot be told in time whether there is anything.
    Unknown,
}

/// Answers `GET /v1/events/poll`.
pub(crate) async fn poll(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if request.method() != Method::GET {
        return open::only_get();
    }
    let client = Client::of(request, shared.config.address_header.as_ref());
    let wait = match client.parameter("wait").map(str::parse::<u64>) {
        None => limits::POLL_WAIT,
        Some(Ok(seconds)) => Duration::from_secs(seconds).min(limits::POLL_WAIT),
        Some(Err(_)) => {
            let detail = "`wait` must be a whole number of seconds from 0 to 25";
            return Problem::invalid("wait", detail).into_response();
        }
    };
    match open::open(&shared, client).await {
        Ok(stream) => {
            gather(stream, wait).await.map_or_else(|problem| problem.into_response(), Json::into_response)
        }
        Err(NoStream::Refused(problem)) => problem.into_response(),
        Err(NoStream::Revoked) => not_now(Bye::Revoked).into_response(),
        Err(NoStream::Bye(why)) => not_now(why).into_response(),
        Err(NoStream::Full(cap)) => full(cap).into_response(),
    }
}

/// Reads the stream until there is something, or until it is known that there is nothing.
async fn gather(stream: Stream, wait: Duration) -> Result<Json<Answer>, Problem> {
    let mut stream = Timed::new(stream);
    stream.stream.for_a_poll();
    let (mut answer, until) = (Answer::default(), Instant::now() + wait);
    let mut timer = Box::pin(sleep_until(until));
    let turn = poll_fn(|cx| {
        loop {
            let turn = match stream.poll_next(cx) {
                Poll::Ready(frame) => answer.take(frame.map(|frame| frame.text()).as_ref()),
                Poll::Pending if !answer.events.is_empty() => Turn::Enough,
                Poll::Pending => {
                    let now = Instant::now();
                    match (now >= until, stream.stream.is_caught_up()) {
                        (true, true) => Turn::Enough,
                        (true, false) if now >= until + GRACE => Turn::Unknown,
                        (late, _) => {
                            timer.as_mut().reset(if late { until + GRACE } else { until });
                            ready!(timer.as_mut().poll(cx));
                            Turn::On
                        }
                    }
                }
            };
            if turn != Turn::On {
                return Poll::Ready(turn);
            }
        }
    })
    .await;
    match turn {
        // The next poll hears why.
        Turn::Ended(Some(why)) if answer.events.is_empty() => Err(not_now(why)),
        Turn::Ended(None) if answer.events.is_empty() => Err(not_now(Bye::Drain)),
        Turn::Unknown => Err(not_now(Bye::Busy)),
        Turn::On | Turn::Enough | Turn::Ended(_) => Ok(Json(answer)),
    }
}

impl Answer {
    fn take(&mut self, frame: Option<&Bytes>) -> Turn {
        let Some(bytes) = frame else { return Turn::Ended(None) };
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        // Only the comment at the beginning of a stream is none.
        let Some(said) = frame::said(text) else { return Turn::On };
        said.id.clone_into(&mut self.cursor);
        let is = |name: EventName| said.event == name.as_str();
        if is(EventName::Hello) || is(EventName::Ping) {
            return Turn::On;
        }
        let Ok(data) = RawValue::from_string(said.data.to_owned()) else { return Turn::On };
        if is(EventName::Bye) {
            return Turn::Ended(
                Bye::ALL.into_iter().find(|bye| data.get().contains(&format!("\"{}\"", bye.as_str()))),
            );
        }
        if is(EventName::Reset) {
            self.reset = Some(data);
            return Turn::Enough;
        }
        self.bytes += bytes.len();
        self.events.push(Shown { event: said.event.to_owned(), id: said.id.to_owned(), data });
        let enough = self.events.len() >= limits::POLL_EVENTS || self.bytes >= limits::POLL_BYTES;
        if enough { Turn::Enough } else { Turn::On }
    }
}

/// What a stream would say with `bye`, as a status: a poll's client can read it.
fn not_now(why: Bye) -> Problem {
    let (kind, detail) = match why {
        Bye::Expired => (Kind::Unauthorized, "the token has expired: fetch a new one"),
        Bye::Revoked => (Kind::Unauthorized, "the token was revoked: sign in again"),
        Bye::Ticket => (Kind::Unauthorized, "the ticket is unknown, used or expired: fetch a new one"),
        Bye::Drain | Bye::Age => (Kind::Unavailable(1), "this edge is shutting down: poll again"),
        Bye::Busy => {
            // Spread, since whoever is turned away together comes back together.
            (Kind::Unavailable(chance::between(2..=10)), "the service is temporarily unavailable: poll again")
        }
    };
    Problem::new(kind, detail)
}

fn full(cap: Cap) -> Problem {
    let seconds = limits::RETRY_LATER_MS.start() / 1_000..=limits::RETRY_LATER_MS.end() / 1_000;
    let seconds = chance::between(seconds);
    match cap {
        Cap::User => {
            Problem::new(Kind::TooMany(seconds), "you have too many open streams and polls: close one first")
        }
        Cap::Address => Problem::new(
            Kind::TooMany(seconds),
            "your IP address has too many open streams and polls: close one first",
        ),
        Cap::Edge => {
            Problem::new(Kind::Unavailable(seconds), "this edge is at its limit of streams: poll again")
        }
    }
}

const _: () =
    assert!(limits::POLL_WAIT.as_secs() + GRACE.as_secs() < 30, "CloudFront waits 30 s for an answer");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_a_bye_is_known_again_by_its_frame() {
        for why in Bye::ALL {
            let frame = crate::frames::bye("", why, 5_000, crate::frames::Id(None));
            assert_eq!(Answer::default().take(Some(&frame.text())), Turn::Ended(Some(why)));
        }
    }
}
