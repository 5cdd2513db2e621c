//! Authenticates a client that opens a stream.
//!
//! Any status but 200 closes a browser's EventSource for ever. So only a client that never showed a genuine credential is
//! refused by a status; a client with a genuine but expired one reads why in the stream.

use domain::ids::TicketId;
use http::{HeaderMap, header};
use server::{
    auth::{Identity, Verdict, acting::acting, bearer, scope::Scopes},
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
        (_, Some(token)) => by_token(state, token, headers).await,
        (_, None) => refused(
            Kind::TokenMissing,
            "the request has no credentials: send the cookie from `POST /v1/session`, \
             a ticket from `POST /v1/tickets`, or `Authorization: Bearer <token>`",
        ),
    }
}

fn refused(kind: Kind, detail: &str) -> Authenticated {
    Authenticated::Refused(Problem::new(kind, detail))
}

async fn by_token(state: &HttpState, token: &str, headers: &HeaderMap) -> Authenticated {
    let now = state.cx.clock.now();
    match state.verifier.verify(token, now).await {
        Verdict::Genuine(identity) => match acting(headers, identity.clone(), now) {
            Ok(acted) if acted.via.is_some() => for_another(state, &identity, acted).await,
            Ok(identity) => Authenticated::User(identity),
            Err(problem) => Authenticated::Refused(problem),
        },
        Verdict::Expired(_) => Authenticated::Close(CloseReason::Expired),
        Verdict::Refused(refusal) => refused(Kind::TokenInvalid, &refusal.to_string()),
        Verdict::Unknown => Authenticated::Close(CloseReason::Busy),
    }
}

/// A service that opens a stream for a user. The stream compares the user's row alone, so the service's own comes here.
async fn for_another(state: &HttpState, service: &Identity, acted: Identity) -> Authenticated {
    let cx = &state.cx;
    match cx.table.images(std::slice::from_ref(&service.user), true).await {
        Ok(images) if images.values().any(|image| image.revokes(&service.credential())) => {
            refused(Kind::TokenRevoked, "the token was revoked: fetch a new one")
        }
        Ok(_) => Authenticated::User(acted),
        Err(error) => {
            cx.failed("read the user row of a service", &error);
            Authenticated::Close(CloseReason::Busy)
        }
    }
}

async fn by_ticket(state: &HttpState, ticket: &str) -> Authenticated {
    let cx = &state.cx;
    let Ok(ticket) = TicketId::parse(ticket) else {
        let detail = "the ticket is malformed: fetch a new one with `POST /v1/tickets`";
        return refused(Kind::TicketInvalid, detail);
    };
    if cx.is_draining() {
        // The next edge needs it.
        return Authenticated::Close(CloseReason::Drain);
    }
    match cx.table.take_ticket(&ticket, cx.clock.now()).await {
        Ok(Some(ticket)) => Authenticated::User(Identity {
            user: ticket.user,
            issued_at: ticket.credential.issued_at,
            expires_at: ticket.expires_at,
            session: ticket.credential.session,
            scopes: Scopes::default(),
            via: None,
        }),
        Ok(None) => Authenticated::Close(CloseReason::Ticket),
        Err(error) => {
            cx.failed("take a ticket", &error);
            Authenticated::Close(CloseReason::Busy)
        }
    }
}
