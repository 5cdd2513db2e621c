//! Attacks from outside: every route with every kind of credential, requests that no client sends, and mutants of good ones.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod matrix;
mod mutants;
mod requests;
