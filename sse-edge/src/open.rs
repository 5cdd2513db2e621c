//! `GET /v1/events`: from the request to the open stream.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use domain::cursor::Cursor;
use http::{HeaderValue, Method, StatusCode, header};
use server::{
    auth::Identity,
    listener::takeover::Offer,
    problem::{Kind, Problem},
};
use tokio::time::{Instant, timeout};

use crate::{
    body::Events,
    brought::Brought,
    caps::{Cap, Place},
    client::Client,
    config::RetryRange,
    credentials::{self, Who},
    engine::Engine,
    frames::Bye,
    handle::Handle,
    heads,
    shared::Shared,
    stream::Stream,
    tend,
};

/// How long an answer waits for HEAD; without it the stream opens all the same and reads it then.
const HEAD_WAIT: Duration = Duration::from_secs(2);

/// Why there is no stream for a request.
#[derive(Debug)]
pub(crate) enum NoStream {
    /// No genuine credential was ever shown.
    Refused(Problem),
    /// Not now.
    Bye(Bye),
    /// There are too many.
    Full(Cap),
    /// The user's credentials were revoked.
    Revoked,
}

/// Answers `GET /v1/events`.
pub(crate) async fn events(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if request.method() != Method::GET {
        return only_get();
    }
    let takeover = request.extensions().get::<Offer>().is_some();
    let client = Client::of(request, shared.config.address_header.as_ref());
    let brought = client.brought;
    match open(&shared, client).await {
        Ok(stream) if takeover => Engine::response(shared, stream),
        Ok(stream) => Events::open(stream).response(),
        Err(NoStream::Refused(problem)) => problem.into_response(),
        // Never come back.
        Err(NoStream::Revoked) => StatusCode::NO_CONTENT.into_response(),
        Err(NoStream::Full(_)) => bye(&shared, Bye::Busy, RetryRange::LATER, brought),
        Err(NoStream::Bye(why)) => bye(&shared, why, retry(&shared, why), brought),
    }
}

/// axum answers HEAD as well, and would open a stream for it.
pub(crate) fn only_get() -> Response {
    let mut response =
        Problem::new(Kind::MethodNotAllowed, "streams and polls support only `GET`").into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    response
}

/// The stream that a request asks for, whoever is going to read it. What costs least is judged
/// first.
pub(crate) async fn open(shared: &Arc<Shared>, client: Client) -> Result<Stream, NoStream> {
    let config = &shared.config;
    let full = |cap| {
        shared.meters.refuse(cap);
        NoStream::Full(cap)
    };
    let place = shared.addresses.take(client.address, config.address_streams).map_err(full)?;
    if shared.hub.streams() >= config.max_streams {
        return Err(full(Cap::Edge));
    }
    let identity = match credentials::judge(shared, &client.headers, &client.query).await {
        Who::Refused(problem) => return Err(NoStream::Refused(problem)),
        Who::Bye(why) => return Err(NoStream::Bye(why)),
        Who::User(_) if shared.is_draining() => return Err(NoStream::Bye(Bye::Drain)),
        Who::User(identity) => identity,
    };
    tracing::Span::current().record("user.id", identity.user.as_str());
    let head = head(shared, &identity).await?;
    join(shared, &identity, client.brought, head, place).map_err(full)
}

/// The user's HEAD, if it can be had soon.
async fn head(shared: &Shared, identity: &Identity) -> Result<Option<Cursor>, NoStream> {
    match timeout(HEAD_WAIT, heads::head(shared, &identity.user)).await {
        Ok(Ok(head)) if head.revokes(identity.issued_at) => Err(NoStream::Revoked),
        Ok(Ok(head)) => Ok(Some(head.cursor)),
        Ok(Err(error)) => {
            shared.failed("read an inbox's head for a new stream", &error);
            Ok(None)
        }
        Err(_) => Ok(None),
    }
}

fn join(
    shared: &Arc<Shared>,
    identity: &Identity,
    brought: Brought,
    head: Option<Cursor>,
    place: Place,
) -> Result<Stream, Cap> {
    let handle = Arc::new(Handle::new(identity.issued_at));
    let most = shared.config.max_streams;
    let (user, ask) = shared.hub.join(&identity.user, handle.clone(), most, Instant::now())?;
    let stream = Stream::new(shared.clone(), (user.clone(), handle.clone(), place), identity, brought, head);
    tend::ask(shared, &user, ask);
    if let Some(head) = head {
        tend::ask(shared, &user, user.saw(head));
    }
    if shared.is_draining() {
        // It has begun meanwhile and does not know of this one.
        handle.bye(Bye::Drain);
    }
    if shared.stop.is_cancelled() {
        handle.cut();
    }
    Ok(stream)
}

/// Who is not to come back soon is told so; a drain is over as soon as it is known, a ticket is
/// fetched in no time, and credentials that nobody can judge just now are not their client's fault.
fn retry(shared: &Shared, why: Bye) -> RetryRange {
    match why {
        Bye::Expired | Bye::Revoked => RetryRange::LATER,
        Bye::Drain | Bye::Ticket | Bye::Busy | Bye::Age => shared.config.retry_ms,
    }
}

/// All that is said where there is no stream.
fn bye(shared: &Shared, why: Bye, retry: RetryRange, brought: Brought) -> Response {
    let own: Option<Cursor> = match brought {
        Brought::Readable(cursor) => Some(cursor),
        Brought::Nothing | Brought::Unreadable => None,
    };
    shared.meters.close(crate::metrics::Close::Said(why));
    Events::bye(why, retry, own).response()
}
