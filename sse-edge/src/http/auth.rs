//! Authenticates a client that opens a stream.
//!
//! Any status but 200 closes a browser's EventSource for ever. So only a client that never showed a genuine credential is
//! refused by a status; a client with a genuine but expired one reads why in the stream.

use domain::ids::TicketId;
use http::{HeaderMap, header};
use server::{
    auth::{Identity, Verdict, bearer},
    problem::{Kind, Problem},
};

use super::HttpState;
use crate::wire::reason::CloseReason;

/// The user of a request, or what to answer instead.
#[derive(Debug)]
pub(crate) enum Authenticated {
    /// A user.
    User(Identity),
    /// No user for now: the client may come back.
    Close(CloseReason),
    /// No user: the client must not come back as it is.
    Refused(Problem),
}

/// Authenticates a request by `Authorization`, else by `?ticket=`, else by the cookie.
///
/// The ticket comes before the cookie, since a page asked for it and every page of the browser
/// sends the cookie: two people may use one browser.
pub(crate) async fn authenticate(
    state: &HttpState,
    headers: &HeaderMap,
    query: &[(String, String)],
) -> Authenticated {
    let ticket = query.iter().find(|(name, _)| name == "ticket").map(|(_, ticket)| ticket.as_str());
    match (ticket, bearer::credentials(headers)) {
        (Some(ticket), _) if !headers.contains_key(header::AUTHORIZATION) => by_ticket(state, ticket).await,
        (_, Some(token)) => by_token(state, token).await,
        (_, None) => refused(
            "the request has no credentials: send the cookie from `POST /v1/session`, \
             a ticket from `POST /v1/tickets`, or `Authorization: Bearer <token>`",
        ),
    }
}

fn refused(detail: &str) -> Authenticated {
    Authenticated::Refused(Problem::new(Kind::Unauthorized, detail))
}

async fn by_token(state: &HttpState, token: &str) -> Authenticated {
    match state.verifier.verify(token, state.cx.clock.now()).await {
        Verdict::Genuine(identity) => Authenticated::User(identity),
        Verdict::Expired(_) => Authenticated::Close(CloseReason::Expired),
        Verdict::Refused(refusal) => refused(&refusal.to_string()),
        Verdict::Unknown => Authenticated::Close(CloseReason::Busy),
    }
}

async fn by_ticket(state: &HttpState, ticket: &str) -> Authenticated {
    let cx = &state.cx;
    let Ok(ticket) = TicketId::parse(ticket) else {
        return refused("the ticket is malformed: fetch a new one with `POST /v1/tickets`");
    };
    if cx.is_draining() {
        // The next edge needs it.
        return Authenticated::Close(CloseReason::Drain);
    }
    match cx.table.take_ticket(&ticket, cx.clock.now()).await {
        Ok(Some(ticket)) => Authenticated::User(Identity {
            user: ticket.user,
            issued_at: ticket.issued_at,
            expires_at: ticket.expires_at,
        }),
        Ok(None) => Authenticated::Close(CloseReason::Ticket),
        Err(error) => {
            cx.failed("take a ticket", &error);
            Authenticated::Close(CloseReason::Busy)
        }
    }
}
