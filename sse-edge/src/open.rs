//! `GET /v1/events`: from the request to the open stream.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Query, State},
    response::{IntoResponse as _, Response},
};
use domain::cursor::Cursor;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use server::{
    auth::Identity,
    problem::{Kind, Problem},
};
use tokio::time::{Instant, timeout};

use crate::{
    body::Events,
    brought::Brought,
    config::RetryRange,
    credentials::{self, Who},
    frames::Bye,
    handle::Handle,
    shared::Shared,
    stream::Stream,
    tend,
};

/// How long an answer waits for HEAD; without it the stream opens all the same and reads it then.
const HEAD_WAIT: Duration = Duration::from_secs(2);

/// Answers `GET /v1/events`.
pub(crate) async fn events(
    State(shared): State<Arc<Shared>>,
    method: Method,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET {
        // axum answers HEAD as well, and would open a stream for it.
        let mut response =
            Problem::new(Kind::MethodNotAllowed, "a stream can only be opened with GET").into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    let brought = Brought::of(&headers, &query);
    match credentials::judge(&shared, &headers, &query).await {
        Who::Refused(problem) => problem.into_response(),
        Who::Bye(why) => bye(&shared, why, brought),
        Who::User(_) if shared.is_draining() => bye(&shared, Bye::Drain, brought),
        Who::User(identity) => open(shared, &identity, brought).await,
    }
}

async fn open(shared: Arc<Shared>, identity: &Identity, brought: Brought) -> Response {
    tracing::Span::current().record("user.id", identity.user.as_str());
    let head = match timeout(HEAD_WAIT, shared.table.head(&identity.user)).await {
        Ok(Ok(head)) if head.authv.is_some_and(|authv| identity.issued_at < authv) => {
            // Never come back.
            return StatusCode::NO_CONTENT.into_response();
        }
        Ok(Ok(head)) => Some(head.cursor),
        Ok(Err(error)) => {
            shared.failed("read an inbox's head for a new stream", &error);
            None
        }
        Err(_) => None,
    };
    let handle = Arc::new(Handle::new(identity.issued_at));
    let Some((user, ask)) = shared.hub.join(&identity.user, handle.clone(), Instant::now()) else {
        return bye(&shared, Bye::Busy, brought);
    };
    let stream = Stream::new(shared.clone(), (user.clone(), handle.clone()), identity, brought, head);
    tend::ask(&shared, &user, ask);
    if let Some(head) = head {
        tend::ask(&shared, &user, user.saw(head));
    }
    if shared.is_draining() {
        // It has begun meanwhile and does not know of this one.
        handle.bye(Bye::Drain);
    }
    Events::Open(Box::new(stream)).response()
}

/// Who is not to come back soon is told so; a drain is over as soon as it is known, and a ticket
/// is fetched in no time.
fn bye(shared: &Shared, why: Bye, brought: Brought) -> Response {
    let retry = match why {
        Bye::Expired | Bye::Busy | Bye::Revoked => RetryRange::LATER,
        Bye::Drain | Bye::Ticket | Bye::Age => shared.config.retry_ms,
    };
    let own: Option<Cursor> = match brought {
        Brought::Readable(cursor) => Some(cursor),
        Brought::Nothing | Brought::Unreadable => None,
    };
    shared.meters.close(crate::metrics::Close::Said(why));
    Events::bye(why, retry, own).response()
}
