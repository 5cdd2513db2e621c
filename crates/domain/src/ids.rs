//! Names of users, threads, queues and edges. None may hold `#`, which parts the fields of a key. An idempotency key may,
//! which is the last field of its key, and a reaction, which is part of no key.

use data_encoding::BASE32_DNSSEC;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{limits, text};

/// What is wrong with a text that should have been an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must {rule}")]
pub struct BadId {
    /// The kind of id, with its article: `a user name`, `a thread id`, …
    pub what: &'static str,
    /// What it must look like, as the rest of the sentence.
    pub rule: &'static str,
}

/// A text with a rule. The document of the API has `$pattern`, a regular expression that every valid text matches.
macro_rules! id {
    ($(#[doc = $doc:literal])* $name:ident, $what:literal, $rule:literal, $pattern:literal, $valid:expr) => {
        $(#[doc = $doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let description = concat!($($doc, "\n"),*).trim();
                let schema = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String).description(Some(description));
                schema.pattern(Some($pattern)).build().into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl $name {
            /// Checks `text` against the rule of this kind of id.
            ///
            /// # Errors
            /// [`BadId`](crate::ids::BadId) with the rule that `text` breaks.
            pub fn parse(text: &str) -> Result<Self, $crate::ids::BadId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err($crate::ids::BadId { what: $what, rule: $rule }) }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::de::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(d)?;
                Self::parse(&text).map_err(<D::Error as serde::de::Error>::custom)
            }
        }
    };
}

pub(crate) use id;

pub(crate) fn all(text: &str, max: usize, allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= max && text.bytes().all(allowed)
}

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

id!(
    /// A user, named by the `sub` claim of the identity provider; case is kept.
    UserId, "a user name", "have 1 to 128 characters from a–z, A–Z, 0–9 and _ . @ | : + = ~ -",
    r"^[A-Za-z0-9_.@|:+=~-]{1,128}$",
    |t| all(t, limits::USER_BYTES, |b| b.is_ascii_alphanumeric() || b"_.@|:+=~-".contains(&b))
);
id!(
    /// A thread: `t_…` (group, random) or `d_…` (direct, made from its pair).
    ThreadId, "a thread id", "start with `t_` or `d_`",
    r"^[td]_[a-z0-9]{1,40}$",
    |t| t.strip_prefix("t_").or_else(|| t.strip_prefix("d_")).is_some_and(|t| all(t, 40, lower_alnum))
);
id!(
    /// What a client sends with a write so that a repetition is known: `Idempotency-Key`. Its quotes are not part of it.
    IdempotencyKey, "`Idempotency-Key`", "have 1 to 255 visible ASCII characters other than \" and \\",
    r"^[!#-\[\]-~]{1,255}$",
    |t| all(t, limits::KEY_BYTES, |b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
);
id!(
    /// A reaction: an emoji, or a name for one.
    Emoji, "a reaction", "be one emoji, or 1 to 40 characters from a–z, 0–9 and _ + -",
    r"^([a-z0-9_+-]{1,40}|[^a-zA-Z]{1,40})$", text::is_reaction
);
id!(
    /// One run of one edge process; a holder of leases.
    BootId, "a boot id", "have 1 to 40 characters from a–z and 0–9", r"^[a-z0-9]{1,40}$",
    |t| all(t, 40, lower_alnum)
);
id!(
    /// One queue; also the last part of its name in SQS.
    QueueId, "a queue id", "have 1 to 40 characters from a–z and 0–9", r"^[a-z0-9]{1,40}$",
    |t| all(t, 40, lower_alnum)
);
id!(
    /// A one-use pass for one stream, handed to a client that cannot have the cookie.
    TicketId, "a ticket", "come from `POST /v1/tickets`", r"^[a-z0-9]{26}$",
    |t| t.len() == 26 && all(t, 26, lower_alnum)
);

impl ThreadId {
    /// The one direct thread of two users, whichever of them asks. The id cannot be computed without the key of the
    /// deployment.
    ///
    /// The code covers the sorted pair with lengths in front, so that no two pairs can meet by
    /// moving a character from one name to the other.
    pub fn direct(key: &[u8; 32], a: &UserId, b: &UserId) -> Self {
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        let mut code = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        for name in [first, second] {
            code.update(&(name.0.len() as u64).to_be_bytes());
            code.update(name.0.as_bytes());
        }
        Self(format!("d_{}", short(&code.finalize().into_bytes()[..16])).into())
    }

    /// Whether it is the thread of a pair of users.
    pub fn is_direct(&self) -> bool {
        self.0.starts_with('d')
    }

    /// A group's id from 128 random bits.
    pub fn group(random: u128) -> Self {
        Self(format!("t_{}", token(random)).into())
    }

    /// Writes the id behind `out`, in 17 bytes if it is one that [`Self::group`] or [`Self::direct`] makes: its first
    /// letter and 128 bits. Any other one follows its length in characters, which is no letter.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let (kind, rest) = (self.0.as_bytes()[0], &self.0[2..]);
        if let Some(bits) = bits(rest) {
            out.push(kind);
            out.extend_from_slice(&bits);
        } else {
            out.push(u8::try_from(self.0.len()).expect("an id has at most 42 characters"));
            out.extend_from_slice(self.0.as_bytes());
        }
    }

    /// Reads what [`Self::write`] has written, and moves `from` behind it.
    pub(crate) fn read(from: &mut &[u8]) -> Option<Self> {
        let (first, rest) = from.split_first()?;
        let (id, rest) = match first {
            b't' | b'd' => {
                let (bits, rest) = rest.split_at_checked(16)?;
                (format!("{}_{}", char::from(*first), short(bits)), rest)
            }
            length => {
                let (text, rest) = rest.split_at_checked(usize::from(*length))?;
                (str::from_utf8(text).ok()?.to_owned(), rest)
            }
        };
        let id = Self::parse(&id).ok()?;
        // Of an id there is one spelling.
        let is_short = matches!(first, b't' | b'd');
        if is_short != bits(&id.0[2..]).is_some() {
            return None;
        }
        *from = rest;
        Some(id)
    }
}

