//! The arguments of `hotwork bench`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Kind;
use crate::cli::duration;
use crate::domain::name::ActionName;
use crate::domain::resource::Resource;

/// `bench`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
It issues real credentials, each recorded and signed; on a broker that matters, don't. \
The action's rate must be above the load: `demo.read` of `hotworkd dev` allows 100,000 a second.

Columns: rate in credentials a second; median and 99th percentile of the latency; CPU of the daemon \
for each credential, when its process is on this machine; one raw P-256 signature with every core \
signing, measured before and after each run; and how many of those the CPU of a credential is.

Examples:
  hotwork bench
  hotwork bench --kind cert --callers 64 --duration 30s -o json")]
pub struct Bench {
    /// What to measure, when it is not the rate of issuance.
    #[command(subcommand)]
    pub what: Option<What>,
    /// What form the credentials have: token, or cert (from a request made beforehand)
    #[arg(long, value_enum, default_value = "token", hide_possible_values = true)]
    pub kind: Kind,
    /// How many callers at once; a comma between several runs
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_name = "N")]
    pub callers: Vec<usize>,
    /// Connections that the callers share; one for each caller when absent
    #[arg(long, value_name = "N")]
    pub connections: Option<usize>,
    /// How long each run measures, after a warm-up of a tenth of it
    #[arg(long, default_value = "5s", value_parser = duration::parse, value_name = "DURATION")]
    pub duration: Duration,
    /// The action to ask for
    #[arg(long, default_value = "demo.read")]
    pub action: ActionName,
    /// Its resource
    #[arg(long, default_value = "demo/bench")]
    pub resource: Resource,
}

/// What else is measured.
#[derive(Debug, Subcommand)]
pub enum What {
    /// How soon a revocation is acknowledged, and how soon verifiers see it
    #[command(after_help = "\
It issues and revokes real credentials; on a broker that matters, don't. Who runs it must be an operator \
who may revoke for all tenants. --credentials issues so many and then revokes everything of this agent.

Examples:
  hotwork bench revoke
  hotwork bench revoke --subscribers 100 --callers 8 --credentials 100000 -o json
  hotwork bench revoke --revoked-before 100000
  hotwork bench revoke --live-before 100000 --fetch $HOTWORK_HTTP")]
    Revoke(RevokeBench),
}

/// `bench revoke`.
#[derive(Args, Clone, Debug)]
pub struct RevokeBench {
    /// How many follow the feed, each on its own connection
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub subscribers: usize,
    /// How many revoke at once
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub callers: usize,
    /// How many revocations are measured
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub revocations: usize,
    /// Lineages that are revoked before anything is measured
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub revoked_before: usize,
    /// Live credentials that are revoked one by one before anything is measured: tokens and certificates in turn,
    /// which status lists and CRLs name from then on
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub live_before: usize,
    /// Fetch the CRLs, and a status list with some of those, once a second from there
    #[arg(long, value_name = "http://HOST:PORT", requires = "live_before")]
    pub fetch: Option<String>,
    /// Credentials that one more revocation ends at once
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub credentials: usize,
    /// The action to ask for
    #[arg(long, default_value = "demo.read")]
    pub action: ActionName,
    /// Its resource
    #[arg(long, default_value = "demo/bench")]
    pub resource: Resource,
}
