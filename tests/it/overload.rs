//! An edge that is asked for more than it has.
