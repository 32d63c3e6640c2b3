//! The arguments of `hotwork bench`.

use std::time::Duration;

use clap::Args;

use super::Kind;
use crate::cli::duration;
use crate::domain::name::ActionName;
use crate::domain::resource::Resource;

/// `bench`.
#[derive(Args, Debug)]
#[command(after_help = "\
It issues real credentials, each recorded and signed; on a broker that matters, don't.
The action's rate must be above the load: `demo.read` of `hotworkd dev` allows 100,000 a second.

Columns: rate in credentials a second; median and 99th percentile of the latency; CPU of the daemon
for each credential, when its process is on this machine; one raw P-256 signature with every core
signing, measured before and after each run; and how many of those the CPU of a credential is.

Examples:
  hotwork bench
  hotwork bench --kind cert --callers 64 --duration 30s -o json")]
pub struct Bench {
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
