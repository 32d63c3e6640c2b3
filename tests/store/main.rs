//! The ledger's promises, on real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod support;

mod approvals;
mod basics;
mod carried;
mod clock;
mod damage;
mod derived;
mod disk;
mod emergency;
mod exact;
mod glass;
mod merges;
mod properties;
mod put_back;
mod races;
mod selectors;
mod shadow;
mod shares;
