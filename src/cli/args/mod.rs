//! The command line: its words, their forms, and their help.

pub mod approval;
pub mod bench;
pub mod control;
pub mod enroll;
pub mod glass;
pub mod operator;
pub mod signing;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::duration;
use super::request::Given;
use crate::domain::digest::Digest;
use crate::domain::id::{ApprovalId, CredentialId, Lineage};
use crate::domain::name::{ActionName, Purpose};
use crate::domain::request::{IdempotencyKey, Thumbprint};
use crate::domain::resource::Resource;
use crate::domain::time::Ttl;

/// Columns of the widest help.
const WIDTH_MAX: usize = 100;

const AFTER: &str = "\
Examples:
  hotwork whoami
  hotwork actions
  hotwork exec --action demo.read --resource demo/hello -- sh -c 'cat $HOTWORK_TOKEN_FILE'
  hotwork issue demo.read --resource demo/hello --ttl 2m -o json
  hotwork revoke --agent deploy-bot --reason 'leaked in CI' --dry-run

A broker to try it on: run `hotworkd dev` in another terminal and paste the lines it prints.

Exit codes: 0 ok, 1 failed, 2 usage, 3 denied, 4 not attested, 5 approval pending, \
6 negative verdict, 7 unavailable, 8 rate limited, 9 conflict, 10 partial. \
`exec` adds 125 hotwork itself failed, 126 cannot execute, 127 not found.

Data goes to standard output, messages to standard error. Under `-o json` a failure is \
one object on standard output: {code, reason, message, decisionId}.";

/// Authority for one action, with proof: credentials from a hotwork broker
#[derive(Debug, Parser)]
#[command(name = "hotwork", version, max_term_width = WIDTH_MAX, after_help = AFTER)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The broker's listener for agents, such as unix:///run/hotwork/agent.sock
    #[arg(long, global = true, env = "HOTWORK_ENDPOINT", value_name = "URI", hide_env_values = true)]
    pub endpoint: Option<String>,
    /// The broker's listener for operators
    #[arg(long, global = true, env = "HOTWORK_ADMIN_ENDPOINT", value_name = "URI", hide_env_values = true)]
    pub admin_endpoint: Option<String>,
    /// The broker's listener for verifiers, for when the agents' is not on this machine
    #[arg(
        long,
        global = true,
        env = "HOTWORK_VERIFIER_ENDPOINT",
        value_name = "URI",
        hide_env_values = true
    )]
    pub verifier_endpoint: Option<String>,
    /// For https endpoints: your certificate, PEM
    #[arg(long, global = true, env = "HOTWORK_TLS_CERT", value_name = "FILE", hide_env_values = true)]
    pub tls_cert: Option<PathBuf>,
    /// For https endpoints: its private key, PEM
    #[arg(long, global = true, env = "HOTWORK_TLS_KEY", value_name = "FILE", hide_env_values = true)]
    pub tls_key: Option<PathBuf>,
    /// For https endpoints: the root that the broker is known by, PEM
    #[arg(long, global = true, env = "HOTWORK_TLS_CA", value_name = "FILE", hide_env_values = true)]
    pub tls_ca: Option<PathBuf>,
    /// How data is printed: table, json (the proto JSON mapping), yaml, or name (ids only)
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value = "table",
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub output: Format,
    /// How long one call to the broker may take
    #[arg(long, global = true, default_value = "10s", value_parser = duration::parse, value_name = "DURATION")]
    pub timeout: Duration,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For programs
    Json,
    /// One id on each line
    Name,
    /// For people
    #[default]
    Table,
    /// For programs and people
    Yaml,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command with a credential, and give it back when the command ends
    Exec(Exec),
    /// Ask for a credential and print it, or write it to files
    Issue(Issue),
    /// Who the broker says this process is, and on what evidence
    Whoami,
    /// What this agent may ask for, with limits
    Actions,
    /// Look at credentials, check them, give them back
    #[command(subcommand)]
    Credential(Credential),
    /// Operator: the registered agents
    #[command(subcommand)]
    Agent(operator::Agent),
    /// Operator: the registered APIs and their actions
    #[command(subcommand)]
    Api(operator::Api),
    /// Operator: certificates of operators, for the network
    #[command(subcommand)]
    Operator(enroll::Enroll),
    /// Operator: certificates of verifiers, for the network
    #[command(subcommand)]
    Verifier(enroll::Enroll),
    /// Operator: what agents ask approval for; approve or deny it
    #[command(subcommand)]
    Request(approval::Request),
    /// Operator: end credentials now
    Revoke(Box<control::Revoke>),
    /// Operator: refuse what may come
    Lock(Box<control::Lock>),
    /// Operator: the way in when everything else is down: sessions that several people sign
    #[command(subcommand)]
    BreakGlass(glass::BreakGlass),
    /// Operator: who follows the revocations, and what they have acknowledged
    Feed,
    /// Operator: why a decision went as it did
    Explain(operator::Explain),
    /// Operator: the tamper-evident log
    #[command(subcommand)]
    Audit(operator::Audit),
    /// Operator: who is told of what people should know
    #[command(subcommand)]
    Notify(operator::Notify),
    /// Load a running broker with requests, and measure
    Bench(bench::Bench),
    /// Operator: load the registry and the policies anew
    Reload,
    /// Operator: the signing keys, and their rotation
    Keys {
        /// What to do; lists them when absent.
        #[command(subcommand)]
        command: Option<operator::Keys>,
    },
    /// Operator: how the broker is
    Status(operator::Status),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  hotwork completion bash > /etc/bash_completion.d/hotwork\n  \
                            hotwork completion zsh > ~/.zfunc/_hotwork")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all of them to a directory
    Man {
        /// Where to write them; it must exist
        dir: Option<PathBuf>,
    },
}

