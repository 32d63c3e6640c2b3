//! `hotworkd init`: keys, certificate authorities, and a registry with the caller as its operator.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::clock::SystemClock;
use crate::config::starter::Starter;
use crate::domain::clock::Clock as _;
use crate::domain::name::{Issuer, TrustDomain};
use crate::domain::signer::Algorithm;
use crate::signer::keystore::{Identity, KeyStore};

use super::args::Init;
use super::{Failure, build, say};

/// Makes what is missing; keys that are there are never overwritten, files neither.
pub fn run(arguments: &Init) -> Result<(), Failure> {
    let trust_domain: TrustDomain = parse("--trust-domain", &arguments.trust_domain)?;
    let issuer = arguments.issuer.clone().unwrap_or_else(|| format!("https://{trust_domain}"));
    let issuer: Issuer = parse("--issuer", &issuer)?;
    directory(&arguments.state_dir, 0o700)?;
    directory(&arguments.config, 0o755)?;
    let passphrase = build::passphrase(arguments.passphrase_file.as_deref())?;
    let now = SystemClock::new().now().map_err(|error| Failure::new(error.to_string()))?;
    let identity = Identity { trust_domain: trust_domain.clone(), token_algorithm: Algorithm::Es256 };
    KeyStore::create(&arguments.state_dir, &identity, passphrase.as_ref(), now)
        .map_err(|error| Failure::new(format!("keys: {error}")))?;
    let starter = Starter {
        trust_domain: &trust_domain,
        issuer: &issuer,
        state_dir: &arguments.state_dir,
        config_dir: &arguments.config,
        passphrase_file: arguments.passphrase_file.as_deref(),
        uid: rustix::process::geteuid().as_raw(),
        operator: &parse("operator", "admin")?,
    };
    let new =
        starter.write().map_err(|error| Failure::new(format!("{}: {error}", arguments.config.display())))?;
    say(&format!("keys and certificate authorities: {}/keys", arguments.state_dir.display()));
    say(&format!("log verifier key, to be kept elsewhere too: {}/log.pub", arguments.state_dir.display()));
    new.iter().for_each(|path| say(&format!("written: {}", path.display())));
    say(&format!(
        "next: hotworkd check --config {0} && hotworkd serve --config {0}/hotworkd.toml",
        arguments.config.display()
    ));
    Ok(())
}

fn parse<T: std::str::FromStr<Err = crate::domain::name::BadName>>(
    flag: &str,
    text: &str,
) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{flag}: {error}, got `{text}`")))
}

fn directory(path: &Path, mode: u32) -> Result<(), Failure> {
    DirBuilder::new()
        .mode(mode)
        .recursive(true)
        .create(path)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}
