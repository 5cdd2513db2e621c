//! How a browser gets its stream: the cookie, or a ticket; and how either ends.

use std::time::Duration;

use axum::{
    Json as Answer,
    extract::State,
    response::{AppendHeaders, IntoResponse},
};
use domain::{ids::TicketId, limits, rate::Class};
use fanout::deliver::Fanout;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use server::{
    auth::{
        Identity,
        acting::USER_HEADER,
        bearer::{Bearer, credentials},
        cookie,
    },
    clock::Clock,
    json::Query,
    problem::{Kind, Problem},
};
use store::{inbox::Image, table::Table, tickets::Ticket};
use utoipa::ToSchema;

use crate::{
    answer::failed,
    audit::{Act, note},
    caller::{is_ban, revoked},
    rate::{Metered, too_fast},
};

/// A one-use pass for one stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewTicket {
    /// Goes into the stream's address: `?ticket=`.
    ticket: TicketId,
    /// For how many seconds it may be used.
    expires_in: u64,
}

/// What `DELETE /v1/session` is to end.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// Every session of the user, on whatever device.
    #[serde(default)]
    everywhere: bool,
}

/// Take the bearer's token as the stream's cookie.
#[utoipa::path(post, path = "/v1/session", tag = "stream", operation_id = "createSession",
    responses((status = 204, description = "The cookie is set.", headers(("Set-Cookie" = String)))))]
pub async fn create(
    State(table): State<Table>,
    State(clock): State<Clock>,
    metered: Metered,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    metered.count(Class::Ticket)?;
    let identity = metered.identity;
    if identity.scopes.are_any() || identity.via.is_some() {
        let detail = "the token of a service must not become a cookie: fetch a ticket for the user with `POST /v1/tickets`";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    accepted(&table.image(&identity.user).await.map_err(failed)?, &identity, clock.now())?;
    let token = credentials(&headers).ok_or_else(Problem::internal)?;
    let cookie = cookie::grant(&headers, token, &identity, clock.now())
        .map_err(|error| Problem::new(Kind::TooLarge, error.to_string()))?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]))
}

/// Take the cookie away, or end every session.
///
/// With `everywhere=true` it requires the bearer token. Streams opened with this token or an earlier one end at once, or
/// at the latest at the edge's next comparison with the user row. No earlier token, cookie or ticket opens a stream, lists
/// threads, or gets a session or a ticket again.
#[utoipa::path(delete, path = "/v1/session", tag = "stream", operation_id = "deleteSession",
    security((), ("bearer" = [])),
    params(("everywhere" = Option<bool>, Query, description = "End every session of the bearer's.")),
    responses((status = 204, description = "The cookie is gone.", headers(("Set-Cookie" = String)))))]
pub async fn delete(
    State(fanout): State<Fanout>,
    State(clock): State<Clock>,
    Query(ending): Query<Ending>,
    headers: HeaderMap,
    bearer: Result<Bearer, Problem>,
) -> Result<impl IntoResponse, Problem> {
    if ending.everywhere {
        let Bearer(identity) = bearer?;
        if headers.contains_key(USER_HEADER) {
            let detail = "use `DELETE /v1/users/{user}/sessions` to end the sessions of another user";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        let permit = fanout.table.permit(&identity.user, &[(Class::Ticket, 1)], clock.now());
        if let Some(usage) = permit.refusal() {
            return Err(too_fast(usage));
        }
        let image = fanout.table.image(&identity.user).await.map_err(failed)?;
        // Who was ended already ends nothing that was begun since.
        if !image.revokes(identity.issued_at) {
            // Its own second is over: the token in hand ends too.
            let own = identity.issued_at + Duration::from_secs(1);
            let (now, since) = (clock.now(), clock.now().max(own));
            let image = fanout.table.revoke(&identity.user, since, now).await.map_err(failed)?;
            note(&identity.user, None, &Act::EndedSessions { user: &identity.user });
            fanout.look(&identity.user, &image).await;
        }
    }
    let clear = cookie::clear().map(|cookie| (header::SET_COOKIE, cookie));
    Ok((StatusCode::NO_CONTENT, AppendHeaders(clear)))
}

/// Get a one-use ticket for the stream.
///
/// For a client that cannot have the cookie: one per opening.
#[utoipa::path(post, path = "/v1/tickets", tag = "stream", operation_id = "createTicket",
    responses((status = 201, description = "The ticket.", body = NewTicket)))]
pub async fn ticket(
    State(table): State<Table>,
    State(clock): State<Clock>,
    metered: Metered,
) -> Result<(StatusCode, Answer<NewTicket>), Problem> {
    metered.count(Class::Ticket)?;
    let identity = metered.identity;
    let image = table.image(&identity.user).await.map_err(failed)?;
    accepted(&image, &identity, clock.now())?;
    let id = TicketId::made(rng::random());
    // A ticket that a back end asks for is newer than what was revoked in the same second.
    let issued_at = image.valid_from().map_or(identity.issued_at, |from| identity.issued_at.max(from));
    let ticket = Ticket { user: identity.user, issued_at, expires_at: identity.expires_at };
    table.put_ticket(&id, &ticket, clock.now()).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Answer(NewTicket { ticket: id, expires_in: limits::TICKET_LIFE.as_secs() })))
}

/// Refuses a token that was revoked at once, where the user row is at hand, and before any new credential is given out.
/// All other routes refuse it a few seconds later: see [`Caller`](crate::caller::Caller).
pub fn accepted(image: &Image, identity: &Identity, now: Timestamp) -> Result<(), Problem> {
    match image.valid_from() {
        // What acts for the user is none of the user's sessions.
        Some(from) if identity.issued_at < from && (identity.via.is_none() || is_ban(from, now)) => {
            Err(revoked(from, now))
        }
        _ => Ok(()),
    }
}