/// What a credential is asked for.
#[derive(Args, Debug)]
pub struct Ask {
    /// The one resource, such as repo/acme/site
    #[arg(long, short)]
    pub resource: Resource,
    /// What form the credential has: token, or cert for mutual TLS
    #[arg(long, value_enum, default_value = "token", hide_possible_values = true)]
    pub kind: Kind,
    /// How long it lives, such as 90s or 2m; the action's default when absent
    #[arg(long, value_parser = duration::parse_ttl, value_name = "DURATION")]
    pub ttl: Option<Ttl>,
    /// A parameter of the action; its type is the declared one, or say NAME:int=, NAME:text= or NAME:flag=
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub parameters: Vec<Given>,
    /// Why, as a code that policies can look at
    #[arg(long)]
    pub purpose: Option<Purpose>,
    /// Under this open break-glass session, instead of the policies
    #[arg(long, value_name = "SESSION")]
    pub break_glass: Option<Lineage>,
    /// Makes a retry safe: the same key and request give the same record (a certificate needs --csr for that)
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// Binds the credential to the arguments of one call: their SHA-256 in hex
    #[arg(long, value_name = "HEX")]
    pub args_sha256: Option<Digest>,
    /// Use this approval: the request id that the same command gave before
    #[arg(long, value_name = "REQUEST")]
    pub approval: Option<ApprovalId>,
    /// What an operator who has to approve it is told of the reasons; it decides nothing
    #[arg(long, value_name = "TEXT")]
    pub justification: Option<String>,
    /// When operators have to approve it, wait so long for them, such as 10m, then go on
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub wait: Option<Duration>,
}

/// What form a credential has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// An X.509 client certificate for mutual TLS
    #[value(alias = "certificate")]
    Cert,
    /// A signed token
    Token,
}

/// `exec`.
#[derive(Args, Debug)]
#[command(after_help = "\
The credential is in files of mode 0600 in a private directory; the command's environment has \
their paths:
  HOTWORK_TOKEN_FILE                                       with --kind token
  HOTWORK_CERT_FILE, HOTWORK_KEY_FILE, HOTWORK_CA_FILE     with --kind cert
  HOTWORK_CREDENTIAL_ID                                    always
Signals are passed on. When the command ends, the credential is released and the files are removed. \
The broker attests hotwork itself: the process that asks, not the command it runs.

Exit code: the command's own, 128 + n when signal n ended it; 125 hotwork itself failed, 126 the \
command cannot be executed, 127 there is no such command. The rest, such as 3 for a denial, is as \
everywhere; the command did not run then.

