//! The generated wire types of `proto/`. Only `api` and `cli` speak them.

#![allow(missing_docs, clippy::all, reason = "generated code")]
#![allow(
    clippy::missing_errors_doc,
    clippy::wildcard_enum_match_arm,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    clippy::uninlined_format_args,
    clippy::semicolon_if_nothing_returned,
    reason = "generated code"
)]

/// The package `hotwork.v1`.
pub mod v1 {
    tonic::include_proto!("hotwork.v1");
}

/// The part of `envoy.service.auth.v3` that we answer.
pub mod envoy {
    tonic::include_proto!("envoy.service.auth.v3");
}

/// The part of `envoy.service.secret.v3` that we answer.
pub mod sds {
    tonic::include_proto!("envoy.service.secret.v3");
}

/// The encoded `FileDescriptorSet`, for reflection and the JSON mapping.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
