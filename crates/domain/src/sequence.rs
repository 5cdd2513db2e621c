//! The kinds of sequence number. Each is a type of its own, so that the compiler rejects one in the place of another.

use std::{
    fmt,
    num::ParseIntError,
    ops::{Add, Sub},
    str::FromStr,
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Unexpected, Visitor},
};
use utoipa::ToSchema;

/// A whole number. JSON does not tell 18 from 18.0 (RFC 8259, section 6), and some languages write the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole(
    /// The number.
    pub u64,
);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_u64(WholeVisitor).map(Self)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("u64")
    }

    fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_type(Unexpected::Signed(number), &self))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
        // Above 2^53 a float no longer tells neighbours apart.
        let is_whole = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
        if is_whole { Ok(number as u64) } else { Err(E::invalid_type(Unexpected::Float(number), &self)) }
    }
}

macro_rules! sequence {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, ToSchema,
        )]
        #[serde(transparent)]
        #[schema(value_type = u64)]
        pub struct $name(pub u64);

        impl $name {
            /// Greater than every number that is given out.
            pub const MAX: Self = Self(u64::MAX);

            /// The first number that is given out.
            pub const FIRST: Self = Self(1);

            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The number before this one; 0 has none, and stays.
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }

        impl Sub for $name {
            type Output = u64;

            /// How many were given out after `earlier`; none if it is not the earlier one.
            fn sub(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl Add<u64> for $name {
            type Output = Self;

            fn add(self, more: u64) -> Self {
                Self(self.0 + more)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Whole::deserialize(d).map(|Whole(number)| Self(number))
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }
    };
}

sequence! {
    /// Where a logged event stands in its thread: 1, 2, 3 … without a gap. 0 is before the first.
    ThreadSeq
}

sequence! {
    /// Where an event stands in a user's inbox: 1, 2, 3 … without a gap. 0 is before the first.
    InboxSeq
}

sequence! {
    /// Which of a thread's messages it is: 1, 2, 3 … without a gap. 0 is before the first.
    MessageNumber
}

sequence! {
    /// How often a user's profile has changed: 1, 2, 3 … 0 is that of a user who has none.
    ProfileVersion
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_read_however_it_is_written() {
        let read = |text: &str| serde_json::from_str::<ThreadSeq>(text).ok();
        for (text, number) in
            [("18", 18), ("18.0", 18), ("1.8e1", 18), ("0.0", 0), ("18446744073709551615", u64::MAX)]
        {
            assert_eq!(read(text), Some(ThreadSeq(number)), "{text}");
        }
        for bad in ["-1", "18.5", "-1.0", "1e16", "18446744073709551616", "\"18\"", "null", "1e999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
