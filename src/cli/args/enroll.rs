//! The arguments of `hotwork operator` and `hotwork verifier`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::duration;
use crate::domain::id::Serial;
use crate::domain::name::Reason;

/// `operator` and `verifier`.
#[derive(Debug, Subcommand)]
pub enum Enroll {
    /// Make a key here and get a certificate for it, good on the TCP listener
    #[command(after_help = "\
The key never leaves this machine. --out gets `cert.pem`, `key.pem` and `ca.pem`, each of mode 0600. \
An operator must be in the registry's operators.toml: it says what they may do.

Examples:
  hotwork operator enroll alice --out ./alice
  hotwork verifier enroll envoy-1 --out /etc/envoy/hotwork --lifetime 90d
  hotwork verifier enroll envoy-1 --csr envoy.csr --out ./envoy")]
    Enroll(EnrollOne),
    /// List the certificates that are good now
    #[command(visible_alias = "ls")]
    List,
    /// End certificates now, on open connections too
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  hotwork operator remove alice --reason 'left'\n  \
        hotwork verifier remove envoy-1 --serial 4f… --reason 'host lost' --yes"
    )]
    Remove(Remove),
}

/// `enroll`.
#[derive(Args, Debug)]
pub struct EnrollOne {
    /// The name
    pub name: String,
    /// The directory for the files; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How long the certificate is good, such as 12h or 90d
    #[arg(long, default_value = "30d", value_parser = duration::parse_long, value_name = "DURATION")]
    pub lifetime: u32,
    /// A signing request of your own, PEM or DER; no key is made then
    #[arg(long, value_name = "FILE")]
    pub csr: Option<PathBuf>,
}

/// `remove`.
#[derive(Args, Debug)]
pub struct Remove {
    /// The name
    pub name: String,
    /// One certificate; all of that name when absent
    #[arg(long, value_name = "HEX")]
    pub serial: Option<Serial>,
    /// Why, for the record: one printable line
    #[arg(long)]
    pub reason: Reason,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}
