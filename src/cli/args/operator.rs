//! The operator's part of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::duration;
use crate::domain::id::CredentialId;
use crate::domain::name::NotifierName;

/// `agent`.
#[derive(Debug, Subcommand)]
pub enum Agent {
    /// List the registered agents with owner, state and live credentials
    #[command(visible_alias = "ls")]
    List,
    /// Show one agent with its attestation rules
    Show {
        /// The SPIFFE ID, `TENANT/NAME`, or the name alone
        agent: String,
    },
}

/// `api`.
#[derive(Debug, Subcommand)]
pub enum Api {
    /// List the registered APIs with their actions
    #[command(visible_alias = "ls")]
    List,
}

/// `explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The decision's id: a denial names it, and an issued credential has the same
    pub decision: CredentialId,
}

/// `audit`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show the newest entries
    #[command(after_help = "Examples:\n  hotwork audit tail\n  hotwork audit tail -f -o json")]
    Tail {
        /// Go on as entries come; JSON is then one object on each line
        #[arg(long, short)]
        follow: bool,
        /// How many to begin with
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
        lines: u16,
    },
    /// Show one entry
    Show {
        /// Its index, counted from 0
        index: u64,
    },
    /// Check a copied log directory offline, with the public key alone; exit code 6 when it is damaged
    #[command(after_help = "\
DIR is the log directory of the broker's state directory, or a copy of it. Keep the key and a \
checkpoint elsewhere (`hotwork audit key`, `hotwork audit checkpoint`): a log that was cut or written \
anew is found by them.

Examples:
  hotwork audit key > log.pub
  hotwork audit checkpoint > checkpoint
  hotwork audit verify /var/lib/hotwork/journal --key log.pub --checkpoint checkpoint")]
    Verify {
        /// The log directory
        dir: PathBuf,
        /// The file with the log's public key, as `hotwork audit key` prints it
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// A checkpoint from before: the log must still contain it
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Print the proof that an entry is in the log
    Prove {
        /// Its index, counted from 0
        index: u64,
    },
    /// Write what people signed for break-glass, to be checked with `ssh-keygen` and nothing else
    #[command(after_help = "\
An entry in which glass was opened, extended or proposed to be opened has the text and the signatures \
themselves; the text of a decision on a request is made again from the request's own entry, and that of a further \
signature, which did not complete the people, is in the entry that proposed it. This writes them as files: `statement.txt`, and `NAME.sig` for each person. That the text \
says what the entry says is checked here; whose signatures they are is checked with the public keys as \
you know them, in the form of ssh-keygen's allowed signers, and never with keys from the log:

  bob namespaces=\"hotwork-break-glass,hotwork-approval\" ssh-ed25519 AAAA...

Examples:
  hotwork audit signatures 4711 --out ./opening
  hotwork audit show 4711 > entry.json    # elsewhere, without the broker:
  hotwork audit signatures --entry entry.json --out ./opening
  ssh-keygen -Y verify -f allowed_signers -I bob -n hotwork-break-glass \\
    -s ./opening/bob.sig < ./opening/statement.txt")]
    Signatures(Signatures),
    /// Print the newest signed checkpoint; keep it elsewhere
    Checkpoint,
    /// Print the log's public key
    Key,
}

/// `audit signatures`.
#[derive(Args, Debug)]
pub struct Signatures {
    /// The entry's index, counted from 0
    #[arg(required_unless_present = "entry", conflicts_with = "entry")]
    pub index: Option<u64>,
    /// A file with the entry, as `hotwork audit show` printed it; then no broker is asked
    #[arg(long, value_name = "FILE")]
    pub entry: Option<PathBuf>,
    /// For a decision on a request, or a signature that opened nothing: a file with the entry in which it was asked or proposed
    #[arg(long, value_name = "FILE", requires = "entry")]
    pub request: Option<PathBuf>,
    /// The directory for the files; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `keys`.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List the keys: what they are for, and until when
    #[command(visible_alias = "ls")]
    List,
    /// Make a new key; the old one is trusted until the last token that it signed has ended
    #[command(after_help = "\
The new key is published at once and signs after `key_publish_ahead` of hotworkd.toml, so that \
verifiers have it by then. --now is for a key that leaked: verifiers that cache keys may refuse \
new tokens for some minutes (services that follow the broker by the crate for 5 s), and `hotwork revoke --key` \
ends what the old key has signed. A retry of this command makes another key: look at `keys list` first.

Examples:
  hotwork keys rotate token
  hotwork keys rotate token --now && hotwork revoke --key KID --reason 'token key leaked'")]
    Rotate {
        /// Which key
        #[arg(value_enum)]
        key: RotatedKey,
        /// Let it sign at once
        #[arg(long)]
        now: bool,
    },
}

/// A key that can be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RotatedKey {
    /// What tokens are signed with
    Token,
}

/// `notify`.
#[derive(Debug, Subcommand)]
pub enum Notify {
    /// Send a test notice, and tell whether it was taken; exit code 10 when some did not take it, 1 when none did
    #[command(after_help = "\
The broker sends it as it sends a real one, with the secrets that it has; nothing is tried again. \
`hotwork status` shows what waits to be delivered.

Examples:
  hotwork notify test
  hotwork notify test oncall -o json")]
    Test {
        /// The notifier, by its name in hotworkd.toml; all when absent
        name: Option<NotifierName>,
    },
}

/// `status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Wait so long for the broker to be ready
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub wait: Option<Duration>,
}