impl IdempotencyKey {
    /// A key for a request that brought none, from 128 random bits.
    pub fn made(random: u128) -> Self {
        Self(token(random).into())
    }
}

impl BootId {
    /// A new name for an edge, from 128 random bits.
    pub fn made(random: u128) -> Self {
        Self(token(random).into())
    }
}

impl QueueId {
    /// A new name for a queue, from 128 random bits: it tells nothing of its user.
    pub fn made(random: u128) -> Self {
        Self(token(random).into())
    }
}

impl TicketId {
    /// A new ticket, from 128 random bits.
    pub fn made(random: u128) -> Self {
        Self(token(random).into())
    }
}

/// 26 characters of lower-case base 32 for 128 bits.
fn token(random: u128) -> String {
    short(&random.to_be_bytes())
}

fn short(bytes: &[u8]) -> String {
    BASE32_DNSSEC.encode(bytes)
}

/// The 128 bits of a token.
fn bits(token: &str) -> Option<[u8; 16]> {
    BASE32_DNSSEC.decode(token.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_may_not_hold_the_separator_of_keys() {
        for bad in ["", "a#b", "a b", "ä", "a\n", &"x".repeat(129)] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["alice", "auth0|5f7c8ec7c33c6c004bbafe82", "a@b.c", "A:b+c=~-"] {
            assert_eq!(UserId::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_direct_thread_has_one_id_whoever_asks_and_no_other_pair_has_it() {
        let [ab, c, a, bc] = ["ab", "c", "a", "bc"].map(|n| UserId::parse(n).unwrap());
        let direct = |a: &UserId, b: &UserId| ThreadId::direct(&[7; 32], a, b);
        let other = ThreadId::direct(&[8; 32], &ab, &c);
        assert_eq!(direct(&ab, &c), direct(&c, &ab));
        assert_ne!(direct(&ab, &c), other);
        assert_ne!(direct(&ab, &c), direct(&a, &bc));
        assert!(ThreadId::parse(direct(&a, &bc).as_str()).is_ok());
    }

    #[test]
    fn made_ids_parse() {
        assert!(ThreadId::parse(ThreadId::group(7).as_str()).is_ok());
        assert!(TicketId::parse(TicketId::made(u128::MAX).as_str()).is_ok());
        assert!(QueueId::parse(QueueId::made(0).as_str()).is_ok());
    }
}
