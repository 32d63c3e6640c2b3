//! `hotwork audit signatures`: what people signed, for break-glass and on requests, as files that `ssh-keygen` checks.
//!
//! It believes no key of the log: whose signatures they are is for whoever checks them to say.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::args::operator::Signatures;
use super::client::Context;
use super::failure::{Exit, Failure};
use super::text::clean;
use super::{files, table};
use crate::domain::approval::{Asked, Vote};
use crate::domain::break_glass::{Proposal, Signature, Signed as GlassSigned, Step, text};
use crate::domain::entry::{Entry, Event};
use crate::domain::id::ApprovalId;
use crate::domain::limits::{CLOCK_BEHIND_MS_MAX, ENTRY_BYTES_MAX, PAGE_SIZE_MAX, PROPOSAL_SECONDS_MAX};
use crate::domain::name::OperatorName;
use crate::domain::spiffe::SpiffeId;
use crate::domain::statement::Statement;
use crate::domain::time::Timestamp;
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

/// What an entry says was signed: the text, and each person's signature in base64.
struct Signed<'e> {
    statement: Statement,
    signatures: Vec<(&'e OperatorName, &'e str)>,
}

/// Writes the text and the signatures of an entry.
///
/// # Errors
/// When there is no such entry or nothing was signed in it; with exit code 6 when the text is not what the entry says.
pub async fn run(context: &Context, args: &Signatures) -> Result<(), Failure> {
    let entry = match (&args.entry, args.index) {
        (Some(file), _) => in_file(file)?,
        (None, index) => parsed(fetched(context, index.unwrap_or_default()).await?.as_bytes())?,
    };
    if let Event::BreakGlass(step) = &entry.event
        && let Some((proposal, signatures)) = of_step(step)
    {
        let statement = text_of(proposal)?;
        let signatures = signatures.iter().map(|one| (&one.operator, &*one.signature)).collect();
        return write(context, &Signed { statement, signatures }, &args.out);
    }
    if let Event::BreakGlass(step) = &entry.event
        && let Step::Sign(signed) = &**step
    {
        let since = signed.until.plus_millis(PROPOSAL_SECONDS_MAX.saturating_mul(-1000));
        let proposed = |entry| proposed_in(entry, signed);
        let proposal = earlier(context, args, since, proposed).await?.ok_or_else(|| {
            Failure::usage(format!("the entry signs the text `{}`, whose own entry is missing", signed.statement))
                .hint("`hotwork audit tail` shows where it was proposed; `--request FILE` takes what `audit show` prints")
        })?;
        let one = &signed.signature;
        let signatures = vec![(&one.operator, &*one.signature)];
        return write(context, &Signed { statement: text_of(&proposal)?, signatures }, &args.out);
    }
    if let Event::Decide(vote) = &entry.event {
        let asked =
            earlier(context, args, vote.approval.time(), |entry| asked_in(entry, vote.approval)).await?;
        let asked = asked.ok_or_else(|| {
            Failure::usage(format!("the entry decides the request `{}`, whose own entry is missing", vote.approval))
                .hint("`hotwork audit tail` shows where it was asked; `--request FILE` takes what `audit show` prints")
        })?;
        let statement = of_vote(vote, &asked).ok_or_else(differs)?;
        let signatures = vec![(&vote.operator, &*vote.signature)];
        return write(context, &Signed { statement, signatures }, &args.out);
    }
    Err(Failure::usage("nothing was signed in this entry").hint(
        "`hotwork audit tail` shows where glass was opened, extended or proposed to be opened, and requests decided",
    ))
}

/// A log that says one thing beside a text that says another proves nothing.
fn differs() -> Failure {
    let message = "the text is not what the entry says that it is";
    Failure::new(Exit::NegativeVerdict, "statement-differs", message)
        .hint("keep the log as it is, and compare it with another copy")
}

fn in_file(file: &Path) -> Result<Entry, Failure> {
    parsed(files::read(file, ENTRY_BYTES_MAX)?.trim_ascii_end())
}

fn parsed(json: &[u8]) -> Result<Entry, Failure> {
    Entry::from_json(json.trim_ascii_end()).map_err(|error| {
        Failure::usage(format!("the entry: {error}"))
            .hint("`hotwork audit show INDEX` prints it in the right form")
    })
}

async fn fetched(context: &Context, index: u64) -> Result<String, Failure> {
    let mut client = context.audit().await?;
    let answer = context.call(client.get_entry(context.request(v1::GetEntryRequest { index }))).await?;
    Ok(answer.entry.map(|entry| entry.json).unwrap_or_default())
}

