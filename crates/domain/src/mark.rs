//! Names in eight bytes, so that a user row can hold many of them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Stands for a longer name, such as that of a session or of a blocked user: the first 64 bits of its SHA-256. Only names in
/// one user row could be taken for each other, and a row holds a few hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(u64);

impl Mark {
    /// The mark of a name.
    pub fn of(name: &str) -> Self {
        let hash = Sha256::digest(name.as_bytes());
        Self::from_bytes(std::array::from_fn(|at| hash[at]))
    }

    /// The mark with these bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}
