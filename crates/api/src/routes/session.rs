//! How a browser gets its stream: the cookie, or a ticket; and how either ends.

use std::time::Duration;

use axum::{
    Json as Answer,
    extract::State,
    response::{AppendHeaders, IntoResponse},
};
use domain::{credential::Credential, ids::TicketId, limits, rate::Class};
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
        revoked::{is_banned, revoked},
    },
    clock::Clock,
    json::Query,
    problem::{Kind, Problem},
};
use store::{inbox::Image, table::Table, tickets::Ticket};
use utoipa::ToSchema;

use crate::{
    answer::failed,
    audit::{Deed, note},
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
    /// The session that the bearer's token belongs to.
    #[serde(default)]
    session: bool,
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
        return Err(Problem::new(Kind::NotForServices, detail));
    }
    accepted(&table.image(&identity.user).await.map_err(failed)?, &identity, clock.now())?;
    let token = credentials(&headers).ok_or_else(Problem::internal)?;
    let cookie = cookie::grant(&headers, token, &identity, clock.now())
        .map_err(|error| Problem::new(Kind::TooLarge, error.to_string()))?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]))
}

/// Delete the cookie, end one session, or end every session.
///
/// With `session=true` or `everywhere=true` it requires the bearer token. The streams of what ends are closed at once, or at
/// the latest at the edge's next comparison with the user row. Every route rejects its tokens, cookies and tickets within
/// 10 s.
#[utoipa::path(delete, path = "/v1/session", tag = "stream", operation_id = "deleteSession",
    security((), ("bearer" = [])),
    params(("everywhere" = Option<bool>, Query, description = "End every session of the bearer's."),
        ("session" = Option<bool>, Query, description = "End the session of the bearer's token: its `sid`, or else its `jti`.")),
    responses((status = 204, description = "The cookie is gone.", headers(("Set-Cookie" = String)))))]
pub async fn delete(
    State(fanout): State<Fanout>,
    State(clock): State<Clock>,
    Query(ending): Query<Ending>,
    headers: HeaderMap,
    bearer: Result<Bearer, Problem>,
) -> Result<impl IntoResponse, Problem> {
    if ending.everywhere || ending.session {
        let Bearer(identity) = bearer?;
        if headers.contains_key(USER_HEADER) {
            let detail = "use `DELETE /v1/users/{user}/sessions` to end the sessions of another user";
            return Err(Problem::new(Kind::NotForServices, detail));
        }
        let permit = fanout.table.permit(&identity.user, &[(Class::Ticket, 1)], clock.now());
        if let Some(usage) = permit.refusal() {
            return Err(too_fast(usage));
        }
        end(&fanout, &identity, &ending, clock.now()).await?;
    }
    let clear = cookie::clear().map(|cookie| (header::SET_COOKIE, cookie));
    Ok((StatusCode::NO_CONTENT, AppendHeaders(clear)))
}

/// Ends the session of a token, or all of its user's.
async fn end(fanout: &Fanout, identity: &Identity, ending: &Ending, now: Timestamp) -> Result<(), Problem> {
    let image = fanout.table.image(&identity.user).await.map_err(failed)?;
    // A token that is already revoked must not end later sessions.
    if image.revokes(&identity.credential()) {
        return Ok(());
    }
    // Its own second is over: the token in hand ends too.
    let since = now.max(identity.issued_at + Duration::from_secs(1));
    let user = &identity.user;
    let (ended, deed) = match (ending.everywhere, identity.session) {
        (true, _) => (fanout.table.revoke(user, since, now).await, Deed::EndedSessions),
        (false, Some(session)) => {
            (fanout.table.end_session(user, session, (since, now)).await, Deed::EndedSession)
        }
        (false, None) => {
            let detail = "the token has no `sid` and no `jti`, so it names no session: use `everywhere=true`";
            return Err(Problem::new(Kind::SessionUnnamed, detail));
        }
    };
    let image = ended.map_err(failed)?;
    note(user, None, &deed.to_user(user));
    fanout.look(&identity.user, &image).await;
    Ok(())
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
    let from = image.row.cutoff.valid_from.unwrap_or(identity.issued_at);
    let credential = Credential { issued_at: identity.issued_at.max(from), session: identity.session };
    let ticket = Ticket { user: identity.user, credential, expires_at: identity.expires_at };
    table.put_ticket(&id, &ticket, clock.now()).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Answer(NewTicket { ticket: id, expires_in: limits::TICKET_LIFE.as_secs() })))
}

/// Refuses a token that was revoked at once, where the user row is at hand, and before any new credential is given out.
/// All other routes refuse it a few seconds later: see [`Caller`](crate::caller::Caller).
pub fn accepted(image: &Image, identity: &Identity, now: Timestamp) -> Result<(), Problem> {
    let cutoff = &image.row.cutoff;
    // What acts for the user is none of the user's sessions.
    let counts = identity.via.is_none() || is_banned(cutoff, now);
    if counts && cutoff.revokes(&identity.credential()) { Err(revoked(cutoff, now)) } else { Ok(()) }
}
