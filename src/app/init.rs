//! `hotworkd init`: keys, certificate authorities, and a registry with the caller as its operator.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

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
    // The configuration holds absolute paths: the daemon is started from anywhere.
    let (state_dir, config_dir) = (absolute(&arguments.state_dir)?, absolute(&arguments.config)?);
    let passphrase_file = arguments.passphrase_file.as_deref().map(absolute).transpose()?;
    let passphrase = build::passphrase(passphrase_file.as_deref())?;
    directory(&state_dir, 0o700)?;
    directory(&config_dir, 0o755)?;
    let now = SystemClock::new().now().map_err(|error| Failure::new(error.to_string()))?;
    let identity = Identity { trust_domain: trust_domain.clone(), token_algorithm: Algorithm::Es256 };
    KeyStore::create(&state_dir, &identity, passphrase.as_ref(), now)
        .map_err(|error| Failure::caused("keys", &error))?;
    // While there is room: what a full disk must not refuse later.
    crate::store::prepare_emergency(&state_dir)
        .map_err(|error| Failure::caused("emergency journal", &error))?;
    let starter = Starter {
        trust_domain: &trust_domain,
        issuer: &issuer,
        state_dir: &state_dir,
        config_dir: &config_dir,
        passphrase_file: passphrase_file.as_deref(),
        uid: rustix::process::geteuid().as_raw(),
        operator: &parse("operator", "admin")?,
    };
    let new = starter.write().map_err(|error| Failure::new(format!("{}: {error}", config_dir.display())))?;
    say(&format!("keys and certificate authorities: {}/keys", state_dir.display()));
    if passphrase.is_none() {
        say(
            "the keys are not encrypted, only their mode protects them; `--passphrase-file FILE` encrypts new ones",
        );
    }
    say(&format!("log verifier key, to be kept elsewhere too: {}/log.pub", state_dir.display()));
    new.iter().for_each(|path| say(&format!("written: {}", path.display())));
    let config = config_dir.display();
    say(&format!("next: hotworkd check --config {config} && hotworkd serve --config {config}/hotworkd.toml"));
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
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
