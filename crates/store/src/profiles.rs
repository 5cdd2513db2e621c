//! The profiles of users: a row for each, and its version in the user row, which every request reads anyway.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use domain::{
    ids::UserId,
    limits,
    profile::{Face, Profile, User},
    sequence::ProfileVersion,
    wire::Faces,
};
use jiff::Timestamp;

use crate::{
    account::Account,
    inbox::{Change, Updated},
    table::{
        Item, Table,
        error::Error,
        keys::{self, Key},
        read,
        rows::ProfileRow,
        tx::{n, s},
    },
};

impl Table {
    /// Replaces the profile of `user`. The same one again changes nothing.
    ///
    /// The profile comes first, and its version in the user row after it: a version that a message tells of is always there
    /// to be read. A writer that dies between the two leaves the profile without word of it, until it is put again.
    pub async fn put_profile(
        &self,
        user: &UserId,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<ProfileVersion, Error> {
        let version = self.put_profile_row(user, profile).await?;
        let change = Change::new()
            .set("profile_version = :version", [(":version", n(version))])
            .only_if("(attribute_not_exists(profile_version) OR profile_version < :version)");
        if let Updated::Changed(image) = self.update(user, &change).await? {
            self.noted(user, image, now);
        }
        Ok(version)
    }

    /// Puts the row, unless it says the same already; with the version of what is there now.
    async fn put_profile_row(&self, user: &UserId, profile: &Profile) -> Result<ProfileVersion, Error> {
        let key = keys::profile(user);
        let text = serde_json::to_string(profile).expect("names, addresses and JSON always serialise");
        let put = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.item()))
            .update_expression("SET profile = :profile ADD version :one")
            .condition_expression("attribute_not_exists(profile) OR profile <> :profile")
            .expression_attribute_values(":profile", s(text))
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let row = match put.send().await {
            Ok(put) => put.attributes,
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(same)) => same.item.clone(),
                _ => return Err(error.into()),
            },
        };
        let row = row.ok_or_else(|| Error::Unavailable("UpdateItem answered without the row".into()))?;
        Ok(read::<ProfileRow>(&key, row)?.version)
    }

    /// Up to [`limits::PROFILES`] users, in the order in which they are asked for. A damaged profile counts as none.
    pub async fn users(&self, users: &[UserId]) -> Result<Vec<User>, Error> {
        let mut found = self.profiles(users, true).await?;
        let user = |user: &UserId| {
            let (profile, version) = found.remove(user).unwrap_or_default();
            User { user: user.clone(), profile, version }
        };
        Ok(users.iter().map(user).collect())
    }

    /// How to show some users: the first [`limits::PROFILES`] of them. It may be a moment old.
    pub async fn faces<'a>(&self, users: impl IntoIterator<Item = &'a UserId>) -> Result<Faces, Error> {
        let mut named: Vec<UserId> = Vec::new();
        for user in users {
            if named.len() < limits::PROFILES && !named.contains(user) {
                named.push(user.clone());
            }
        }
        let mut found = self.profiles(&named, false).await?;
        let face = |user: UserId| {
            let (Profile { name, avatar, .. }, version) = found.remove(&user).unwrap_or_default();
            (user, Face { name, avatar, version })
        };
        Ok(named.into_iter().map(face).collect())
    }

    async fn profiles(
        &self,
        users: &[UserId],
        consistent: bool,
    ) -> Result<HashMap<UserId, (Profile, ProfileVersion)>, Error> {
        let keys: Vec<Key> = users.iter().map(keys::profile).collect();
        let mut found = self.get_many(&keys, consistent).await?;
        let profile = |(user, key): (&UserId, &Key)| Some((user.clone(), profile(key, found.remove(key)?)?));
        Ok(users.iter().zip(&keys).filter_map(profile).collect())
    }

    /// The version of the profile of `user`, as each of their messages tells it. It may be a moment old.
    pub async fn profile_version(&self, user: &UserId, now: Timestamp) -> Result<ProfileVersion, Error> {
        let Account { profile_version, .. } = self.account(user, now).await?;
        Ok(profile_version)
    }
}

/// The profile in a row. A damaged one must not block those beside it.
fn profile(key: &Key, item: Item) -> Option<(Profile, ProfileVersion)> {
    let row: ProfileRow = read(key, item).ok()?;
    Some((serde_json::from_str(&row.profile).ok()?, row.version))
}
