//! Compiles `proto/` with protox, so that no protoc is needed.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 12] = [
    "envoy/service/auth/v3/external_auth.proto",
    "envoy/service/secret/v3/sds.proto",
    "hotwork/v1/admin_service.proto",
    "hotwork/v1/approval.proto",
    "hotwork/v1/audit_service.proto",
    "hotwork/v1/break_glass_service.proto",
    "hotwork/v1/control.proto",
    "hotwork/v1/credential.proto",
    "hotwork/v1/credential_service.proto",
    "hotwork/v1/inventory.proto",
    "hotwork/v1/revocation.proto",
    "hotwork/v1/verification_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    // Requests are read strictly: a field that this version does not know is refused.
    tonic_prost_build::configure()
        .codec_path("crate::api::strict::Codec")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
