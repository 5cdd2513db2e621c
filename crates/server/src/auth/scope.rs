//! What a token allows beside acting as its own user: the scopes of a service.

use serde::{Deserialize, de::IgnoredAny};

/// A right of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Act as any user, named in the header [`USER_HEADER`](super::acting::USER_HEADER).
    Act,
    /// End the sessions of any user, and ban users.
    Users,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 2] = [Self::Act, Self::Users];

    /// The scope as tokens have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Act => "runnel:act",
            Self::Users => "runnel:users",
        }
    }
}

/// The scopes of a token. Those of other services do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes {
    act: bool,
    users: bool,
}

impl Scopes {
    /// Whether this is one of them.
    pub const fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Act => self.act,
            Scope::Users => self.users,
        }
    }

    /// Whether the token is one of a service.
    pub const fn are_any(self) -> bool {
        self.act || self.users
    }
}

impl<'a> FromIterator<&'a str> for Scopes {
    fn from_iter<T: IntoIterator<Item = &'a str>>(names: T) -> Self {
        let mut scopes = Self::default();
        for name in names {
            scopes.act |= name == Scope::Act.name();
            scopes.users |= name == Scope::Users.name();
        }
        scopes
    }
}

/// The claim that lists scopes: words with blanks between them (RFC 8693, section 4.2), or a list. Anything else says
/// nothing: many providers have a claim of that name for purposes of their own.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ScopeClaim {
    Words(String),
    List(Vec<String>),
    Other(IgnoredAny),
}

impl ScopeClaim {
    pub(super) fn scopes(&self) -> Scopes {
        match self {
            Self::Words(words) => words.split(' ').collect(),
            Self::List(names) => names.iter().map(String::as_str).collect(),
            Self::Other(_) => Scopes::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_lists_scopes_as_words_or_as_a_list() {
        let scopes = |claim: &str| serde_json::from_str::<ScopeClaim>(claim).unwrap().scopes();
        let both: Scopes = Scope::ALL.iter().map(|scope| scope.name()).collect();
        assert!(Scope::ALL.into_iter().all(|scope| both.has(scope)));
        assert_eq!(scopes(r#""openid runnel:users runnel:act""#), both);
        assert_eq!(scopes(r#"["runnel:act", "email", "runnel:users"]"#), both);
        assert!(scopes(r#""runnel:act""#).has(Scope::Act) && !scopes(r#""runnel:act""#).has(Scope::Users));
        for none in [
            r#""""#,
            "[]",
            "7",
            "{}",
            "null",
            "[1]",
            r#""Runnel:act""#,
            r#""runnel:act,runnel:users""#,
            r#""xrunnel:act""#,
        ] {
            assert!(!scopes(none).are_any(), "{none}");
        }
    }
}
