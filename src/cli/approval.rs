//! `hotwork request`: what agents ask operators for, and the operators' signatures.

use std::path::Path;

use tonic::transport::Channel;

use super::args::Format;
use super::args::approval::{Decide, Request};
use super::client::Context;
use super::duration::{absolute, now, relative, spoken};
use super::failure::Failure;
use super::signing::sign;
use super::text::{clean_lines, marked};
use super::{consent, files, table, words};
use crate::domain::id::ApprovalId;
use crate::domain::limits::{PAGE_SIZE_MAX, SSH_SIGNATURE_BYTES_MAX};
use crate::domain::statement::Namespace;
use crate::proto::v1;
use crate::proto::v1::admin_service_client::AdminServiceClient;

/// `hotwork request`.
///
/// # Errors
/// When the broker refuses or can't be reached.
pub async fn run(context: &Context, command: &Request) -> Result<(), Failure> {
    match command {
        Request::List { decided } => list(context, *decided).await,
        Request::Show { id } => show(context, *id).await,
        Request::Approve(args) => decide(context, args, v1::ApprovalVerdict::Approve).await,
        Request::Deny(args) => decide(context, args, v1::ApprovalVerdict::Deny).await,
    }
}

async fn list(context: &Context, include_decided: bool) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let mut all = v1::ListApprovalsResponse::default();
    let mut page_token = String::new();
    loop {
        let page_size = i32::try_from(PAGE_SIZE_MAX).unwrap_or_default();
        let message = context.request(v1::ListApprovalsRequest { page_size, page_token, include_decided });
        let mut page = context.call(client.list_approvals(message)).await?;
        all.approvals.append(&mut page.approvals);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let names = || all.approvals.iter().map(|one| one.id.clone()).collect();
    context.screen.show(&all, names, |screen| {
        let now = now();
        let rows: Vec<_> = all.approvals.iter().map(|one| row(one, now)).collect();
        table::rows(screen, ["REQUEST", "STATE", "AGENT", "ACTION", "RESOURCE", "APPROVED", "ENDS"], &rows)
    })
}

fn row(one: &v1::Approval, now: i64) -> [String; 7] {
    [
        one.id.clone(),
        words::approval(one.state),
        words::agent(&one.agent),
        one.action.clone(),
        one.resource.clone(),
        format!("{} of {}", one.approvals_given, one.approvals_needed),
        relative(one.expire_time.as_ref(), now),
    ]
}

async fn fetch(
    context: &Context,
    client: &mut AdminServiceClient<Channel>,
    id: ApprovalId,
    wanted: (v1::ApprovalVerdict, String),
) -> Result<v1::GetApprovalResponse, Failure> {
    let (verdict, reason) = (wanted.0.into(), wanted.1);
    let message = v1::GetApprovalRequest { approval_id: id.to_string(), verdict, reason };
    let answer = context.call(client.get_approval(context.request(message))).await;
    answer.map_err(|failure| match failure.code {
        "NOT_FOUND" => failure.hint("`hotwork request list` shows those that are not over"),
        _ => failure,
    })
}

async fn show(context: &Context, id: ApprovalId) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let answer = fetch(context, &mut client, id, (v1::ApprovalVerdict::Unspecified, String::new())).await?;
    let one = answer.approval.clone().unwrap_or_default();
    context.screen.show(
        &answer,
        || vec![one.id.clone()],
        |screen| described(&one, screen.columns(), |fields| table::fields(screen, fields)),
    )
}

/// What is asked from typed fields; then, apart, what the agent says of it.
fn described(one: &v1::Approval, width: usize, table: impl Fn(&[(&str, String)]) -> String) -> String {
    let ttl = one.ttl.and_then(|ttl| u64::try_from(ttl.seconds).ok()).map(spoken).unwrap_or_default();
    let calls = if one.calls == 0 { "not counted".to_owned() } else { one.calls.to_string() };
    let mut fields = vec![
        ("request", one.id.clone()),
        ("state", words::approval(one.state)),
        ("agent", one.agent.clone()),
        ("acts for", one.principal.clone()),
        ("owner", one.owner.clone()),
        ("action", one.action.clone()),
        ("access", words::access(one.access)),
        ("resource", one.resource.clone()),
    ];
    fields.push(("parameters", words::parameters(&one.parameters)));
    fields.extend([
        ("would get", format!("a {} for {ttl}, calls: {calls}", words::kind(one.kind))),
        ("good at", one.audience.clone()),
        ("purpose", one.purpose.clone()),
        ("arguments", hex::encode(&one.args_sha256)),
        ("approved by", format!("{} of {}", one.approvals_given, one.approvals_needed)),
    ]);
    fields.extend(one.votes.iter().map(|vote| ("decision", decision(vote))));
    fields.extend([
        ("asked", absolute(one.create_time.as_ref())),
        ("ends", absolute(one.expire_time.as_ref())),
        ("credential", one.credential_id.clone()),
        ("log entry", one.log_index.to_string()),
    ]);
    let mut text = table(&fields);
    if !one.untrusted_justification.is_empty() {
        text.push_str("\nUNTRUSTED, the agent's own words. They are no part of what you approve:\n");
        text.push_str(&marked(&one.untrusted_justification, width, ("  | ", "  | ")));
    } else if !one.justification_sha256.is_empty() {
        text.push_str(
            "\nThe agent gave a justification. The broker keeps it in memory only and has restarted since; it is here\n\
             again when the agent asks again in the same words. The log has its digest.\n",
        );
    }
    text
}

