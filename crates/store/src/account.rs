//! What each request asks of its user's row. It is read once, and then believed for a moment.

use domain::{credential::Cutoff, ids::UserId, limits, sequence::ProfileVersion};
use jiff::Timestamp;
use mistakes::mistake;

use crate::{
    inbox::Image,
    table::{Table, error::Error, keys, user_row},
};

/// A user, as far as each of their requests is concerned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    /// What was revoked.
    pub(crate) cutoff: Cutoff,
    /// The version of the profile.
    pub(crate) profile_version: ProfileVersion,
}

impl Table {
    /// The account of `user`. It is up to [`limits::CUTOFF_READ`] old: the read is eventually consistent, and its result is
    /// kept.
    pub(crate) async fn account(&self, user: &UserId, now: Timestamp) -> Result<Account, Error> {
        // By the time of day: other clocks stand still while a Lambda function is frozen.
        let is_fresh = |at: Timestamp| {
            now.duration_since(at).unsigned_abs() < limits::CUTOFF_READ || mistake!(RevokedAsks)
        };
        if let Some((_, account)) = self.accounts.get(user).filter(|(at, _)| is_fresh(*at)) {
            return Ok(account);
        }
        let key = keys::user_row(user);
        let get = self.client.get_item().table_name(&self.name).set_key(Some(key.item()));
        let row = user_row::read(&key, get.send().await?.item.as_ref())?;
        let account = Account { cutoff: row.cutoff, profile_version: row.profile_version };
        self.accounts.put(user.clone(), (now, account.clone()));
        Ok(account)
    }

    /// Believes what an update of the row has shown.
    pub(crate) fn noted(&self, user: &UserId, image: Image, now: Timestamp) -> Image {
        let Image { row, .. } = &image;
        let account = Account { cutoff: row.cutoff.clone(), profile_version: row.profile_version };
        self.accounts.put(user.clone(), (now, account));
        image
    }
}
