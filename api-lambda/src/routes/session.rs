//! How a browser gets its stream: the cookie, or a ticket.

use axum::{
    Json as Answer,
    extract::State,
    response::{AppendHeaders, IntoResponse},
};
use domain::{ids::TicketId, limits};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use server::{
    auth::{
        bearer::{Bearer, credentials},
        cookie,
    },
    clock::Clock,
    problem::{Kind, Problem},
};
use store::{table::Table, tickets::Ticket};
use utoipa::ToSchema;

use crate::answer::failed;

/// A one-use pass for one stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewTicket {
    /// Goes into the stream's address: `?ticket=`.
    ticket: TicketId,
    /// For how many seconds it may be used.
    expires_in: u64,
}

/// `POST /v1/session`: the bearer's own token as a cookie that only the stream reads.
pub async fn create(
    State(clock): State<Clock>,
    Bearer(identity): Bearer,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let token = credentials(&headers).ok_or_else(Problem::internal)?;
    let cookie = cookie::grant(&headers, token, &identity, clock.now())
        .map_err(|error| Problem::new(Kind::TooLarge, error.to_string()))?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]))
}

/// `DELETE /v1/session`: takes the cookie away.
pub async fn delete() -> impl IntoResponse {
    let clear = cookie::clear().map(|cookie| (header::SET_COOKIE, cookie));
    (StatusCode::NO_CONTENT, AppendHeaders(clear))
}

/// `POST /v1/tickets`: for a client that cannot have the cookie.
pub async fn ticket(
    State(table): State<Table>,
    State(clock): State<Clock>,
    Bearer(identity): Bearer,
) -> Result<(StatusCode, Answer<NewTicket>), Problem> {
    let id = TicketId::made(chance::random());
    let ticket =
        Ticket { user: identity.user, issued_at: identity.issued_at, expires_at: identity.expires_at };
    table.put_ticket(&id, &ticket, clock.now()).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Answer(NewTicket { ticket: id, expires_in: limits::TICKET_LIFE.as_secs() })))
}
