//! `hotwork revoke`: ends credentials, after a look at how many.

use super::args::operator::Revoke;
use super::client::Context;
use super::duration::absolute;
use super::failure::{Exit, Failure};
use super::operator::agent_id;
use super::table;
use super::text::clean;
use crate::domain::name::Reason;
use crate::proto::v1;
use crate::proto::v1::revocation_selector::Selector;

/// The reason of a dry run, which changes and records nothing of the kind.
const DRY: &str = "dry run";

/// `hotwork revoke`.
///
/// # Errors
/// When the operator declines, or the broker refuses or can't be reached.
pub async fn run(context: &Context, args: &Revoke) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let (selector, what) = match (&args.credential, &args.agent) {
        (Some(id), _) => (Selector::CredentialId(id.to_string()), format!("credential {id}")),
        (None, Some(agent)) => {
            let id = agent_id(context, &mut client, agent).await?;
            (Selector::Agent(id.clone()), format!("everything of {}", clean(&id)))
        }
        (None, None) => (Selector::All(true), "EVERYTHING, of all agents".to_owned()),
    };
    let selector = Some(v1::RevocationSelector { selector: Some(selector) });
    let mut call = async |reason: &str, dry_run| {
        let message = v1::RevokeRequest { selector: selector.clone(), reason: reason.to_owned(), dry_run };
        context.call(client.revoke(context.request(message))).await
    };
    if args.dry_run {
        let reason = args.reason.as_ref().map_or(DRY, Reason::as_str);
        return show(context, &call(reason, true).await?, &what);
    }
    let reason = reason(context, args)?;
    if context.screen.interactive && !args.yes && args.credential.is_none() {
        let live = call(reason.as_str(), true).await?.live_credentials;
        confirm(context, &what, live)?;
    }
    show(context, &call(reason.as_str(), false).await?, &what)
}

fn reason(context: &Context, args: &Revoke) -> Result<Reason, Failure> {
    if let Some(reason) = &args.reason {
        return Ok(reason.clone());
    }
    if !context.screen.interactive {
        return Err(Failure::usage("--reason is missing: it goes into the log, for those who ask later why")
            .hint("add --reason 'one line that says why'"));
    }
    let line = context.screen.ask("Reason (goes into the log, for those who ask later why):")?;
    line.parse().map_err(|error| Failure::usage(format!("reason: {error}")))
}

fn confirm(context: &Context, what: &str, live: u64) -> Result<(), Failure> {
    let question = format!("This ends {what}: {live} live credentials, now and for good. Go on? [y/N]");
    let answer = context.screen.ask(&question)?;
    if ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "not-confirmed", "nothing was revoked").hint("answer `y`, or give --yes"))
}

fn show(context: &Context, answer: &v1::RevokeResponse, what: &str) -> Result<(), Failure> {
    let index = answer.log_index.map(|index| index.to_string()).unwrap_or_default();
    let names = || answer.log_index.map(|index| index.to_string()).into_iter().collect();
    context.screen.show(answer, names, |screen| {
        let done = answer.log_index.is_some();
        let fields = [
            (if done { "ended" } else { "would end" }, what.to_owned()),
            ("live credentials", answer.live_credentials.to_string()),
            ("durable since", if done { absolute(answer.time.as_ref()) } else { String::new() }),
            ("log entry", index),
        ];
        table::fields(screen, &fields)
    })
}
