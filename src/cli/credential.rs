//! `hotwork credential`: lists, records, and giving back.

use tonic::transport::Channel;

use super::args::{Credential, CredentialList};
use super::client::Context;
use super::duration::{absolute, now, relative};
use super::failure::Failure;
use super::output::Screen;
use super::{inspect, table, verify, words};
use crate::domain::limits::PAGE_SIZE_MAX;
use crate::proto::v1;
use crate::proto::v1::credential_service_client::CredentialServiceClient;

/// `hotwork credential`.
///
/// # Errors
/// When the broker refuses or can't be reached, or the verdict is negative.
pub async fn run(context: &Context, command: &Credential) -> Result<(), Failure> {
    match command {
        Credential::List(args) if args.all || args.agent.is_some() => list_all(context, args).await,
        Credential::List(args) => list_own(context, args).await,
        Credential::Show { id, all } => show(context, &id.to_string(), *all).await,
        Credential::Inspect { file } => inspect::run(context, file),
        Credential::Verify { file } => verify::run(context, file).await,
        Credential::Consume { file, idempotency_key } => {
            verify::consume(context, file, idempotency_key).await
        }
        Credential::Release { id } => {
            let mut client = context.agent().await?;
            let answer = give_back(context, &mut client, &id.to_string()).await?;
            let record = answer.credential.clone().unwrap_or_default();
            context.screen.show(&answer, || vec![record.id.clone()], |screen| record_table(screen, &record))
        }
    }
}

/// Gives a credential back.
///
/// # Errors
/// When the broker refuses or can't be reached.
pub async fn give_back(
    context: &Context,
    client: &mut CredentialServiceClient<Channel>,
    id: &str,
) -> Result<v1::ReleaseResponse, Failure> {
    let message = v1::ReleaseRequest { credential_id: id.to_owned() };
    context.call(client.release(context.request(message))).await
}

async fn list_own(context: &Context, args: &CredentialList) -> Result<(), Failure> {
    let mut client = context.agent().await?;
    let mut all = v1::ListMyCredentialsResponse::default();
    loop {
        let message = v1::ListMyCredentialsRequest {
            page_size: page_size(args.limit, all.credentials.len()),
            page_token: all.next_page_token.clone(),
            include_ended: args.ended,
        };
        let page = context.call(client.list_my_credentials(context.request(message))).await?;
        all.credentials.extend(page.credentials);
        all.next_page_token = page.next_page_token;
        all.read_time = page.read_time;
        if all.next_page_token.is_empty() || all.credentials.len() >= args.limit {
            break;
        }
    }
    say_more(context, &all.next_page_token);
    let time = all.read_time.map_or_else(now, |time| time.seconds);
    context.screen.show(&all, || ids(&all.credentials), |screen| list_table(screen, &all.credentials, time))
}

async fn list_all(context: &Context, args: &CredentialList) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let agent = match &args.agent {
        Some(agent) => super::operator::agent_id(context, &mut client, agent).await?,
        None => String::new(),
    };
    let mut all = v1::ListCredentialsResponse::default();
    loop {
        let message = v1::ListCredentialsRequest {
            page_size: page_size(args.limit, all.credentials.len()),
            page_token: all.next_page_token.clone(),
            agent: agent.clone(),
            include_ended: args.ended,
        };
        let page = context.call(client.list_credentials(context.request(message))).await?;
        all.credentials.extend(page.credentials);
        all.next_page_token = page.next_page_token;
        all.read_time = page.read_time;
        if all.next_page_token.is_empty() || all.credentials.len() >= args.limit {
            break;
        }
    }
    say_more(context, &all.next_page_token);
    let time = all.read_time.map_or_else(now, |time| time.seconds);
    context.screen.show(&all, || ids(&all.credentials), |screen| list_table(screen, &all.credentials, time))
}

/// What is left of `limit`, at most a page and at least one: 0 would mean the broker's default.
fn page_size(limit: usize, have: usize) -> i32 {
    let left = limit.saturating_sub(have).clamp(1, PAGE_SIZE_MAX);
    i32::try_from(left).unwrap_or(1)
}

fn say_more(context: &Context, next: &str) {
    if !next.is_empty() {
        context.screen.note("there are more: give a higher --limit");
    }
}

fn ids(records: &[v1::Credential]) -> Vec<String> {
    records.iter().map(|record| record.id.clone()).collect()
}

fn list_table(screen: &Screen, records: &[v1::Credential], now: i64) -> String {
    let row = |record: &v1::Credential| {
        [
            record.id.clone(),
            words::kind(record.kind),
            words::agent(&record.agent),
            record.action.clone(),
            record.resource.clone(),
            words::state(record.state),
            relative(record.expire_time.as_ref(), now),
        ]
    };
    let rows: Vec<_> = records.iter().map(row).collect();
    table::rows(screen, ["ID", "KIND", "AGENT", "ACTION", "RESOURCE", "STATE", "ENDS"], &rows)
}

async fn show(context: &Context, id: &str, all: bool) -> Result<(), Failure> {
    let credential_id = id.to_owned();
    if all {
        let mut client = context.admin().await?;
        let message = context.request(v1::GetCredentialRequest { credential_id });
        let answer = context.call(client.get_credential(message)).await?;
        let record = answer.credential.clone().unwrap_or_default();
        return context.screen.show(
            &answer,
            || vec![record.id.clone()],
            |screen| record_table(screen, &record),
        );
    }
    let mut client = context.agent().await?;
    let message = context.request(v1::GetMyCredentialRequest { credential_id });
    let answer = context.call(client.get_my_credential(message)).await?;
    let record = answer.credential.clone().unwrap_or_default();
    context.screen.show(&answer, || vec![record.id.clone()], |screen| record_table(screen, &record))
}

/// One record, every field that it has.
pub fn record_table(screen: &Screen, record: &v1::Credential) -> String {
    let now = now();
    let times =
        |time: Option<&prost_types::Timestamp>| format!("{} ({})", absolute(time), relative(time, now));
    let binding = record.binding.as_ref().map_or_else(String::new, |binding| {
        let parts = [("jkt", &binding.jkt), ("x5t#S256", &binding.x5t_s256)];
        let shown = parts.iter().filter(|(_, value)| !value.is_empty());
        shown.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" ")
    });
    let ended = record.revocation.as_ref().map_or_else(String::new, |end| {
        format!("{} by {}: {} (entry {})", absolute(end.time.as_ref()), end.actor, end.reason, end.log_index)
    });
    let fields = [
        ("id", record.id.clone()),
        ("kind", words::kind(record.kind)),
        ("state", words::state(record.state)),
        ("agent", record.agent.clone()),
        ("principal", record.principal.clone()),
        ("tenant", record.tenant.clone()),
        ("action", record.action.clone()),
        ("resource", record.resource.clone()),
        ("parameters", words::parameters(&record.parameters)),
        ("audience", record.audience.clone()),
        ("tier", words::tier(record.tier)),
        ("issued", times(record.issue_time.as_ref())),
        ("ends", times(record.expire_time.as_ref())),
        ("ended early", ended),
        ("bound to", binding),
        ("serial", record.serial.clone()),
        ("decision", record.decision_id.clone()),
        ("lineage", record.lineage.clone()),
        ("log entry", record.log_index.to_string()),
        ("evidence", record.evidence_sha256.clone()),
    ];
    table::fields(screen, &fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_never_larger_than_what_is_left() {
        assert_eq!(page_size(10_000, 0), 1000);
        assert_eq!(page_size(1_005, 1_000), 5);
        assert_eq!(page_size(0, 0), 1);
    }
}
