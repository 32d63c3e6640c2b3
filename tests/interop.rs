//! What we mint, judged by programs that are not ours: PyJWT, jose, OpenSSL, pkilint and PostgreSQL.
//!
//! `scripts/install-test-tools.sh` puts them in place. Without them a test says so and passes, except where
//! `CI=true`: there what is missing is a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests; foreign verifiers have the machine's clock, so the tests do too"
)]

#[path = "end_to_end/support.rs"]
#[allow(dead_code, missing_docs, reason = "shared with the end-to-end tests, which use all of it")]
mod support;

mod interop {
    pub mod certificates;
    pub mod mint;
    pub mod postgres;
    pub mod served_lists;
    pub mod status_lists;
    pub mod tokens;
    pub mod tools;
}
