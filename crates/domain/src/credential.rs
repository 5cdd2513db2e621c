//! What of a token decides whether it was revoked, and what was revoked of a user.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// A session at the identity provider: a hash of the token's `sid`, or else of its `jti`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId([u8; 8]);

impl SessionId {
    /// The session that an identity provider calls so.
    pub fn of(name: &str) -> Self {
        let hash = Sha256::digest(name.as_bytes());
        Self(std::array::from_fn(|at| hash[at]))
    }

    /// The session with these bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }
}

/// What a token, a cookie or a ticket says of its age and session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// The session that it belongs to, if it says so.
    pub session: Option<SessionId>,
}

impl From<Timestamp> for Credential {
    /// A credential without a session.
    fn from(issued_at: Timestamp) -> Self {
        Self { issued_at, session: None }
    }
}

/// What was revoked of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cutoff {
    /// From when on tokens count. While that lies in the future, the user is banned.
    pub valid_from: Option<Timestamp>,
    /// Sessions that were ended one by one, at most [`ENDED_SESSIONS`](crate::limits::ENDED_SESSIONS).
    pub ended: Vec<SessionId>,
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
            session: session.map(SessionId::of),
        };
        let cutoff = Cutoff { valid_from: Some(at(10)), ended: vec![SessionId::of("one")] };
        assert!(cutoff.revokes(&credential(9, None)) && !cutoff.revokes(&credential(10, None)));
        assert!(
            cutoff.revokes(&credential(20, Some("one"))) && !cutoff.revokes(&credential(20, Some("two")))
        );
        assert!(!Cutoff::default().revokes(&credential(0, Some("one"))));
    }
}
