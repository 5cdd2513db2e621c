//! Users whom a body names.

use std::collections::BTreeSet;

use domain::ids::UserId;
use serde::{Deserialize, Deserializer, de::Error};

/// Reads a list of at most `MOST` users. A user who is named twice counts twice, as the document has it.
pub(super) fn at_most<'de, D: Deserializer<'de>, const MOST: usize>(
    d: D,
) -> Result<BTreeSet<UserId>, D::Error> {
    let users = Vec::deserialize(d)?;
    if users.len() > MOST {
        return Err(D::Error::custom(format!("it must name at most {MOST} users")));
    }
    Ok(users.into_iter().collect())
}
