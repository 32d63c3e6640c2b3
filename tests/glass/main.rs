//! Break-glass in this process, on a clock that the test holds: what attackers try who have a key, a role or a bad line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    reason = "tests"
)]

mod brake;
mod callers;
mod doubt;
mod full;
mod people;
mod proof;
mod shares;
#[path = "../end_to_end/signing.rs"]
mod signing;
mod site;
#[path = "../end_to_end/support.rs"]
mod support;
mod texts;
