//! `GET /v1/events`: from the request to the open stream.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use domain::{credential::Cutoff, frame::Id};
use http::{HeaderValue, Method, StatusCode, header};
use server::{
    address_limit::AddressPermit,
    auth::Identity,
    listener::takeover::{Offer, Takeover},
    problem::{Kind, Problem},
};
use tokio::time::{Instant, timeout};

use super::{
    HttpState,
    auth::{self, Authenticated},
    body::{self, EventBody},
    request::StreamRequest,
};
use crate::{
    context::config::RetryRange,
    stream::{Revoked, Stream},
    user::stream_handle::StreamHandle,
    wire::{
        frame::{Content, Frame},
        last_event_id::LastEventId,
        reason::{CloseReason, EndReason, Limit},
    },
};

/// How long an answer waits for the user row. Without it the stream opens all the same, and reads the row then.
const ROW_WAIT: Duration = Duration::from_secs(2);

/// Why a request gets no stream.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The client has shown no genuine credential.
    Refused(Problem),
    /// Not now.
    Closed(CloseReason),
    /// A limit is reached.
    Limited(Limit),
    /// The user's credentials were revoked, by this.
    Revoked(Cutoff),
}

/// Answers `GET /v1/events`.
pub(crate) async fn events(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    if request.method() != Method::GET {
        return only_get();
    }
    let has_socket = request.extensions().get::<Offer>().is_some();
    let request = StreamRequest::of(request, state.cx.config.address_header.as_ref());
    let last_event_id = request.last_event_id;
    match open(&state, request).await {
        Ok(stream) if has_socket => take_over(&state, stream),
        Ok(stream) => EventBody::open(stream).response(),
        Err(OpenError::Refused(problem)) => problem.into_response(),
        // The client must never come back.
        Err(OpenError::Revoked(_)) => StatusCode::NO_CONTENT.into_response(),
        Err(OpenError::Limited(_)) => bye(&state, CloseReason::Busy, RetryRange::LATER, last_event_id),
        Err(OpenError::Closed(why)) => bye(&state, why, retry(&state, why), last_event_id),
    }
}

/// axum routes HEAD requests here as well, and a stream would open for them.
pub(crate) fn only_get() -> Response {
    let mut response =
        Problem::new(Kind::MethodNotAllowed, "streams and polls support only `GET`").into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    response
}

/// The response after which the engine owns the stream's socket.
fn take_over(state: &HttpState, stream: Stream) -> Response {
    let mut response = body::response(Body::empty());
    let engine = state.engine.clone();
    response.extensions_mut().insert(Takeover::new(move |taken| engine.adopt(stream, taken)));
    response
}

/// The stream that a request asks for, also if a poll reads it. The cheapest checks come first.
pub(crate) async fn open(state: &HttpState, request: StreamRequest) -> Result<Stream, OpenError> {
    let config = &state.cx.config;
    let limited = |limit| {
        state.cx.metrics.refuse(limit);
        OpenError::Limited(limit)
    };
    let permit = state.addresses.acquire(request.address, config.address_streams);
    let permit = permit.ok_or_else(|| limited(Limit::Address))?;
    if state.streams.hub.streams() >= config.max_streams {
        return Err(limited(Limit::Edge));
    }
    let identity = match auth::authenticate(state, &request.headers, &request.query).await {
        Authenticated::Refused(problem) => return Err(OpenError::Refused(problem)),
        Authenticated::Close(why) => return Err(OpenError::Closed(why)),
        Authenticated::User(_) if state.cx.is_draining() => {
            return Err(OpenError::Closed(CloseReason::Drain));
        }
        Authenticated::User(identity) => identity,
    };
    tracing::Span::current().record("user.id", identity.user.as_str());
    let mut stream = join(state, &identity, request.last_event_id, permit).map_err(limited)?;
    match timeout(ROW_WAIT, stream.judged()).await {
        Ok(Err(Revoked(cutoff))) => Err(OpenError::Revoked(cutoff)),
        Ok(Ok(())) | Err(_) => Ok(stream),
    }
}

fn join(
    state: &HttpState,
    identity: &Identity,
    last_event_id: LastEventId,
    permit: AddressPermit,
) -> Result<Stream, Limit> {
    let (cx, hub) = (&state.cx, &state.streams.hub);
    let handle = Arc::new(StreamHandle::new(identity.credential()));
    let (user, work) = hub.join(&identity.user, handle.clone(), cx.config.max_streams, Instant::now())?;
    let registered = (user.clone(), handle.clone(), permit);
    let stream = Stream::new(state.streams.clone(), registered, identity, last_event_id);
    hub.request(&user, work);
    if cx.is_draining() {
        // The drain has begun meanwhile, and does not know of this stream.
        handle.close(CloseReason::Drain);
    }
    if cx.stop.is_cancelled() {
        handle.cut();
    }
    Ok(stream)
}

/// When a refused client comes back. Clients with expired or revoked credentials come back later.
fn retry(state: &HttpState, why: CloseReason) -> RetryRange {
    match why {
        CloseReason::Expired | CloseReason::Revoked => RetryRange::LATER,
        CloseReason::Drain | CloseReason::Ticket | CloseReason::Busy | CloseReason::Age => {
            state.cx.config.retry_ms
        }
    }
}

/// The whole answer where there is no stream.
fn bye(state: &HttpState, why: CloseReason, retry: RetryRange, last_event_id: LastEventId) -> Response {
    let own = match last_event_id {
        LastEventId::Cursor(cursor) => Id::At(cursor),
        LastEventId::Invalid => Id::Unreadable,
        LastEventId::Absent => Id::Empty,
    };
    state.cx.metrics.close(EndReason::Closed(why));
    let bye = Frame::new(Content::Bye { why, retry_ms: retry.draw() }, own).opening_if(true);
    EventBody::Last(Some(bye)).response()
}
