//! Credentials that were revoked: an attribute of the user row says from when on they count, and another one which sessions
//! were ended. While the first lies in the future, the user is banned.

use domain::{
    credential::{Credential, Cutoff},
    ids::UserId,
    limits,
    mark::Mark,
};
use jiff::Timestamp;

use crate::{
    account::Account,
    inbox::{Change, Image, Updated},
    table::{Table, error::Error, tx::n, user_row},
};

/// That the cutoff would be later than the one there is.
const LATER: &str = "(attribute_not_exists(tokens_valid_from) OR tokens_valid_from < :since)";

impl Table {
    /// Accepts no credentials of `user` any more that were issued before `since`. What was revoked once stays revoked:
    /// an earlier `since` than the last changes nothing. The answer names the edges that have to be told.
    pub async fn revoke(&self, user: &UserId, since: Timestamp, now: Timestamp) -> Result<Image, Error> {
        self.cut_off(user, valid_from(since).only_if(LATER), now).await
    }

    /// Accepts no credentials of one session of `user` any more. Where [`limits::ENDED_SESSIONS`] were ended already, all
    /// sessions end that were there before `since`, and the list begins anew. The answer names the edges that have to be told.
    pub async fn end_session(
        &self,
        user: &UserId,
        session: Mark,
        (since, now): (Timestamp, Timestamp),
    ) -> Result<Image, Error> {
        let ended = || [(":ended", user_row::mark_set(&[session]))];
        let change = Change::new()
            .add("ended :ended", ended())
            .only_if("(attribute_not_exists(ended) OR size(ended) < :most OR contains(ended, :session))")
            .values([(":most", n(limits::ENDED_SESSIONS)), (":session", user_row::mark(session))]);
        match self.update(user, &change).await? {
            Updated::Changed(image) => Ok(self.noted(user, image, now)),
            Updated::Refused(_) => {
                let anew = valid_from(since).set("ended = :ended", ended()).only_if(LATER);
                self.cut_off(user, anew, now).await
            }
        }
    }

    /// Accepts no credentials of `user` that are issued before `until`, whatever was said before.
    pub async fn ban(&self, user: &UserId, until: Timestamp, now: Timestamp) -> Result<Image, Error> {
        self.cut_off(user, valid_from(until.max(now)), now).await
    }

    /// Ends a ban: credentials count that are issued from `since` on. A user who is not banned stays as they are.
    pub async fn lift_ban(&self, user: &UserId, since: Timestamp, now: Timestamp) -> Result<(), Error> {
        let change = valid_from(since).only_if("tokens_valid_from > :since");
        if let Updated::Changed(image) = self.update(user, &change).await? {
            self.noted(user, image, now);
        }
        Ok(())
    }

    async fn cut_off(&self, user: &UserId, change: Change, now: Timestamp) -> Result<Image, Error> {
        let image = self.update(user, &change).await?.image()?;
        Ok(self.noted(user, image, now))
    }

    /// The cutoff of `user`, if it revokes `credential`. It is up to [`limits::CUTOFF_READ`] old: the read is eventually
    /// consistent, and its result is kept.
    ///
    /// # Errors
    /// If the row cannot be read.
    pub async fn revoking_cutoff(
        &self,
        user: &UserId,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<Option<Cutoff>, Error> {
        let Account { cutoff, .. } = self.account(user, now).await?;
        Ok(Some(cutoff).filter(|cutoff| cutoff.revokes(credential)))
    }
}

fn valid_from(since: Timestamp) -> Change {
    Change::new().set("tokens_valid_from = :since", [(":since", n(since.as_second()))])
}
