//! `GET /v1/events/poll`: long polling for clients that cannot hold a stream.
//!
//! A poll is a stream of `GET /v1/events` that the waiting request reads: the same cursor, frames, limits and leases. An
//! answer ends the stream, not the lease: the lease lingers until the client comes back.

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
use domain::{event::EventName, limits};
use http::Method;
use serde::Serialize;
use serde_json::value::RawValue;
use server::{
    auth::revoked::revoked,
    problem::{Kind, Problem},
};
use tokio::time::{Instant, sleep_until};

use super::{
    HttpState,
    events::{self, OpenError},
    request::StreamRequest,
};
use crate::{
    stream::{Stream, timed::Timed},
    wire::{
        frame::{Content, Frame, reset_data},
        reason::{CloseReason, Limit},
    },
};

/// Extra time of a poll beyond the requested wait, in order to be certain that no event exists. A cursor above the inbox is
/// believed only after [`limits::CURSOR_PATIENCE`].
const GRACE: Duration = limits::CURSOR_PATIENCE.saturating_add(Duration::from_secs(2));

/// What a poll answers.
#[derive(Debug, Default, Serialize)]
struct Answer {
    /// The new events, in order.
    events: Vec<PolledEvent>,
    /// The cursor of the next poll or stream.
    cursor: String,
    /// The client has to list again, and to go on at `cursor` then.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<Box<RawValue>>,
    #[serde(skip)]
    bytes: usize,
}

/// One event, as JSON.
#[derive(Debug, Serialize)]
struct PolledEvent {
    event: EventName,
    id: String,
    data: Box<RawValue>,
}

/// Whether a poll goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PollState {
    /// There may be more.
    Reading,
    /// The answer is complete.
    Complete,
    /// The stream has ended, perhaps with a reason.
    Ended(Option<CloseReason>),
    /// Whether there is anything does not show in time.
    Unknown,
}

/// Answers `GET /v1/events/poll`.
pub(crate) async fn poll(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    if request.method() != Method::GET {
        return events::only_get();
    }
    let request = StreamRequest::of(request, state.cx.config.address_header.as_ref());
    let wait = match request.parameter("wait").map(str::parse::<u64>) {
        None => limits::POLL_WAIT,
        Some(Ok(seconds)) => Duration::from_secs(seconds).min(limits::POLL_WAIT),
        Some(Err(_)) => {
            let detail = "`wait` must be a whole number of seconds from 0 to 25";
            return Problem::invalid("wait", detail).into_response();
        }
    };
    let now = state.cx.clock.now();
    match events::open(&state, request).await {
        Ok(stream) => {
            gather(stream, wait).await.map_or_else(|problem| problem.into_response(), Json::into_response)
        }
        Err(OpenError::Refused(problem)) => problem.into_response(),
        Err(OpenError::Revoked(cutoff)) => revoked(&cutoff, now).into_response(),
        Err(OpenError::Closed(why)) => not_now(why).into_response(),
        Err(OpenError::Limited(limit)) => limited(limit).into_response(),
    }
}

/// Reads the stream until there is something, or until it is certain that there is nothing.
async fn gather(stream: Stream, wait: Duration) -> Result<Json<Answer>, Problem> {
    let mut stream = Timed::new(stream);
    stream.stream.for_a_poll();
    let (mut answer, until) = (Answer::default(), Instant::now() + wait);
    let mut timer = Box::pin(sleep_until(until));
    let state = poll_fn(|cx| {
        loop {
            let state = match stream.poll_next(cx) {
                Poll::Ready(frame) => frame.map_or(PollState::Ended(None), |frame| answer.add(frame)),
                Poll::Pending if !answer.events.is_empty() => PollState::Complete,
                Poll::Pending => {
                    let now = Instant::now();
                    match (now >= until, stream.stream.is_caught_up()) {
                        (true, true) => PollState::Complete,
                        (true, false) if now >= until + GRACE => PollState::Unknown,
                        (late, _) => {
                            timer.as_mut().reset(if late { until + GRACE } else { until });
                            ready!(timer.as_mut().poll(cx));
                            PollState::Reading
                        }
                    }
                }
            };
            if state != PollState::Reading {
                return Poll::Ready(state);
            }
        }
    })
    .await;
    match state {
        // The next poll tells the reason.
        PollState::Ended(Some(why)) if answer.events.is_empty() => Err(not_now(why)),
        PollState::Ended(None) if answer.events.is_empty() => Err(not_now(CloseReason::Drain)),
        PollState::Unknown => Err(not_now(CloseReason::Busy)),
        PollState::Reading | PollState::Complete | PollState::Ended(_) => Ok(Json(answer)),
    }
}

impl Answer {
    fn add(&mut self, frame: Frame) -> PollState {
        // The comment at the beginning of a stream is no frame.
        let Some(id) = frame.id() else { return PollState::Reading };
        self.cursor = id.to_string();
        match frame.content {
            Content::Opening | Content::Hello { .. } | Content::Ping => PollState::Reading,
            Content::Bye { why, .. } => PollState::Ended(Some(why)),
            Content::Reset(why) => {
                self.reset = Some(json(reset_data(why)));
                PollState::Complete
            }
            Content::Event(event) => {
                self.bytes += event.lines().len();
                let data = json(event.data().to_owned());
                self.events.push(PolledEvent { event: event.event, id: self.cursor.clone(), data });
                let full = self.events.len() >= limits::POLL_EVENTS || self.bytes >= limits::POLL_BYTES;
                if full { PollState::Complete } else { PollState::Reading }
            }
        }
    }
}

fn json(data: String) -> Box<RawValue> {
    RawValue::from_string(data).expect("the data of a frame is JSON")
}

/// The reason of a `bye` as a status, which the client of a poll can read.
fn not_now(why: CloseReason) -> Problem {
    match why {
        CloseReason::Expired => Problem::new(Kind::TokenExpired, "the token has expired: fetch a new one"),
        CloseReason::Revoked => Problem::new(Kind::TokenRevoked, "the token was revoked: sign in again"),
        CloseReason::Ticket => {
            Problem::new(Kind::TicketInvalid, "the ticket is unknown, used or expired: fetch a new one")
        }
        CloseReason::Drain | CloseReason::Age => {
            Problem::passing(Kind::Unavailable, 1, "this edge is shutting down: poll again")
        }
        CloseReason::Busy => {
            // Spread, since clients that are refused together come back together.
            let (seconds, detail) =
                (rng::range(2..=10), "the service is temporarily unavailable: poll again");
            Problem::passing(Kind::Unavailable, seconds, detail)
        }
    }
}

fn limited(limit: Limit) -> Problem {
    let seconds = limits::RETRY_LATER_MS.start() / 1_000..=limits::RETRY_LATER_MS.end() / 1_000;
    let seconds = rng::range(seconds);
    let (kind, detail) = match limit {
        Limit::User => (Kind::TooManyStreams, "you have too many open streams and polls: close one first"),
        Limit::Address => {
            (Kind::TooManyStreams, "your IP address has too many open streams and polls: close one first")
        }
        Limit::Edge => (Kind::Unavailable, "this edge is at its limit of streams: poll again"),
    };
    Problem::passing(kind, seconds, detail)
}

const _: () =
    assert!(limits::POLL_WAIT.as_secs() + GRACE.as_secs() < 30, "CloudFront waits 30 s for an answer");
