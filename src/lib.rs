//! hotwork: a credential broker for software agents. Authority for one action, with proof.
//!
//! Files stand on floors and use lower floors only (`docs/ARCHITECTURE.md`, kept by `tests/tidy.rs`).

// Floor 0: the words of the trade.
pub mod domain;

// Floor 1: the outside, behind small doors. These do not know each other.
pub mod attest;
pub mod clock;
pub mod notify;
pub mod policy;
pub mod signer;
pub mod store;

// Floor 2: use cases.
pub mod broker;

// Floor 3: edges. `proto` is the wire's vocabulary.
pub mod api;
pub mod proto;

// Floor 4: wiring.
pub mod app;
pub mod cli;
pub mod config;
pub mod telemetry;
