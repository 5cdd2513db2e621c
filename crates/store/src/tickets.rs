//! One-use passes for a stream.

use aws_sdk_dynamodb::types::ReturnValue;
use domain::{
    credential::Credential,
    ids::{TicketId, UserId},
    limits,
};
use jiff::Timestamp;

use crate::table::{EdgeTable, Table, error::Error, keys, read, rows::TicketRow};

/// What a ticket stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// For whom it opens a stream.
    pub user: UserId,
    /// That of the token that asked for it.
    pub credential: Credential,
    /// When that token, and so the stream, ends.
    pub expires_at: Timestamp,
}

impl Table {
    /// Puts a ticket, good for [`limits::TICKET_LIFE`].
    pub async fn put_ticket(&self, id: &TicketId, ticket: &Ticket, now: Timestamp) -> Result<(), Error> {
        let life = i64::try_from(limits::TICKET_LIFE.as_secs()).unwrap_or(30);
        let row = TicketRow {
            user: ticket.user.clone(),
            issued: ticket.credential.issued_at.as_second(),
            session: ticket.credential.session,
            expires: ticket.expires_at.as_second(),
            exp: now.as_second() + life,
        };
        self.put(&keys::ticket(id), &row).await
    }
}

impl EdgeTable {
    /// Redeems a ticket. Of concurrent calls, only one succeeds. None for a ticket that is unknown, used or expired.
    pub async fn take_ticket(&self, id: &TicketId, now: Timestamp) -> Result<Option<Ticket>, Error> {
        let key = keys::ticket(id);
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key.item()))
            .return_values(ReturnValue::AllOld)
            .send()
            .await?;
        let Some(item) = deleted.attributes.filter(|item| !item.is_empty()) else { return Ok(None) };
        let row: TicketRow = read(&key, item)?;
        let time = |seconds| Timestamp::from_second(seconds).ok();
        let ticket = time(row.issued).zip(time(row.expires));
        Ok(ticket.filter(|_| row.exp >= now.as_second()).map(|(issued_at, expires_at)| Ticket {
            user: row.user,
            credential: Credential { issued_at, session: row.session },
            expires_at,
        }))
    }
}
