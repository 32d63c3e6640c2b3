//! What ends and locks: selectors, `revoke`, `lock`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::duration;
use crate::domain::evidence;
use crate::domain::id::{CredentialId, Lineage, Serial};
use crate::domain::name::{ActionName, ApiName, Reason, TenantName};
use crate::domain::resource::Resource;
use crate::domain::revocation::{KeyId, Party};

/// Which credentials: exactly one.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which credentials (exactly one)")]
#[group(id = "selector", required = true, multiple = false)]
pub struct Selectors {
    /// One credential
    #[arg(long, value_name = "ID")]
    pub credential: Option<CredentialId>,
    /// One certificate, by its serial number in hex
    #[arg(long, value_name = "HEX", value_parser = serial)]
    pub serial: Option<Serial>,
    /// A request's credentials and their children, those still to come too (`txn`)
    #[arg(long, value_name = "ID")]
    pub lineage: Option<Lineage>,
    /// Everything of one agent, by SPIFFE ID, `TENANT/NAME` or name
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Those of agents that this party answers for
    #[arg(long, value_name = "OWNER")]
    pub owner: Option<Party>,
    /// Those on behalf of this accountable party (`sub`)
    #[arg(long, value_name = "PRINCIPAL")]
    pub principal: Option<Party>,
    /// Everything of one tenant's agents
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<TenantName>,
    /// Those for one API's actions
    #[arg(long, value_name = "API")]
    pub api: Option<ApiName>,
    /// Those for one action, such as repo.pull.open
    #[arg(long, value_name = "ACTION")]
    pub action: Option<ActionName>,
    /// Those for a resource and all below it, by whole path segments
    #[arg(long, value_name = "PREFIX")]
    pub resource_prefix: Option<Resource>,
    /// Those given on this evidence, such as unix.uid=1000 or unix.sha256=HEX
    #[arg(long, value_name = "KIND=VALUE", value_parser = attested)]
    pub attested: Option<evidence::Selector>,
    /// Those signed by one key (`kid`, which may begin with a hyphen)
    #[arg(long, value_name = "KID", allow_hyphen_values = true)]
    pub key: Option<KeyId>,
    /// Everything there is
    #[arg(long)]
    pub all: bool,
}

/// `revoke`.
#[derive(Args, Debug)]
#[command(after_help = "\
The reason goes into the log: whoever reads it later must see why work was stopped. \
On a terminal, all but --credential and --serial ask first and show how many credentials would end. \
--wait waits for the verifiers that follow the feed; exit code 10 when one has not acknowledged in time, \
or is away and may run on without hearing of it (for 300 s after it went, or after the broker's start): \
the revocation is in force all the same, and `hotwork feed` shows who is late. \
--lock says what its lock stops, with --dry-run what it would stop. \
--key ends a token key for good when another one signs: after `hotwork keys rotate token --now`, for one that leaked.

No credential says its owner or its evidence. With --owner and --attested the broker, and proxies that ask it, refuse just \
those that are meant; verifiers that follow the feed can't tell and refuse ALL older credentials, also of others, until agents \
ask for new ones.

Examples:
  hotwork revoke --credential 01932b6e-5f2a-7c3d-8e4f-0a1b2c3d4e5f --reason 'laptop lost'
  hotwork revoke --agent deploy-bot --reason 'key leaked in CI' --dry-run
  hotwork revoke --agent deploy-bot --reason 'key leaked in CI' --lock --lock-ttl 2h --wait 5s
  hotwork revoke --attested unix.sha256=9f86d0... --reason 'bad build' --yes
  hotwork revoke --all --reason 'incident 42' --yes")]
pub struct Revoke {
    /// Which credentials.
    #[command(flatten)]
    pub selector: Selectors,
    /// Only what was minted before, such as 2026-11-23T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = duration::parse_time, conflicts_with = "credential")]
    pub issued_before: Option<jiff::Timestamp>,
    /// Why, for the record: one printable line
    #[arg(long)]
    pub reason: Option<Reason>,
    /// Only count what would end, and what --lock would stop
    #[arg(long)]
    pub dry_run: bool,
    /// Wait so long, at most 8s, for the verifiers to acknowledge
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "dry_run")]
    pub wait: Option<Duration>,
    /// Lock the same in the same step, so that none comes after
    #[arg(long, conflicts_with_all = ["credential", "serial", "issued_before"])]
    pub lock: bool,
    /// How long the lock lasts; 1h when absent
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_lock, requires = "lock")]
    pub lock_ttl: Option<u32>,
    /// What the refused caller is told; the reason when absent
    #[arg(long, value_name = "TEXT", requires = "lock")]
    pub lock_message: Option<Reason>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// `lock`. `lock create` may be left out: it is what one types at three in the morning.
#[derive(Args, Debug)]
#[command(
    subcommand_negates_reqs = true,
    arg_required_else_help = true,
    after_help = "\
The kill switch is `hotwork lock --all --message TEXT`: `create` may be left out. It says what it stops, and how many live \
credentials it does not end.

Examples:
  hotwork lock --all --message 'incident 42: call the duty officer'
  hotwork lock --agent deploy-bot --ttl 30m --reason 'acts strangely'
  hotwork lock list
  hotwork lock rm 1234"
)]
pub struct Lock {
    /// What to do; makes a lock when absent.
    #[command(subcommand)]
    pub command: Option<LockCommand>,
    /// The lock to make.
    #[command(flatten)]
    pub create: LockCreate,
}

/// What to do with locks.
#[derive(Debug, Subcommand)]
pub enum LockCommand {
    /// Refuse what may come, for a time and with a message
    #[command(after_help = "\
A lock refuses what is asked for from now on; what was issued lives on until it expires or is revoked \
(`hotwork revoke --lock` does both). It ends by itself, or with `hotwork lock rm`.

Examples:
  hotwork lock create --action infra.cluster.scale --ttl 30m --message 'change freeze until 18:00'
  hotwork lock create --all --message 'incident 42: call the duty officer'")]
    Create(Box<LockCreate>),
    /// List the locks in force
    #[command(visible_alias = "ls")]
    List,
    /// End a lock before its time
    #[command(visible_alias = "remove")]
    Rm {
        /// Its id, as `hotwork lock list` shows it
        lock: u64,
    },
}

/// `lock create`.
#[derive(Args, Clone, Debug)]
pub struct LockCreate {
    /// What is not issued.
    #[command(flatten)]
    pub selector: Selectors,
    /// How long, such as 30m; 7 days at most
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_lock, default_value = "1h")]
    pub ttl: u32,
    /// What the refused caller is told: one printable line
    #[arg(long, visible_alias = "reason", value_name = "TEXT", required = true)]
    pub message: Option<Reason>,
}

fn serial(text: &str) -> Result<Serial, &'static str> {
    // OpenSSL shows colons and capitals.
    let plain = text.replace(':', "").to_ascii_lowercase();
    plain.parse().map_err(|_| "expected the 32 hex digits of a serial number of this broker")
}

fn attested(text: &str) -> Result<evidence::Selector, String> {
    let (kind, value) = text.split_once('=').ok_or("expected KIND=VALUE, such as unix.uid=1000")?;
    evidence::Selector::new(kind, value).map_err(|error| error.to_string())
}
