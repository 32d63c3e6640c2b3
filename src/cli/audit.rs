//! `hotwork audit`: the log, its proofs, and its check without the broker.

use std::time::Duration;

use tokio::time::sleep;

use super::args::Format;
use super::args::operator::Audit;
use super::client::Context;
use super::duration::seconds;
use super::failure::Failure;
use super::text::{clean, clean_lines};
use super::{audit_signatures, audit_verify, json, table, words};
use crate::domain::approval::Asked;
use crate::domain::break_glass::{Asks, Proposal, Step};
use crate::domain::consumption::Consumption;
use crate::domain::entry::{Entry, Event, Load};
use crate::domain::revocation::{Revocation, Selector, Terms};
use crate::domain::wording::counted;
use crate::proto::v1;

/// How often `tail -f` asks for more.
const FOLLOW_STEP: Duration = Duration::from_millis(500);

/// `hotwork audit`.
///
/// # Errors
/// When the broker refuses or can't be reached, or the log is damaged.
pub async fn run(context: &Context, command: &Audit) -> Result<(), Failure> {
    match command {
        Audit::Tail { follow, lines } => tail(context, *lines, *follow).await,
        Audit::Show { index } => show(context, *index).await,
        Audit::Verify { dir, key, checkpoint } => audit_verify::run(context, dir, key, checkpoint.as_deref()),
        Audit::Prove { index } => prove(context, *index).await,
        Audit::Signatures(args) => audit_signatures::run(context, args).await,
        Audit::Checkpoint => checkpoint(context).await,
        Audit::Key => key(context).await,
    }
}

async fn tail(context: &Context, lines: u16, follow: bool) -> Result<(), Failure> {
    let mut client = context.audit().await?;
    // A page size of 0 means the default, so one entry is asked for and dropped.
    let message = v1::ListEntriesRequest { first_index: None, page_size: i32::from(lines.max(1)) };
    let mut answer = context.call(client.list_entries(context.request(message))).await?;
    if lines == 0 {
        answer.entries.clear();
    }
    if !follow {
        return print(context, &answer);
    }
    let mut next = answer.log_size;
    loop {
        for entry in &answer.entries {
            next = next.max(entry.index.saturating_add(1));
            follow_one(context, entry)?;
        }
        if answer.entries.is_empty() {
            sleep(FOLLOW_STEP).await;
        }
        let message = v1::ListEntriesRequest { first_index: Some(next), page_size: 1000 };
        answer = context.call(client.list_entries(context.request(message))).await?;
    }
}

fn print(context: &Context, answer: &v1::ListEntriesResponse) -> Result<(), Failure> {
    let names = || answer.entries.iter().map(|entry| entry.index.to_string()).collect();
    context.screen.show(answer, names, |screen| {
        let rows: Vec<_> = answer.entries.iter().map(row).collect();
        table::rows(screen, ["INDEX", "TIME", "EVENT", "WHO", "WHAT"], &rows)
    })
}

fn follow_one(context: &Context, entry: &v1::LogEntry) -> Result<(), Failure> {
    let text = match context.screen.format {
        Format::Json => json::line(entry)?,
        Format::Yaml => format!("---\n{}", json::yaml(entry)?),
        Format::Name => format!("{}\n", entry.index),
        Format::Table => format!("{}\n", row(entry).map(|part| clean(&part)).join("  ")),
    };
    context.screen.data(&text)
}

/// Index, time, event, who, what. An entry of a newer form is shown as it stands.
fn row(entry: &v1::LogEntry) -> [String; 5] {
    let index = entry.index.to_string();
    match Entry::from_json(entry.json.as_bytes()) {
        Ok(read) => {
            let (event, who, what) = said(&read.event);
            [index, seconds(read.time.seconds()), event.to_owned(), who, what]
        }
        Err(_) => [index, "-".to_owned(), "unknown".to_owned(), "-".to_owned(), entry.json.clone()],
    }
}

fn asks(asked: &Asked) -> (&'static str, String, String) {
    let terms = &asked.terms;
    let what = format!("{} on {} ({})", terms.action, terms.resource, asked.id);
    ("ask", words::agent(terms.agent.as_str()), what)
}