Examples:
  hotwork exec --action demo.read --resource demo/hello -- sh -c 'cat $HOTWORK_TOKEN_FILE'
  hotwork exec --action db.rows.read --resource db/sales --kind cert --ttl 5m -- \\
    sh -c 'psql \"sslcert=$HOTWORK_CERT_FILE sslkey=$HOTWORK_KEY_FILE sslrootcert=ca.pem host=db\"'")]
pub struct Exec {
    /// The one action, such as repo.pull.open
    #[arg(long, short)]
    pub action: ActionName,
    /// The rest of what is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// The command with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// `issue`.
#[derive(Args, Debug)]
#[command(after_help = "\
For a certificate, hotwork makes a P-256 key here and sends a signing request: the key never \
leaves this machine. Without --out, token or key are printed: mind where standard output goes. \
--out writes `token`, or `cert.pem`, `key.pem` and `ca.pem`, each of mode 0600.

Examples:
  hotwork issue demo.read --resource demo/hello
  hotwork issue billing.payment.create --resource invoice/7 --param amount=120 --param currency=EUR
  hotwork issue demo.read --resource demo/hello --kind cert --out ./credential
  hotwork issue repo.pull.open --resource repo/acme/site --dpop-key dpop.pem -o json")]
pub struct Issue {
    /// The one action, such as repo.pull.open
    pub action: ActionName,
    /// The rest of what is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// Write the credential to files in this directory; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Certificate: a signing request of your own, PEM or DER; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["generate_key", "dpop_key", "dpop_jkt"])]
    pub csr: Option<PathBuf>,
    /// Certificate: let the broker make the key and send it once
    #[arg(long, conflicts_with_all = ["dpop_key", "dpop_jkt"])]
    pub generate_key: bool,
    /// Token: bind it to this DPoP key: a JWK, or PEM of a private or public key (P-256 or Ed25519)
    #[arg(long, value_name = "FILE", conflicts_with = "dpop_jkt")]
    pub dpop_key: Option<PathBuf>,
    /// Token: bind it to the DPoP key with this RFC 7638 thumbprint
    // One thumbprint in 64 begins with a hyphen.
    #[arg(long, value_name = "THUMBPRINT", allow_hyphen_values = true)]
    pub dpop_jkt: Option<Thumbprint>,
}

/// `credential`.
#[derive(Debug, Subcommand)]
pub enum Credential {
    /// List this agent's credentials, newest first
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  hotwork credential list\n  \
        hotwork credential list --ended\n  hotwork credential list --all --agent deploy-bot -o json"
    )]
    List(CredentialList),
    /// Show one record
    Show {
        /// The credential's id
        id: CredentialId,
        /// Operator: look among those of all agents
        #[arg(long)]
        all: bool,
    },
    /// Decode a token or certificate here, without asking anyone and without checking anything
    Inspect {
        /// The file; `-` is standard input
        file: PathBuf,
    },
    /// Ask the broker whether a token or certificate is live; exit code 6 when it is not
    Verify {
        /// The file; `-` is standard input
        file: PathBuf,
    },
    /// Debit one call of a single-use or counted credential; exit code 6 when none is left or it is not live
    #[command(after_help = "\
The call may go ahead only after exit code 0. A retry with the same key gets the same answer and \
debits nothing, so after exit code 7 ask again with the same key.

Example:
  hotwork credential consume token --idempotency-key order-42 && make-the-call")]
    Consume {
        /// The file with the token or certificate; `-` is standard input
        file: PathBuf,
        /// Names this call; another call needs another key
        #[arg(long, value_name = "KEY")]
        idempotency_key: IdempotencyKey,
    },
    /// Give a credential back before it ends by itself
    Release {
        /// The credential's id
        id: CredentialId,
    },
}

/// `credential list`.
#[derive(Args, Debug)]
pub struct CredentialList {
    /// Operator: those of all agents
    #[arg(long)]
    pub all: bool,
    /// Operator: those of this agent, by SPIFFE ID, `TENANT/NAME` or name
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Expired, revoked and released ones too
    #[arg(long)]
    pub ended: bool,
    /// At most so many
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub limit: usize,
}

#[cfg(test)]
mod tests;
