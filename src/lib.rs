//! hotwork: a credential broker for software agents. Authority for one action, with proof.
//!
//! Files stand on floors and use lower floors only (`docs/ARCHITECTURE.md`, kept by `tests/tidy.rs`).

// The code itself is held to these when the library is built without its tests.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::needless_pass_by_value,
        clippy::too_many_lines,
        clippy::wildcard_enum_match_arm,
        reason = "tests say what they mean in fewer words"
    )
)]

// Floor 0: the words of the trade.
pub mod domain;

// Floor 1: the outside, behind small doors. These do not know each other.
pub mod attest;
pub mod clock;
pub mod notify;
pub mod policy;
pub mod signer;
pub mod ssh;
pub mod store;

// Floor 2: use cases of the broker, and of who verifies what it issued.
pub mod broker;
pub mod verify;

// Floor 3: edges. `proto` is the wire's vocabulary.
pub mod api;
pub mod feed;
pub mod proto;

// Floor 4: wiring.
pub mod app;
pub mod cli;
pub mod config;
pub mod telemetry;