fn loads(load: &Load) -> (&'static str, String, String) {
    let who = load.operator.as_ref().map_or_else(|| "hotworkd".to_owned(), ToString::to_string);
    let what = format!(
        "{}, {}, registry {}",
        counted(load.agents, "agent", "agents"),
        counted(load.policies, "policy", "policies"),
        load.registry
    );
    ("load", who, what)
}

fn consumes(consume: &Consumption) -> (&'static str, String, String) {
    let what = format!("{}, {} left", consume.credential, counted(consume.left, "call", "calls"));
    ("consume", words::agent(consume.agent.as_str()), what)
}

fn revokes(revoke: &Revocation) -> (&'static str, String, String) {
    let live = revoke.live.map(|live| format!(", {live} live")).unwrap_or_default();
    let lock = revoke.lock.as_ref().map(|_| " and locked").unwrap_or_default();
    let what = format!("{}{lock}{live}: {}", named(&revoke.selector), revoke.reason);
    ("revoke", revoke.operator.to_string(), what)
}

fn said(event: &Event) -> (&'static str, String, String) {
    let own = || "hotworkd".to_owned();
    match event {
        Event::BreakGlass(step) => {
            ("break-glass", step.operator().map_or_else(own, ToString::to_string), stepped(step))
        }
        Event::Call(call) => {
            let refused = if call.allowed { "" } else { " REFUSED" };
            let why = call.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            ("call", call.operator.to_string(), format!("{}{refused}{why}", call.rpc))
        }
        Event::Ask(asked) => asks(asked),
        Event::Decide(vote) => {
            ("decide", vote.operator.to_string(), format!("{} {}", vote.verdict.as_str(), vote.approval))
        }
        Event::Deny(denial) => {
            let what =
                format!("{} on {}: {} ({})", denial.action, denial.resource, denial.reason.code(), denial.id);
            ("deny", words::agent(denial.agent.as_str()), what)
        }
        Event::Consume(consume) => consumes(consume),
        Event::Emergency(emergency) => ("emergency", own(), emergency.to_string()),
        Event::Enroll(enrolled) => {
            let what = format!("{} until {}", enrolled.who, seconds(enrolled.expires.seconds()));
            let by = enrolled.operator.as_ref().map_or_else(own, ToString::to_string);
            ("enroll", by, what)
        }
        Event::Issue(issue) => {
            let what = format!("{} on {} ({})", issue.action, issue.resource, issue.id);
            ("issue", words::agent(issue.agent.as_str()), what)
        }
        Event::Load(load) => loads(load),
        Event::Merge(merge) => (
            "merge",
            own(),
            format!("{} of an emergency, from {} on", counted(merge.count, "entry", "entries"), merge.first),
        ),
        Event::Release(release) => {
            ("release", words::agent(release.agent.as_str()), release.credential.to_string())
        }
        Event::Remove(removal) => {
            let what = format!(
                "{}, {}: {}",
                removal.who,
                counted(removal.ended, "certificate", "certificates"),
                removal.reason
            );
            ("remove", removal.operator.to_string(), what)
        }
        Event::Lock(lock) => ("lock", lock.operator.to_string(), locked(&lock.selector, &lock.terms)),
        Event::Revoke(revoke) => revokes(revoke),
        Event::Rotate(rotation) => {
            let from = super::duration::seconds(rotation.use_at.seconds());
            ("rotate", rotation.operator.to_string(), format!("token key {} signs from {from}", rotation.kid))
        }
        Event::Unlock(unlock) => ("unlock", unlock.operator.to_string(), format!("lock {}", unlock.lock)),
        Event::Start(start) => {
            let dev = if start.dev { " dev" } else { "" };
            ("start", own(), format!("version {}{dev}", start.version))
        }
    }
}

