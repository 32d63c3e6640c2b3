//! The real binaries, as users run them. `support` starts them; each other module is one promise or user.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    missing_docs,
    reason = "tests"
)]
mod bad_input;
mod brake_crashes;
mod break_glass;
mod break_glass_banner;
mod break_glass_crashes;
mod break_glass_ends;
mod consume;
mod cut_brakes;
mod edges;
mod emergency_full;
mod emergency_life;
mod evidence;
mod expired;
mod feed;
mod first_minutes;
mod forged;
mod full_load;
mod init;
mod keys_elsewhere;
mod kill_nine;
mod later;
mod listeners;
mod lock_stops;
mod locks_by_key;
mod lost_feed;
mod metrics;
mod oauth;
mod operations;
mod operator_calls;
mod own_certificate;
mod pages;
#[allow(dead_code, reason = "the targets that share it each need a part")]
#[path = "../attest/podman.rs"]
mod podman;
mod publications;
mod reviews_owed;
mod revocation;
mod rotation;
mod scenarios;
#[allow(dead_code, reason = "the targets that share it each need a part")]
mod scene;
mod secrets;
mod security_key;
mod selectors;
mod session_certificates;
#[allow(dead_code, reason = "the targets that share it each need a part")]
mod signing;
mod sockets;
mod ssh_agent;
mod strangers;
mod support;
#[allow(dead_code, reason = "the targets that share it each need a part")]
#[path = "../recipes/tls.rs"]
mod tls;
mod unit;
