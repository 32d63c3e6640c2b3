//! `hotwork break-glass`: the way in when everything else is down.
//!
//! The text comes from the broker and is signed by ssh-keygen, so that no key is read here. What is signed is shown
//! before.

mod list;
mod owed;
mod sign;
mod watch;

use std::path::Path;

use prost_types::Duration;
use tonic::transport::Channel;

use super::args::Format;
use super::args::glass::{BreakGlass, Extension, Key, Opening};
use super::client::Context;
use super::consent::{self, Wanted};
use super::duration::{absolute, now, relative};
use super::failure::{Exit, Failure};
use super::text::{clean, clean_lines};
use super::{files, signing, table};
use crate::domain::break_glass::text::{What, read};
use crate::domain::limits::{SSH_SIGNATURE_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::domain::statement::{Namespace, Statement};
use crate::domain::wording::counted;
use crate::proto::v1;
use crate::proto::v1::break_glass_service_client::BreakGlassServiceClient;
use crate::proto::v1::prepare_request::Asks;

use watch::Kind;

type Client = BreakGlassServiceClient<Channel>;

/// `hotwork break-glass`.
///
/// # Errors
/// When the broker refuses or can't be reached, or a text can't be signed.
pub async fn run(context: &Context, command: &BreakGlass) -> Result<(), Failure> {
    match command {
        BreakGlass::Open(args) => open(context, args, false).await,
        BreakGlass::Drill(args) => open(context, args, true).await,
        BreakGlass::Extend(args) => extend(context, args).await,
        BreakGlass::Sign { statement, key } => sign::again(context, statement, key).await,
        BreakGlass::Send { statement, signature } => sent(context, statement, signature).await,
        BreakGlass::Close { session, reason } => {
            let (session, reason) = (session.to_string(), reason.to_string());
            close(context, v1::CloseRequest { session, reason }).await
        }
        BreakGlass::Review { session, finding } => {
            let (session, finding) = (session.to_string(), finding.to_string());
            review(context, v1::ReviewRequest { session, finding }).await
        }
        BreakGlass::List => list::run(context).await,
    }
}

async fn open(context: &Context, args: &Opening, drill: bool) -> Result<(), Failure> {
    let opening = v1::PrepareOpening {
        playbook: args.playbook.to_string(),
        reason: args.reason.to_string(),
        ticket: args.ticket.to_string(),
        duration: args.seconds.map(duration),
        drill,
    };
    prepared(context, Asks::Opening(opening), &args.key, &Wanted::Opening { drill, args }).await
}

async fn extend(context: &Context, args: &Extension) -> Result<(), Failure> {
    let extension = v1::PrepareExtension {
        session: args.session.to_string(),
        reason: args.reason.to_string(),
        duration: args.seconds.map(duration),
    };
    prepared(context, Asks::Extension(extension), &args.key, &Wanted::Extension(args)).await
}

fn duration(seconds: u32) -> Duration {
    Duration { seconds: seconds.into(), nanos: 0 }
}

/// Has the text written, and signs it or says how. What the broker wrote is not believed: it is compared first.
async fn prepared(context: &Context, asks: Asks, key: &Key, wanted: &Wanted<'_>) -> Result<(), Failure> {
    let mut client = context.break_glass().await?;
    let message = context.request(v1::PrepareRequest { asks: Some(asks) });
    let answer = context.call(client.prepare(message)).await?;
    let signer = &key.signer;
    let timing = consent::to_break_glass(&answer.statement, wanted, signer.trust_domain.as_ref(), now())?;
    timing.doubted(answer.clock_doubted_since.as_ref(), now()).accept(&context.screen, signer.yes)?;
    if let Some(owed) = owed::said(&answer.unreviewed, answer.signers_more) {
        context.screen.note(&owed);
    }
    match (&key.statement_file, &signer.ssh_key) {
        (None, Some(file)) => {
            let text = &answer.statement;
            let signature =
                signing::sign(&context.screen, Namespace::BreakGlass, text, file, signer.yes).await?;
            submit(context, &mut client, text, signature).await
        }
        (file, _) => by_hand(context, &answer, file.as_deref()),
    }
}

/// The text and what to do with it.
fn by_hand(context: &Context, answer: &v1::PrepareResponse, file: Option<&Path>) -> Result<(), Failure> {
    let name = match file {
        Some(file) => {
            std::fs::write(file, &answer.statement).map_err(|error| Failure::file("write", file, &error))?;
            clean(&file.to_string_lossy())
        }
        None => "statement.txt".to_owned(),
    };
    let screen = &context.screen;
    let before = relative(answer.sign_before.as_ref(), now());
    let able = answer.signers_able.join(", ");
    screen.note(&format!(
        "{} must sign, of {}; {} ends.\n\
         sign:  ssh-keygen -Y sign -n hotwork-break-glass -f KEY {name}\n\
         send:  hotwork break-glass send --statement {name} --signature {name}.sig",
        counted(answer.signers_needed, "person", "people"),
        clean(&able),
        before
    ));
    screen.show(
        answer,
        || vec![answer.statement_id.clone()],
        |_| match file {
            Some(_) => format!("{name}\n"),
            None => clean_lines(&answer.statement),
        },
    )
}

async fn sent(context: &Context, statement: &Path, signature: &Path) -> Result<(), Failure> {
    let text = text_of(statement, STATEMENT_BYTES_MAX)?;
    let signature = text_of(signature, SSH_SIGNATURE_BYTES_MAX)?;
    let mut client = context.break_glass().await?;
    submit(context, &mut client, &text, signature).await
}

fn text_of(file: &Path, most: usize) -> Result<String, Failure> {
    let bytes = files::read(file, most)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        Failure::usage(format!("`{}` is no text", clean(&file.to_string_lossy())))
            .hint("give the text as it was printed, and the file that ssh-keygen wrote")
    })
}

