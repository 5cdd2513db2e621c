//! The version of what several devices may change: an `ETag`, and the condition `If-Match` (RFC 9110, section 13.1.1).

use std::fmt;

use data_encoding::BASE32_DNSSEC;
use sha2::{Digest as _, Sha256};

use crate::sequence::ThreadSeq;

/// The version of a message or of a thread's title, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// Of a message: the tseq of its latest change, or its own.
    pub fn of_message(tseq: ThreadSeq, changed: Option<ThreadSeq>) -> Self {
        Self(changed.unwrap_or(tseq).to_string())
    }

    /// Of a thread: of what a request can change of it, its title. So messages that arrive meanwhile refuse no new title.
    pub fn of_title(title: Option<&str>) -> Self {
        // No title and an empty one are two.
        let hash = Sha256::digest(title.map_or_else(Vec::new, |title| [b"=", title.as_bytes()].concat()));
        Self(BASE32_DNSSEC.encode(&hash[..10]))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// On which versions a write is conditional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    /// On none: `If-Match` is absent or `*`.
    #[default]
    Any,
    /// On one of these.
    OneOf(Vec<Version>),
}

/// The text is no list of entity tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`If-Match` must be `*` or a list of entity tags, such as `\"18\"`")]
pub struct BadExpectation;

impl Expected {
    /// Reads the value of `If-Match`. A weak tag matches nothing: a write needs a strong one.
    ///
    /// # Errors
    /// [`BadExpectation`].
    pub fn parse(text: &str) -> Result<Self, BadExpectation> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let mut versions = Vec::new();
        for tag in text.split(',').map(str::trim) {
            let (is_weak, quoted) = tag.strip_prefix("W/").map_or((false, tag), |tag| (true, tag));
            let version = quoted.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let version = version.filter(|version| !version.contains('"')).ok_or(BadExpectation)?;
            if !is_weak {
                versions.push(Version(version.to_owned()));
            }
        }
        Ok(Self::OneOf(versions))
    }

    /// Whether a write may change what has this version.
    pub fn allows(&self, version: &Version) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_conditional_on_one_of_the_strong_tags() {
        let eighteen = Version::of_message(ThreadSeq(17), Some(ThreadSeq(18)));
        assert_eq!(eighteen.to_string(), "\"18\"");
        let allows = |text: &str| Expected::parse(text).unwrap().allows(&eighteen);
        for good in ["*", "\"18\"", "\"17\", \"18\"", "W/\"1\",\"18\""] {
            assert!(allows(good), "{good}");
        }
        for other in ["\"17\"", "W/\"18\"", "\"\"", "\"18 \""] {
            assert!(!allows(other), "{other}");
        }
        for bad in ["", "18", "\"18", "18\"", "\"", "\"1\"8\"", "\"18\",", "w/\"18\""] {
            assert_eq!(Expected::parse(bad), Err(BadExpectation), "{bad}");
        }
    }

    #[test]
    fn each_title_has_a_version_of_its_own() {
        let versions = [None, Some(""), Some("ours"), Some("theirs")].map(Version::of_title);
        assert!((0..4).all(|one| (0..one).all(|other| versions[one] != versions[other])), "{versions:?}");
    }
}