/// A step of break-glass in a line.
fn stepped(step: &Step) -> String {
    let asked = |proposal: &Proposal| match &proposal.asks {
        Asks::Extend(extension) => {
            format!("extension of {} to {}", extension.session, seconds(extension.until.seconds()))
        }
        Asks::Open(opening) => {
            let drill = if opening.drill { "drill of " } else { "" };
            format!("{drill}{} for {}: {}", opening.playbook, opening.ticket, opening.reason)
        }
    };
    match step {
        Step::Close(closing) => format!("closed {}: {}", closing.session, closing.reason),
        Step::Extend(extended) => format!("extended: {}", asked(&extended.proposal)),
        Step::Open(opened) => {
            let signers: Vec<&str> = opened.signatures.iter().map(|one| one.operator.as_str()).collect();
            let until = seconds(opened.until.seconds());
            format!(
                "opened {} until {until}, {}, signed by {}",
                opened.session,
                asked(&opened.proposal),
                signers.join(", ")
            )
        }
        Step::Propose(proposed) => format!("proposed {}", asked(&proposed.proposal)),
        Step::Restrict(restricted) => {
            let locks = counted(restricted.left.lock.len(), "lock", "locks");
            let revocations = counted(restricted.left.revoke.len(), "revocation", "revocations");
            format!("restricted by {}, left: {locks}, {revocations}", restricted.session)
        }
        Step::Review(review) => format!("reviewed {}: {}", review.session, review.finding),
        Step::Sign(signed) => format!("signed {}", signed.statement),
    }
}

fn named(selector: &Selector) -> String {
    match selector {
        Selector::Agent(agent) => format!("agent {}", words::agent(agent.as_str())),
        Selector::Credential(id) => id.to_string(),
        Selector::Action(_)
        | Selector::All
        | Selector::Api(_)
        | Selector::Attested(_)
        | Selector::Key(_)
        | Selector::Lineage(_)
        | Selector::Owner(_)
        | Selector::Principal(_)
        | Selector::Resource(_)
        | Selector::Serial(_)
        | Selector::Tenant(_) => selector.to_string(),
    }
}

fn locked(selector: &Selector, terms: &Terms) -> String {
    format!("{} until {}: {}", named(selector), seconds(terms.expires.seconds()), terms.message)
}

async fn show(context: &Context, index: u64) -> Result<(), Failure> {
    let mut client = context.audit().await?;
    let answer = context.call(client.get_entry(context.request(v1::GetEntryRequest { index }))).await?;
    let text = answer.entry.as_ref().map(|entry| entry.json.clone()).unwrap_or_default();
    context.screen.show(&answer, || vec![index.to_string()], |_| clean(&text) + "\n")
}

async fn prove(context: &Context, index: u64) -> Result<(), Failure> {
    let mut client = context.audit().await?;
    let answer =
        context.call(client.prove_inclusion(context.request(v1::ProveInclusionRequest { index }))).await?;
    context.screen.show(&answer, || vec![index.to_string()], |_| clean_lines(&answer.receipt))
}

async fn checkpoint(context: &Context) -> Result<(), Failure> {
    let mut client = context.audit().await?;
    let answer = context.call(client.get_checkpoint(context.request(v1::GetCheckpointRequest {}))).await?;
    let size = || answer.checkpoint.lines().nth(1).unwrap_or_default().to_owned();
    context.screen.show(&answer, || vec![size()], |_| clean_lines(&answer.checkpoint))
}

async fn key(context: &Context) -> Result<(), Failure> {
    let mut client = context.verification().await?;
    let answer = context.call(client.get_trust_bundle(context.request(v1::GetTrustBundleRequest {}))).await?;
    let key = || answer.log_verifier_key.trim_end().to_owned();
    context.screen.show(&answer, || vec![key()], |_| clean(&key()) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_told_in_a_line() {
        let json = r#"{"event":{"start":{"dev":true,"version":"0.1.0"}},"time":1000,"v":1}"#;
        let entry = v1::LogEntry { index: 3, json: json.to_owned() };
        assert_eq!(row(&entry), ["3", "1970-01-01T00:00:01Z", "start", "hotworkd", "version 0.1.0 dev"]);
    }

    #[test]
    fn an_entry_of_a_newer_form_is_shown_as_it_stands() {
        let entry = v1::LogEntry { index: 0, json: r#"{"v":2}"#.to_owned() };
        assert_eq!(row(&entry), ["0", "-", "unknown", "-", r#"{"v":2}"#]);
    }
}