/// Sends a signature to where its text belongs, and tells what it did.
async fn submit(
    context: &Context,
    client: &mut Client,
    text: &str,
    signature: String,
) -> Result<(), Failure> {
    let statement = text.parse::<Statement>().ok();
    let what = statement.as_ref().and_then(read).map(|said| said.what);
    let kind = Kind::of(statement.as_ref(), what.as_ref());
    let signed = Some(v1::SignedStatement { statement: text.to_owned(), signature });
    match what {
        Some(What::Open { drill: false, .. }) => {
            let message = context.request(v1::OpenRequest { signed });
            let answer = context.call(client.open(message)).await.map_err(advised)?;
            told(context, client, &answer, answer.progress.as_ref(), kind).await
        }
        Some(What::Open { drill: true, .. }) => {
            let message = context.request(v1::DrillRequest { signed });
            let answer = context.call(client.drill(message)).await.map_err(advised)?;
            told(context, client, &answer, answer.progress.as_ref(), kind).await
        }
        Some(What::Extend(_)) => {
            let message = context.request(v1::ExtendRequest { signed });
            let answer = context.call(client.extend(message)).await.map_err(advised)?;
            told(context, client, &answer, answer.progress.as_ref(), kind).await
        }
        None => Err(Failure::usage("that is no text of break-glass")
            .hint("`hotwork break-glass open` writes one; it is signed and sent as it is, byte for byte")),
    }
}

/// What to do when it was refused.
fn advised(failure: Failure) -> Failure {
    let hint = match failure.reason.as_str() {
        "statement-changed" | "statement-expired" | "statement-spent" => {
            "prepare a new text with `hotwork break-glass open`"
        }
        "already-signed" => "somebody else must sign; `hotwork break-glass list` shows who can",
        "not-a-responder" => "an operator with the role `responder` must sign; the playbook can name them",
        "own-review" => "whoever signed does not review; `hotwork break-glass list` shows who signed",
        "session-not-open" => "`hotwork break-glass list` shows what is open, and what waits for its review",
        "session-quorum-lowered" => "open another session of the playbook, which needs what it says now",
        "session-open" => "close it first: `hotwork break-glass close SESSION --reason TEXT`",
        "sessions-exhausted" => {
            "review those that wait for it: `hotwork break-glass review SESSION --finding TEXT`"
        }
        "signature-unregistered" => {
            "put the key into the operator's `ssh_keys` in operators.toml, and reload"
        }
        _ => return failure,
    };
    failure.hint(hint)
}