/// What the entry is about, of an entry before it, or of the file that was given for that.
async fn earlier<T>(
    context: &Context,
    args: &Signatures,
    since: Timestamp,
    pick: impl Fn(Entry) -> Option<T>,
) -> Result<Option<T>, Failure> {
    match (&args.request, args.index) {
        (Some(file), _) => Ok(pick(in_file(file)?)),
        (None, Some(index)) => found(context, index, since, pick).await,
        (None, None) => Ok(None),
    }
}

/// What `pick` takes of the entries before `index`: back to the time `since`, and no further.
async fn found<T>(
    context: &Context,
    index: u64,
    since: Timestamp,
    pick: impl Fn(Entry) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let mut client = context.audit().await?;
    let page = u64::try_from(PAGE_SIZE_MAX).unwrap_or(u64::MAX);
    let mut before = index;
    while before > 0 {
        let first = before.saturating_sub(page);
        let page_size = i32::try_from(before.saturating_sub(first)).unwrap_or(i32::MAX);
        let message = v1::ListEntriesRequest { first_index: Some(first), page_size };
        let answer = context.call(client.list_entries(context.request(message))).await?;
        let mut oldest = Timestamp::default();
        for (at, entry) in answer.entries.iter().enumerate() {
            let entry = parsed(entry.json.as_bytes())?;
            if at == 0 {
                oldest = entry.time;
            }
            if let Some(picked) = pick(entry) {
                return Ok(Some(picked));
            }
        }
        if oldest.plus_millis(CLOCK_BEHIND_MS_MAX) < since {
            return Ok(None);
        }
        before = first;
    }
    Ok(None)
}

fn asked_in(entry: Entry, id: ApprovalId) -> Option<Box<Asked>> {
    if let Event::Ask(asked) = entry.event { Some(asked).filter(|asked| asked.id == id) } else { None }
}

/// The proposal whose text the step signs.
fn proposed_in(entry: Entry, signed: &GlassSigned) -> Option<Proposal> {
    let Event::BreakGlass(step) = entry.event else { return None };
    let Step::Propose(proposed) = *step else { return None };
    Some(proposed.proposal).filter(|proposal| proposal.statement == signed.statement)
}

/// The text of a proposal, if it says what the entry says.
fn text_of(proposal: &Proposal) -> Result<Statement, Failure> {
    let statement: Option<Statement> = proposal.text.parse().ok();
    statement.filter(|statement| text::agrees(statement, proposal)).ok_or_else(differs)
}

/// The text of a decision, made again from the two entries, if it is the one that the entry names.
fn of_vote(vote: &Vote, asked: &Asked) -> Option<Statement> {
    let id: SpiffeId = asked.terms.agent.as_str().parse().ok()?;
    let made = asked.statement(id.trust_domain(), vote.verdict, &vote.operator, vote.reason.as_ref());
    made.ok().filter(|made| asked.request == asked.terms.digest() && made.digest() == vote.statement)
}

fn of_step(step: &Step) -> Option<(&Proposal, &[Signature])> {
    match step {
        Step::Extend(extended) => Some((&extended.proposal, &extended.signatures)),
        Step::Open(opened) => Some((&opened.proposal, &opened.signatures)),
        Step::Propose(proposed) => Some((&proposed.proposal, std::slice::from_ref(&proposed.signature))),
        Step::Close(_) | Step::Restrict(_) | Step::Review(_) | Step::Sign(_) => None,
    }
}

fn write(context: &Context, signed: &Signed<'_>, out: &Path) -> Result<(), Failure> {
    let folder = files::Folder::open(out)?;
    let statement = &signed.statement;
    folder.write("statement.txt", statement.as_str().as_bytes())?;
    let text = out.join("statement.txt");
    let (mut signers, mut commands) = (Vec::new(), Vec::new());
    for (operator, signature) in &signed.signatures {
        let (name, file) = (operator.as_str(), format!("{operator}.sig"));
        let blob = STANDARD.decode(signature).map_err(|_| {
            Failure::new(
                Exit::NegativeVerdict,
                "signature-form",
                format!("the signature of `{name}` is no base64"),
            )
        })?;
        folder.write(&file, crate::ssh::armored(&blob).as_bytes())?;
        commands.push(format!(
            "ssh-keygen -Y verify -f allowed_signers -I {name} -n {} -s {} < {}",
            statement.namespace().as_str(),
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
