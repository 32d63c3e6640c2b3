//! The edges: what comes in is parsed into domain types, what goes out is rendered from them.
//!
//! This floor knows the wire and the use cases, and decides nothing. `convert` is the only way in,
//! `status` the only way out for errors, `authz` the only table of who may call what.

pub mod admin;
pub mod agent;
pub mod approvals;
pub mod audit;
pub mod authz;
pub mod break_glass;
mod call;
pub mod convert;
pub mod door;
pub mod drain;
mod feed;
pub mod form;
pub mod grpc;
pub mod guard;
pub mod http;
pub mod listen;
pub mod metrics;
pub mod oauth;
pub mod ops;
pub mod peer;
pub mod publications;
pub mod published;
pub mod render;
pub mod server;
pub mod status;
pub mod strangers;
pub mod strict;
pub mod tls;
pub mod verifier;
pub mod verify;
