//! The contact policy: what a user needs to have a thread with another user. It is a setting of the deployment.

use std::str::FromStr;

/// What a user needs to have a thread with another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContactPolicy {
    /// Nothing: a thread is active for all its members at once.
    Anyone,
    /// Consent: the other members are invited.
    #[default]
    Invited,
    /// A back end: no user creates threads or adds members.
    Service,
}

/// No name of a contact policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `anyone`, `invited` or `service`")]
pub struct BadPolicy;

impl ContactPolicy {
    /// The names of the policies.
    pub const NAMES: [&str; 3] = ["anyone", "invited", "service"];
}

impl FromStr for ContactPolicy {
    type Err = BadPolicy;

    fn from_str(name: &str) -> Result<Self, BadPolicy> {
        match name {
            "anyone" => Ok(Self::Anyone),
            "invited" => Ok(Self::Invited),
            "service" => Ok(Self::Service),
            _ => Err(BadPolicy),
        }
    }
}
