//! Servers of the tool's own, to compare with.

pub(crate) mod naive;
pub(crate) mod raw;
