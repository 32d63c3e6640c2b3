//! `hotwork request`: its words and their help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::signing::Signer;
use crate::domain::id::ApprovalId;
use crate::domain::name::Reason;

/// `request`.
#[derive(Debug, Subcommand)]
pub enum Request {
    /// List the requests that wait for operators or their use
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  hotwork request list\n  hotwork request list --decided -o json"
    )]
    List {
        /// Those that are decided, used or over, too
        #[arg(long)]
        decided: bool,
    },
    /// Show one request: what would be granted, to whom, for how long
    Show {
        /// The request's id
        id: ApprovalId,
    },
    /// Approve a request, with your SSH key
    #[command(after_help = "\
You sign a text that names everything; hotwork runs `ssh-keygen -Y sign` for it. Keys in an agent and in \
security keys work too: give the .pub file. You see the text and are asked first; where nobody is at a terminal, --yes \
says it beforehand. To sign elsewhere, print the text and bring the signature.

Examples:
  hotwork request approve 019aae53-… --ssh-key ~/.ssh/id_ed25519
  hotwork request approve 019aae53-… --print > text
  ssh-keygen -Y sign -n hotwork-approval -f ~/.ssh/id_ed25519 text
  hotwork request approve 019aae53-… --signature text.sig")]
    Approve(Decide),
    /// Deny a request, with your SSH key; one operator is enough
    #[command(after_help = "\
Examples:
  hotwork request deny 019aae53-… --reason 'not before the release' --ssh-key ~/.ssh/id_ed25519")]
    Deny(Decide),
}

/// `request approve` and `request deny`.
#[derive(Args, Debug)]
pub struct Decide {
    /// The request's id
    pub id: ApprovalId,
    /// Why: one printable line, which is signed with the rest
    #[arg(long)]
    pub reason: Option<Reason>,
    /// With which key, and for whom.
    #[command(flatten)]
    pub signer: Signer,
    /// Print the text to sign, and decide nothing
    #[arg(long, conflicts_with = "signature")]
    pub print: bool,
    /// Use this signature of the printed text; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
}
