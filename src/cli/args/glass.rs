//! Breaking glass: `break-glass`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::signing::Signer;
use crate::cli::duration;
use crate::domain::digest::Digest;
use crate::domain::id::Lineage;
use crate::domain::name::{PlaybookName, Reason, Ticket};

/// `break-glass`.
#[derive(Debug, Subcommand)]
pub enum BreakGlass {
    /// Open a session of a playbook: write the text, sign it, send the signature
    #[command(after_help = "\
Without --ssh-key the text is printed, with the commands to sign and to send it. With it, ssh-keygen signs here: the \
key never leaves it, and a key in an agent or a security key works, too (give its public half). The next person runs \
the one command that is printed; when enough have signed, the session is open.

Nothing is signed that is not what you asked for here. You see the text and are asked first; where nobody is at a \
terminal, --yes says it beforehand.

Examples:
  hotwork break-glass open node-repair --reason outage --ticket INC-7 --ssh-key ~/.ssh/id_ed25519
  hotwork break-glass open node-repair --reason outage --ticket INC-7 --statement open.txt")]
    Open(Opening),
    /// Do the whole of it with credentials that every verifier refuses
    #[command(after_help = "\
Example:
  hotwork break-glass drill node-repair --reason drill --ticket DRILL-3 --ssh-key ~/.ssh/id_ed25519")]
    Drill(Opening),
    /// Sign what somebody else has prepared and signed
    #[command(after_help = "\
Reads the text from the broker, shows it, signs it with ssh-keygen and sends the signature. Read before you sign: with \
--yes the id alone says what it is, so it has to have 12 digits at least.

Example:
  hotwork break-glass sign 3f2a91c0 --ssh-key ~/.ssh/id_ed25519")]
    Sign {
        /// The statement, by the first characters of its id, as `break-glass list` shows it
        statement: StatementId,
        /// How it is signed.
        #[command(flatten)]
        key: Key,
    },
    /// Send a text that was signed elsewhere
    #[command(after_help = "\
Example:
  ssh-keygen -Y sign -n hotwork-break-glass -f ~/.ssh/id_ed25519 open.txt
  hotwork break-glass send --statement open.txt --signature open.txt.sig")]
    Send {
        /// The text, byte for byte
        #[arg(long, value_name = "FILE")]
        statement: PathBuf,
        /// What ssh-keygen wrote
        #[arg(long, value_name = "FILE")]
        signature: PathBuf,
    },
    /// Give an open session a later end; it needs the signatures again
    #[command(after_help = "\
Example:
  hotwork break-glass extend 01932b6e-… --reason 'two more nodes' --ssh-key ~/.ssh/id_ed25519")]
    Extend(Extension),
    /// End a session, and every credential that was minted under it
    #[command(after_help = "\
Example:
  hotwork break-glass close 01932b6e-… --reason 'n7 is gone'")]
    Close {
        /// The session
        session: Lineage,
        /// Why, for the record: one printable line
        #[arg(long)]
        reason: Reason,
    },
    /// Note that you, who did not sign, have looked at what was done
    #[command(after_help = "\
`hotwork audit tail` shows what was done. Until a session is reviewed, its playbook needs one more signer.

Example:
  hotwork break-glass review 01932b6e-… --finding 'one node removed, as the ticket says'")]
    Review {
        /// The session
        session: Lineage,
        /// What you found, for the record: one printable line
        #[arg(long)]
        finding: Reason,
    },
    /// What is open, what can be signed, whose review is owed, what can be opened
    #[command(visible_alias = "ls")]
    List,
}

/// How a text is signed.
#[derive(Args, Clone, Debug)]
pub struct Key {
    /// With which key, and for whom.
    #[command(flatten)]
    pub signer: Signer,
    /// Write the text to this file, to be signed elsewhere, and sign nothing here
    #[arg(long = "statement", value_name = "FILE")]
    pub statement_file: Option<PathBuf>,
}

/// `break-glass open` and `drill`.
#[derive(Args, Debug)]
pub struct Opening {
    /// The playbook, as `break-glass list` shows it
    pub playbook: PlaybookName,
    /// Why, for the record: one printable line
    #[arg(long)]
    pub reason: Reason,
    /// The incident's ticket
    #[arg(long)]
    pub ticket: Ticket,
    /// How long; as long as the playbook allows when absent
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse_session)]
    pub seconds: Option<u32>,
    /// How it is signed.
    #[command(flatten)]
    pub key: Key,
}

/// `break-glass extend`.
#[derive(Args, Debug)]
pub struct Extension {
    /// The session
    pub session: Lineage,
    /// Why, for the record: one printable line
    #[arg(long)]
    pub reason: Reason,
    /// How long from now; as long as the playbook allows when absent
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse_session)]
    pub seconds: Option<u32>,
    /// How it is signed.
    #[command(flatten)]
    pub key: Key,
}

/// The first characters of a statement's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementId(String);

impl StatementId {
    /// Whether it begins `id`.
    pub fn begins(&self, id: &str) -> bool {
        id.starts_with(&self.0)
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for StatementId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let whole = text.len() < 64 || text.parse::<Digest>().is_ok();
        if hex && whole && (8..=64).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err("expected 8 to 64 lowercase hex digits, as `hotwork break-glass list` shows them")
    }
}
