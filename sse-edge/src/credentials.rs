//! Who opens a stream.
//!
//! Any status but 200 closes a browser's EventSource for ever. So only who never showed a genuine
//! credential is refused by one; whoever did, and only came too late, is told in the stream.

use domain::ids::TicketId;
use http::{HeaderMap, header};
use server::{
    auth::{Identity, Verdict, bearer},
    problem::{Kind, Problem},
};

use crate::{frames::Bye, shared::Shared};

/// Who, or what to answer instead.
#[derive(Debug)]
pub(crate) enum Who {
    /// A user.
    User(Identity),
    /// Nobody now.
    Bye(Bye),
    /// Nobody ever.
    Refused(Problem),
}

/// Judges what a request brought: `Authorization`, else `?ticket=`, else the cookie.
///
/// The ticket comes before the cookie, since a page asked for it and every page of the browser
/// sends the cookie: two people may use one browser.
pub(crate) async fn judge(shared: &Shared, headers: &HeaderMap, query: &[(String, String)]) -> Who {
    let ticket = query.iter().find(|(name, _)| name == "ticket").map(|(_, ticket)| ticket.as_str());
    match (ticket, bearer::credentials(headers)) {
        (Some(ticket), _) if !headers.contains_key(header::AUTHORIZATION) => by_ticket(shared, ticket).await,
        (_, Some(token)) => by_token(shared, token).await,
        (_, None) => refused(
            "the request has no credentials: send the cookie from `POST /v1/session`, \
             a ticket from `POST /v1/tickets`, or `Authorization: Bearer <token>`",
        ),
    }
}

fn refused(detail: &str) -> Who {
    Who::Refused(Problem::new(Kind::Unauthorized, detail))
}

async fn by_token(shared: &Shared, token: &str) -> Who {
    match shared.verifier.verify(token, shared.clock.now()).await {
        Verdict::Genuine(identity) => Who::User(identity),
        Verdict::Expired(_) => Who::Bye(Bye::Expired),
        Verdict::Refused(refusal) => refused(&refusal.to_string()),
        Verdict::Unknown => Who::Bye(Bye::Busy),
    }
}

async fn by_ticket(shared: &Shared, ticket: &str) -> Who {
    let Ok(ticket) = TicketId::parse(ticket) else {
        return refused("the ticket is malformed: fetch a new one with `POST /v1/tickets`");
    };
    if shared.is_draining() {
        // The next edge wants to take it.
        return Who::Bye(Bye::Drain);
    }
    match shared.table.take_ticket(&ticket, shared.clock.now()).await {
        Ok(Some(ticket)) => Who::User(Identity {
            user: ticket.user,
            issued_at: ticket.issued_at,
            expires_at: ticket.expires_at,
        }),
        Ok(None) => Who::Bye(Bye::Ticket),
        Err(error) => {
            shared.failed("take a ticket", &error);
            Who::Bye(Bye::Busy)
        }
    }
}
