//! What strangers try: every route as everybody who may not, requests that no client sends, and mutants of good ones.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod matrix;
mod mutants;
mod requests;