fn decision(vote: &v1::ApprovalVote) -> String {
    let said = match v1::ApprovalVerdict::try_from(vote.verdict) {
        Ok(v1::ApprovalVerdict::Approve) => "approved",
        Ok(v1::ApprovalVerdict::Deny) => "denied",
        Ok(v1::ApprovalVerdict::Unspecified) | Err(_) => "decided",
    };
    let owner = if vote.owner { ", the agent's owner" } else { "" };
    let reason = if vote.reason.is_empty() { String::new() } else { format!(": {}", vote.reason) };
    format!("{said} by {}{owner} with {}{reason}", vote.operator, vote.key_fingerprint)
}

async fn decide(context: &Context, args: &Decide, verdict: v1::ApprovalVerdict) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let reason = args.reason.as_ref().map(ToString::to_string).unwrap_or_default();
    let found = fetch(context, &mut client, args.id, (verdict, reason.clone())).await?;
    let signer = &args.signer;
    consent::to_approval(&found, verdict, args, now())?.accept(&context.screen, signer.yes)?;
    if args.print {
        return match context.screen.format {
            // The bytes to sign, and nothing else.
            Format::Name | Format::Table => context.screen.data(&clean_lines(&found.statement)),
            Format::Json | Format::Yaml => context.screen.show(&found, Vec::new, |_| String::new()),
        };
    }
    let statement = found.statement;
    let signature = match (&args.signature, &signer.ssh_key) {
        (Some(file), _) => signature_of(file)?,
        (None, Some(key)) => sign(&context.screen, Namespace::Approval, &statement, key, signer.yes).await?,
        (None, None) => {
            return Err(Failure::usage(
                "nothing to sign with: give --ssh-key FILE, or --print and --signature FILE",
            )
            .hint("your keys are in ~/.ssh; `ssh-add -L` shows those of your agent"));
        }
    };
    let approval_id = args.id.to_string();
    let message =
        v1::DecideApprovalRequest { approval_id, verdict: verdict.into(), reason, statement, signature };
    let answer = context.call(client.decide_approval(context.request(message))).await.map_err(refused)?;
    let one = answer.approval.clone().unwrap_or_default();
    context.screen.show(
        &answer,
        || vec![one.id.clone()],
        |screen| {
            let fields = [
                ("request", one.id.clone()),
                ("state", words::approval(one.state)),
                ("approved by", format!("{} of {}", one.approvals_given, one.approvals_needed)),
                ("ends", absolute(one.expire_time.as_ref())),
            ];
            table::fields(screen, &fields)
        },
    )
}

/// Says what to do about refusals that only this command meets.
fn refused(failure: Failure) -> Failure {
    let hint = match failure.reason.as_str() {
        "already-decided" => "you are one person whatever keys you have; another approver has to decide it",
        "approval-decided" => "`hotwork request show` tells what became of it",
        "approver-is-requester" => "ask another operator with the role `approver`",
        "signature-unregistered" => {
            "your public key has to be in `ssh_keys` of your entry in operators.toml; `hotwork reload` loads it anew"
        }
        "signature-namespace" => "sign with `-n hotwork-approval`",
        "statement-differs" => "print the text again with --print, and sign exactly that",
        _ => return failure,
    };
    failure.hint(hint)
}

fn signature_of(file: &Path) -> Result<String, Failure> {
    let bytes = files::read(file, SSH_SIGNATURE_BYTES_MAX)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        Failure::usage("--signature: expected what `ssh-keygen -Y sign` writes")
            .hint("it begins with `-----BEGIN SSH SIGNATURE-----`")
    })
}
