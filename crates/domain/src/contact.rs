//! Who may begin a conversation with whom: a setting of the deployment.

use std::str::FromStr;

/// What it takes to have a thread with another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contact {
    /// Any user has a thread with any other at once.
    Anyone,
    /// Any user invites any other, who is asked.
    #[default]
    Invited,
    /// Only a back end begins threads and adds members.
    Service,
}

/// No name of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `anyone`, `invited` or `service`")]
pub struct BadContact;

impl Contact {
    /// The names of the settings.
    pub const NAMES: [&str; 3] = ["anyone", "invited", "service"];
}

impl FromStr for Contact {
    type Err = BadContact;

    fn from_str(name: &str) -> Result<Self, BadContact> {
        match name {
            "anyone" => Ok(Self::Anyone),
            "invited" => Ok(Self::Invited),
            "service" => Ok(Self::Service),
            _ => Err(BadContact),
        }
    }
}
