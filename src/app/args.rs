//! The arguments of `hotworkd`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The credential broker daemon.
#[derive(Debug, Parser)]
#[command(
    name = "hotworkd",
    version,
    about = "Credential broker for software agents: authority for one action, with proof",
    after_help = "To try it:  hotworkd dev\nThe client: hotwork --help",
    max_term_width = 100
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check configuration and registry, and report every problem with file, line and key
    Check(Check),
    /// Print a shell completion script
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Start a broker to try things with: temporary state, generated keys, a demo registry
    Dev(Dev),
    /// Prepare a state directory: keys, certificate authorities, and an operator entry for the caller
    Init(Init),
    /// Serve
    Serve {
        /// The configuration file
        #[arg(long, value_name = "FILE", default_value = "/etc/hotwork/hotworkd.toml")]
        config: PathBuf,
        /// Where the state is when the configuration file is broken and does not say; the last good
        /// configuration is kept there, for an emergency start
        #[arg(long, value_name = "DIR", default_value = "/var/lib/hotwork")]
        state_dir: PathBuf,
        /// The clock is right although the log's newest entry is more than 30 days old; without it such a start
        /// issues nothing
        #[arg(long, env = "HOTWORK_ACCEPT_CLOCK")]
        accept_clock: bool,
    },
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The directory of the registry (apis/, agents/, policies/, playbooks/, operators.toml), or hotworkd.toml itself
    #[arg(long, value_name = "DIR", default_value = "/etc/hotwork")]
    pub config: PathBuf,
    /// Fail on warnings too
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// Keep the state here; without it a temporary directory is made and removed at the end
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where the read-only HTTP listener is; must be loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub http: SocketAddr,
    /// Where health and metrics are; must be loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub ops: SocketAddr,
    /// Open the TCP listeners for operators and verifiers too, on loopback with free ports
    #[arg(long)]
    pub tcp: bool,
    /// With --tcp, believe the workloads of a trust domain by the roots in a PEM file, and open the TCP
    /// listener for agents; may be repeated
    #[arg(long, value_name = "TRUST-DOMAIN=FILE", requires = "tcp")]
    pub trust_bundle: Vec<String>,
    /// What is logged to standard error: error, warn, info or debug
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The directory for keys, journal and index
    #[arg(long, value_name = "DIR", default_value = "/var/lib/hotwork")]
    pub state_dir: PathBuf,
    /// The directory for hotworkd.toml and the registry; what is there is left alone
    #[arg(long, value_name = "DIR", default_value = "/etc/hotwork")]
    pub config: PathBuf,
    /// The SPIFFE trust domain that this broker is the authority of
    #[arg(long, value_name = "NAME")]
    pub trust_domain: String,
    /// The issuer of tokens, an https URL; https://TRUST-DOMAIN when absent
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// A file with the passphrase that the keys are encrypted with
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
