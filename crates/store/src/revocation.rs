//! Credentials that were revoked: an attribute of the user row says from when on they count.

use domain::{ids::UserId, limits};
use jiff::Timestamp;

use crate::{
    inbox::{Change, Image},
    table::{Table, error::Error, keys, tx::n, user_row},
};

impl Table {
    /// Accepts no credentials of `user` any more that were issued before `since`. What was revoked once stays revoked:
    /// an earlier `since` than the last changes nothing. The answer names the edges that have to be told.
    pub async fn revoke(&self, user: &UserId, since: Timestamp, now: Timestamp) -> Result<Image, Error> {
        let change = Change::new()
            .set("tokens_valid_from = :since", [(":since", n(since.as_second()))])
            .only_if("(attribute_not_exists(tokens_valid_from) OR tokens_valid_from < :since)");
        let image = self.update(user, &change).await?.image()?;
        self.cutoffs.put(user.clone(), (now, image.row.tokens_valid_from));
        Ok(image)
    }

    /// Whether credentials of `user` that were issued then are accepted no more, as of [`limits::CUTOFF_READ`] ago at the
    /// longest. The read is eventually consistent, and its result kept.
    pub async fn revokes(&self, user: &UserId, issued_at: Timestamp, now: Timestamp) -> Result<bool, Error> {
        // By the time of day: other clocks stand still while a Lambda function is frozen.
        let is_fresh = |at: Timestamp| now.duration_since(at).unsigned_abs() < limits::CUTOFF_READ;
        let valid_from = match self.cutoffs.get(user) {
            Some((at, valid_from)) if is_fresh(at) => valid_from,
            _ => {
                let valid_from = self.valid_from(user).await?;
                self.cutoffs.put(user.clone(), (now, valid_from));
                valid_from
            }
        };
        Ok(valid_from.is_some_and(|from| issued_at.as_second() < from))
    }

    async fn valid_from(&self, user: &UserId) -> Result<Option<i64>, Error> {
        let key = keys::user_row(user);
        let get = self.client.get_item().table_name(&self.name).set_key(Some(key.item()));
        Ok(user_row::read(&key, get.send().await?.item.as_ref())?.tokens_valid_from)
    }
}
