//! How a browser gets its stream.

#![expect(dead_code, reason = "these only carry descriptions")]

use crate::routes::session::NewTicket;

/// Take the bearer's token as the stream's cookie.
#[utoipa::path(post, path = "/v1/session", tag = "stream", operation_id = "createSession",
    responses((status = 204, description = "The cookie is set.", headers(("Set-Cookie" = String)))))]
pub(super) fn create() {}

/// Take the cookie away, or end every session.
///
/// With `everywhere=true` it takes the bearer: whatever was begun with this token or an earlier one
/// ends within the time of a head check (a minute), and neither token, cookie nor ticket from
/// before opens a stream, lists threads or gets a session or a ticket again.
#[utoipa::path(delete, path = "/v1/session", tag = "stream", operation_id = "deleteSession",
    security((), ("bearer" = [])),
    params(("everywhere" = Option<bool>, Query, description = "End every session of the bearer's.")),
    responses((status = 204, description = "The cookie is gone.", headers(("Set-Cookie" = String)))))]
pub(super) fn delete() {}

/// Get a one-use ticket for the stream.
///
/// For a client that cannot have the cookie: one per opening.
#[utoipa::path(post, path = "/v1/tickets", tag = "stream", operation_id = "createTicket",
    responses((status = 201, description = "The ticket.", body = NewTicket)))]
pub(super) fn ticket() {}
