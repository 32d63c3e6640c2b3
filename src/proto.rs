//! The generated wire types of `proto/hotwork/v1`. Only `api` and `cli` speak them.

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

/// The encoded `FileDescriptorSet`, for reflection and the JSON mapping.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
