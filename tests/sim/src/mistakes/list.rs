//! The mistakes, by the rule that they break.

use super::Mistake;

/// All of them.
pub(super) const MISTAKES: &[Mistake] = &[];
