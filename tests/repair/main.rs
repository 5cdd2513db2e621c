//! A restored table holds any half of what was written last. Repaired, it serves again: nothing
//! is shown twice, nothing waits for ever, nothing deleted comes back, and a client that sends
//! again what was lost stores it once.
//!
//! Each [deed](deeds) is done once by the real store, and its rows are taken before and after it.
//! A case is the table with some of the rows as they were after it and the others as before; every
//! deed of few rows gets every case, one of many gets a part of them. All cases lie in one table,
//! each with users of its own, and are repaired at once.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "a run says how many cases it found")]

mod cast;
mod cut;
mod deeds;
mod halves;
mod rest;
mod verdict;
