//! Credentials that were revoked: an attribute of the user row says from when on they count. While that lies in the
//! future, the user is banned.

use domain::{ids::UserId, limits};
use jiff::Timestamp;

use crate::{
    inbox::{Change, Image, Updated},
    table::{Table, error::Error, keys, tx::n, user_row},
};

impl Table {
    /// Accepts no credentials of `user` any more that were issued before `since`. What was revoked once stays revoked:
    /// an earlier `since` than the last changes nothing. The answer names the edges that have to be told.
    pub async fn revoke(&self, user: &UserId, since: Timestamp, now: Timestamp) -> Result<Image, Error> {
        let later = "(attribute_not_exists(tokens_valid_from) OR tokens_valid_from < :since)";
        self.set_valid_from(user, valid_from(since).only_if(later), now).await
    }

    /// Accepts no credentials of `user` that are issued before `until`, whatever was said before.
    pub async fn ban(&self, user: &UserId, until: Timestamp, now: Timestamp) -> Result<Image, Error> {
        self.set_valid_from(user, valid_from(until.max(now)), now).await
    }

    /// Ends a ban: credentials count that are issued from `since` on. A user who is not banned stays as they are.
    pub async fn lift_ban(&self, user: &UserId, since: Timestamp, now: Timestamp) -> Result<(), Error> {
        let change = valid_from(since).only_if("tokens_valid_from > :since");
        if let Updated::Changed(image) = self.update(user, &change).await? {
            self.cutoffs.put(user.clone(), (now, image.valid_from()));
        }
        Ok(())
    }

    async fn set_valid_from(&self, user: &UserId, change: Change, now: Timestamp) -> Result<Image, Error> {
        let image = self.update(user, &change).await?.image()?;
        self.cutoffs.put(user.clone(), (now, image.valid_from()));
        Ok(image)
    }

    /// From when on credentials of `user` count, as of [`limits::CUTOFF_READ`] ago at the longest. The read is eventually
    /// consistent, and its result kept.
    pub async fn valid_from(&self, user: &UserId, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        // By the time of day: other clocks stand still while a Lambda function is frozen.
        let is_fresh = |at: Timestamp| now.duration_since(at).unsigned_abs() < limits::CUTOFF_READ;
        if let Some((at, valid_from)) = self.cutoffs.get(user)
            && is_fresh(at)
        {
            return Ok(valid_from);
        }
        let key = keys::user_row(user);
        let get = self.client.get_item().table_name(&self.name).set_key(Some(key.item()));
        let row = user_row::read(&key, get.send().await?.item.as_ref())?;
        let valid_from = row.tokens_valid_from.map(moment);
        self.cutoffs.put(user.clone(), (now, valid_from));
        Ok(valid_from)
    }
}

/// The moment of an attribute, in seconds since 1970.
pub(crate) fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

fn valid_from(since: Timestamp) -> Change {
    Change::new().set("tokens_valid_from = :since", [(":since", n(since.as_second()))])
}
