//! `hotwork audit signatures`: what people signed for break-glass, as files that `ssh-keygen` checks.
//!
//! It believes no key of the log: whose signatures they are is for whoever checks them to say.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::client::Context;
use super::failure::{Exit, Failure};
use super::text::clean;
use super::{files, table};
use crate::domain::break_glass::{Proposal, Signature, Step, text};
use crate::domain::entry::{Entry, Event};
use crate::domain::limits::ENTRY_BYTES_MAX;
use crate::domain::statement::{Namespace, Statement};
use crate::proto::v1;

/// What was written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    /// SHA-256 of the text.
    statement_id: String,
    /// The people whose signatures are here.
    signers: Vec<String>,
    /// The file with the text.
    statement: String,
    /// How each is checked.
    commands: Vec<String>,
}

/// Writes the text and the signatures of an entry.
///
/// # Errors
/// When there is no such entry or nothing was signed in it; with exit code 6 when the text is not what the entry says.
pub async fn run(
    context: &Context,
    index: Option<u64>,
    entry: Option<&Path>,
    out: &Path,
) -> Result<(), Failure> {
    let json = match (entry, index) {
        (Some(file), _) => files::read(file, ENTRY_BYTES_MAX)?.to_vec(),
        (None, index) => fetched(context, index.unwrap_or_default()).await?.into_bytes(),
    };
    let entry = Entry::from_json(json.trim_ascii_end()).map_err(|error| {
        Failure::usage(format!("the entry: {error}"))
            .hint("`hotwork audit show INDEX` prints it in the right form")
    })?;
    let Some((proposal, signatures)) = signed(&entry.event) else {
        return Err(Failure::usage("nothing was signed in this entry for break-glass")
            .hint("`hotwork audit tail` shows where glass was opened, extended or proposed to be opened"));
    };
    // A log that says one thing beside a text that says another proves nothing.
    let statement: Option<Statement> = proposal.text.parse().ok();
    let statement = statement.filter(|statement| text::agrees(statement, proposal)).ok_or_else(|| {
        Failure::new(
            Exit::NegativeVerdict,
            "statement-differs",
            "the text is not what the entry says that it is",
        )
        .hint("keep the log as it is, and compare it with another copy")
    })?;
    write(context, &statement, signatures, out)
}

async fn fetched(context: &Context, index: u64) -> Result<String, Failure> {
    let mut client = context.audit().await?;
    let answer = context.call(client.get_entry(context.request(v1::GetEntryRequest { index }))).await?;
    Ok(answer.entry.map(|entry| entry.json).unwrap_or_default())
}

fn signed(event: &Event) -> Option<(&Proposal, &[Signature])> {
    let Event::BreakGlass(step) = event else { return None };
    match &**step {
        Step::Extend(extended) => Some((&extended.proposal, &extended.signatures)),
        Step::Open(opened) => Some((&opened.proposal, &opened.signatures)),
        Step::Propose(proposed) => Some((&proposed.proposal, std::slice::from_ref(&proposed.signature))),
        Step::Close(_) | Step::Restrict(_) | Step::Review(_) | Step::Sign(_) => None,
    }
}

fn write(
    context: &Context,
    statement: &Statement,
    signatures: &[Signature],
    out: &Path,
) -> Result<(), Failure> {
    let folder = files::Folder::open(out)?;
    folder.write("statement.txt", statement.as_str().as_bytes())?;
    let text = out.join("statement.txt");
    let (mut signers, mut commands) = (Vec::new(), Vec::new());
    for signature in signatures {
        let (name, file) = (signature.operator.as_str(), format!("{}.sig", signature.operator));
        let blob = STANDARD.decode(&*signature.signature).map_err(|_| {
            Failure::new(
                Exit::NegativeVerdict,
                "signature-form",
                format!("the signature of `{name}` is no base64"),
            )
        })?;
        folder.write(&file, crate::ssh::armored(&blob).as_bytes())?;
        commands.push(format!(
            "ssh-keygen -Y verify -f allowed_signers -I {name} -n {} -s {} < {}",
            Namespace::BreakGlass.as_str(),
            out.join(&file).display(),
            text.display()
        ));
        signers.push(name.to_owned());
    }
    let statement_id = statement.digest().to_string();
    let written = Written { statement_id, signers, statement: text.display().to_string(), commands };
    context.screen.show_value(
        &written,
        || written.signers.clone(),
        |screen| {
            let fields = [
                ("statement", written.statement_id.clone()),
                ("signed by", written.signers.join(", ")),
                ("text", clean(&written.statement)),
            ];
            let commands =
                written.commands.iter().map(|line| format!("{}\n", clean(line))).collect::<String>();
            table::fields(screen, &fields) + &commands
        },
    )
}
