//! What every command has that signs: the key, for whom, and whether to ask.

use std::path::PathBuf;

use clap::Args;

use crate::domain::name::TrustDomain;

/// How a text is signed.
#[derive(Args, Clone, Debug)]
pub struct Signer {
    /// Sign with this SSH key: a private key's file, or the public half of one in an agent or a security key
    #[arg(long, value_name = "FILE", env = "HOTWORK_SSH_KEY", hide_env_values = true)]
    pub ssh_key: Option<PathBuf>,
    /// Sign only for the broker of this trust domain
    #[arg(long, value_name = "NAME", env = "HOTWORK_TRUST_DOMAIN", hide_env_values = true)]
    pub trust_domain: Option<TrustDomain>,
    /// Do not ask; without a terminal nothing is signed otherwise
    #[arg(long, short)]
    pub yes: bool,
}