/// What a signature did: who is missing, or the session with its countdown.
async fn told<M: super::json::Wire>(
    context: &Context,
    client: &mut Client,
    answer: &M,
    progress: Option<&v1::Progress>,
    kind: Kind,
) -> Result<(), Failure> {
    let progress = progress.cloned().unwrap_or_default();
    let open = !progress.session.is_empty();
    let name = if open { &progress.session } else { &progress.statement_id };
    context.screen.show(
        answer,
        || vec![name.clone()],
        |screen| {
            let mut fields = vec![
                ("signed by", progress.signed_by.join(", ")),
                ("signers", format!("{} of {}", progress.signed_by.len(), progress.signers_needed)),
            ];
            if open {
                fields.insert(0, ("open", progress.session.clone()));
                fields.push(("ends", relative(progress.end_time.as_ref(), now())));
                fields
                    .push(("locks", progress.locks.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")));
                fields.push(("failed", progress.failures.join("; ")));
            }
            fields.push(("log entry", progress.log_index.to_string()));
            table::fields(screen, &fields)
        },
    )?;
    if let Some(owed) = owed::said(&progress.unreviewed, progress.signers_more) {
        context.screen.note(&owed);
    }
    if context.screen.format != Format::Table {
        return failures(&progress);
    }
    if open {
        context.screen.note(&watch::advice(&progress, kind));
        watch::banner(context, client, &progress.session, kind).await?;
    } else {
        let id = progress.statement_id.get(..12).unwrap_or_default();
        context.screen.note(&format!(
            "one of {} now runs:\n  hotwork break-glass sign {} --ssh-key KEY",
            clean(&progress.signers_able.join(", ")),
            clean(id)
        ));
    }
    failures(&progress)
}

fn failures(progress: &v1::Progress) -> Result<(), Failure> {
    if progress.failures.is_empty() {
        return Ok(());
    }
    let message =
        format!("the session is open, but not all was shut: {}", clean(&progress.failures.join("; ")));
    Err(Failure::new(Exit::Partial, "restriction-incomplete", message)
        .hint("do it by hand with `hotwork lock create` and `hotwork revoke`"))
}

async fn close(context: &Context, message: v1::CloseRequest) -> Result<(), Failure> {
    let mut client = context.break_glass().await?;
    let session = message.session.clone();
    let answer = context.call(client.close(context.request(message))).await.map_err(advised)?;
    context.screen.show(
        &answer,
        || vec![session.clone()],
        |screen| {
            let fields = [
                ("closed", session.clone()),
                ("durable since", absolute(answer.time.as_ref())),
                ("log entry", answer.log_index.to_string()),
            ];
            table::fields(screen, &fields)
        },
    )?;
    if context.screen.format == Format::Table {
        context.screen.note(&format!(
            "what was minted under it has ended. Somebody who did not sign now reviews it:\n  \
             hotwork break-glass review {session} --finding TEXT"
        ));
    }
    Ok(())
}

async fn review(context: &Context, message: v1::ReviewRequest) -> Result<(), Failure> {
    let mut client = context.break_glass().await?;
    let session = message.session.clone();
    let answer = context.call(client.review(context.request(message))).await.map_err(advised)?;
    context.screen.show(
        &answer,
        || vec![session.clone()],
        |screen| {
            let fields = [
                ("reviewed", session.clone()),
                ("durable since", absolute(answer.time.as_ref())),
                ("log entry", answer.log_index.to_string()),
            ];
            table::fields(screen, &fields)
        },
    )
}
