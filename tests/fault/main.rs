//! Crash points: a process dies at each of the calls that it makes to AWS, before AWS has heard of
//! it and after AWS has done it, and everybody else goes on.
//!
//! The cases are found, not listed: an operation is run once to count its calls, and then once for
//! each call, moment and aftermath, with fresh users and a fresh thread.
//!
//! | who dies | doing what | × | × |
//! |---|---|---|---|
//! | an API ([`writes`]) | message in a group, in a direct thread (P1b), in a large group, behind one that was left behind; edit; deletion; reaction put and taken away; group renamed; seen in both; member added, added again, removed; group and direct thread created | before, after | the client tries again, or the sweeper comes, or first the next message |
//! | an API ([`writes`]) | the same, but only an answer is lost and the process lives | after | the client has its answer |
//! | no process: a client hangs up ([`hangups`]) | the same | before, after | no sweeper and no head check run, and all members are told |
//! | a sweeper ([`sweeps`]) | message, seen, removal left behind | before, after | another sweeper |
//! | a worker ([`chains`]) | both links of a message in a large group: the first call of each kind, and the last | before the first, after the last | the sweeper begins anew, and another worker comes |
//! | an edge ([`edges`]), of both topologies | beat, look, take, create, receive, ack, read, head check, release; taking over from a dead edge, losing its queue, a beat that is refused, draining | before, after; answer lost and it lives | the client goes to another edge |
//! | a reaper ([`reaps`]) | giving back what a dead edge holds, taking its queue away | before, after | another reaper, and then the client |
//!
//! What must hold afterwards is in [`verdict`].

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "a run says how many cases it found, and where")]

mod cases;
mod chains;
mod edges;
mod hangups;
mod reaps;
mod stage;
mod sweeps;
mod verdict;
mod writes;
