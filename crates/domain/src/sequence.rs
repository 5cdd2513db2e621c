//! The kinds of sequence number. Each is a type of its own, so that the compiler rejects one in the place of another.

use std::{
    fmt,
    num::ParseIntError,
    ops::{Add, Sub},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! sequence {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema,
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
