//! What of a token decides whether it was revoked, and what was revoked of a user.

use jiff::Timestamp;

use crate::mark::Mark;

/// What a token, a cookie or a ticket says of its age and session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// The session at the identity provider, if the token names one: its `sid`, or else its `jti`.
    pub session: Option<Mark>,
}

/// What was revoked of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cutoff {
    /// From when on tokens count. While that lies in the future, the user is banned.
    pub valid_from: Option<Timestamp>,
    /// Sessions that were ended one by one, at most [`ENDED_SESSIONS`](crate::limits::ENDED_SESSIONS).
    pub ended: Vec<Mark>,
}

impl Cutoff {
    /// Whether a credential counts no more.
    pub fn revokes(&self, credential: &Credential) -> bool {
        let is_old = self.valid_from.is_some_and(|from| credential.issued_at < from);
        is_old || credential.session.is_some_and(|session| self.ended.contains(&session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_revoked_by_its_age_or_by_its_session() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let credential = |second, session: Option<&str>| Credential {
            issued_at: at(second),
            session: session.map(Mark::of),
        };
        let cutoff = Cutoff { valid_from: Some(at(10)), ended: vec![Mark::of("one")] };
        assert!(cutoff.revokes(&credential(9, None)) && !cutoff.revokes(&credential(10, None)));
        assert!(
            cutoff.revokes(&credential(20, Some("one"))) && !cutoff.revokes(&credential(20, Some("two")))
        );
        assert!(!Cutoff::default().revokes(&credential(0, Some("one"))));
    }
}
