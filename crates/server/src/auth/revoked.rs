//! What a user is told whose credential was revoked, by the API and by a poll alike.

use domain::credential::Cutoff;
use jiff::{SignedDuration, Timestamp};

use super::LEEWAY;
use crate::problem::{Kind, Problem};

/// Until when a user is banned, if they are. A revocation takes effect at the end of its second, and the clock of an identity
/// provider may be ahead.
fn banned_until(cutoff: &Cutoff, now: Timestamp) -> Option<Timestamp> {
    cutoff.valid_from.filter(|from| from.duration_since(now) > LEEWAY + SignedDuration::from_secs(1))
}

/// Whether a user is banned.
pub fn is_banned(cutoff: &Cutoff, now: Timestamp) -> bool {
    banned_until(cutoff, now).is_some()
}

/// The problem of a credential that `cutoff` revokes.
pub fn revoked(cutoff: &Cutoff, now: Timestamp) -> Problem {
    let Some(until) = banned_until(cutoff, now) else {
        return Problem::new(Kind::TokenRevoked, "the token was revoked: sign in again");
    };
    let for_ever = until.as_second() == Timestamp::MAX.as_second();
    let until = if for_ever { String::new() } else { format!(" until {until}") };
    Problem::new(Kind::UserBanned, format!("this user is banned{until}"))
}
