//! The recipes of `docs/recipes/`, with real servers: each test runs the configuration that the page shows.
//!
//! `scripts/install-test-tools.sh` puts the servers in place. Without them a test says so and passes, except
//! where `CI=true`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests; real servers have the machine's clock, so the tests do too"
)]

mod agent;
mod axum;
mod database;
mod drill;
mod envoy;
mod grpc;
mod host;
mod nginx;
mod postgresql;
mod prompt;
mod proxy;
mod recipe;
mod scene;
mod tls;
mod typed;
mod units;
mod upstream;

#[path = "../end_to_end/signing.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod signing;
#[path = "../end_to_end/support.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;
