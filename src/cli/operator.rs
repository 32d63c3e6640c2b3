//! What operators look at: agents, APIs, decisions, keys, the state of the broker.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use super::args::operator::{Agent, Explain, Keys, RotatedKey, Status};
use super::client::Context;
use super::duration::{absolute, now, relative, spoken};
use super::failure::{Exit, Failure};
use super::output::Screen;
use super::{table, words};
use crate::proto::v1;
use crate::proto::v1::admin_service_client::AdminServiceClient;

/// How often `status --wait` looks.
const WAIT_STEP: Duration = Duration::from_millis(50);

/// `hotwork agent`.
///
/// # Errors
/// When the broker refuses or can't be reached.
pub async fn agent(context: &Context, command: &Agent) -> Result<(), Failure> {
    match command {
        Agent::List => agents(context).await,
        Agent::Show { agent } => {
            let mut client = context.admin().await?;
            let answer = get_agent(context, &mut client, agent).await?;
            let found = answer.agent.clone().unwrap_or_default();
            context.screen.show(&answer, || vec![found.id.clone()], |screen| agent_table(screen, &found))
        }
    }
}

async fn agents(context: &Context) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let mut all = v1::ListAgentsResponse::default();
    loop {
        let message = v1::ListAgentsRequest { page_size: 1000, page_token: all.next_page_token.clone() };
        let page = context.call(client.list_agents(context.request(message))).await?;
        let progress = !page.agents.is_empty();
        all.agents.extend(page.agents);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() || !progress {
            break;
        }
    }
    let names = || all.agents.iter().map(|agent| agent.id.clone()).collect();
    context.screen.show(&all, names, |screen| {
        let now = now();
        let rows: Vec<_> = all.agents.iter().map(|agent| agent_row(agent, now)).collect();
        let header = ["AGENT", "TENANT", "OWNER", "STATE", "LIVE", "LAST ISSUE", "REVIEW BY"];
        table::rows(screen, header, &rows)
    })
}

/// A count of live credentials, and whether it is one at most.
fn live(count: u64, at_most: bool) -> String {
    let most = if at_most { "at most " } else { "" };
    format!("{most}{count}")
}

fn agent_row(agent: &v1::Agent, now: i64) -> [String; 7] {
    [
        words::agent(&agent.id),
        agent.tenant.clone(),
        agent.owner.clone(),
        agent.state.clone(),
        live(agent.live_credentials, agent.live_is_upper_bound),
        relative(agent.last_issue_time.as_ref(), now),
        agent.review_date.clone(),
    ]
}

fn agent_table(screen: &Screen, agent: &v1::Agent) -> String {
    let mut fields = vec![
        ("id", agent.id.clone()),
        ("tenant", agent.tenant.clone()),
        ("owner", agent.owner.clone()),
        ("purpose", agent.purpose.clone()),
        ("state", agent.state.clone()),
        ("review by", agent.review_date.clone()),
        ("groups", agent.groups.join(" ")),
        ("principal", agent.principal.clone()),
        ("identity", if agent.identity_certificate { "certificate" } else { "" }.to_owned()),
        ("server names", agent.server_names.join(" ")),
        ("live credentials", live(agent.live_credentials, agent.live_is_upper_bound)),
        ("last issue", relative(agent.last_issue_time.as_ref(), now())),
    ];
    fields.extend(agent.rules.iter().map(|rule| ("rule", rule.clone())));
    table::fields(screen, &fields)
}

async fn get_agent(
    context: &Context,
    client: &mut AdminServiceClient<Channel>,
    agent: &str,
) -> Result<v1::GetAgentResponse, Failure> {
    let message = v1::GetAgentRequest { id: agent.to_owned() };
    context.call(client.get_agent(context.request(message))).await
}

/// The SPIFFE ID of the agent that an operator names, by ID or by name alone.
///
/// # Errors
/// When there is no such agent.
pub async fn agent_id(
    context: &Context,
    client: &mut AdminServiceClient<Channel>,
    agent: &str,
) -> Result<String, Failure> {
    if agent.starts_with("spiffe://") {
        return Ok(agent.to_owned());
    }
    let answer = get_agent(context, client, agent).await.map_err(|failure| match failure.code {
        "NOT_FOUND" => failure.hint("`hotwork agent list` shows the agents"),
        _ => failure,
    })?;
    Ok(answer.agent.unwrap_or_default().id)
}

/// `hotwork api list`.
///
/// # Errors
/// When the broker refuses or can't be reached.
pub async fn apis(context: &Context) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let answer = context.call(client.list_apis(context.request(v1::ListApisRequest {}))).await?;
    let names = || answer.apis.iter().map(|api| api.name.clone()).collect();
    context.screen.show(&answer, names, |screen| {
        let rows: Vec<_> = answer.apis.iter().flat_map(api_rows).collect();
        let header = ["API", "TENANT", "STATE", "ACTION", "ACCESS", "TIER", "RESOURCE", "PARAMETERS"];
        table::rows(screen, header, &rows)
    })
}

fn api_rows(api: &v1::Api) -> Vec<[String; 8]> {
    let row = |action: &v1::Action| {
        [
            api.name.clone(),
            api.tenant.clone(),
            api.state.clone(),
            action.name.clone(),
            words::access(action.access),
            words::tier(action.tier),
            action.resource_pattern.clone(),
            words::rules(&action.parameters),
        ]
    };
    if api.actions.is_empty() {
        return vec![row(&v1::Action::default())];
    }
    api.actions.iter().map(row).collect()
}

/// `hotwork explain`.
///
/// # Errors
/// When the broker refuses or can't be reached.
pub async fn explain(context: &Context, args: &Explain) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let message = context.request(v1::ExplainRequest { decision_id: args.decision.to_string() });
    let answer = context.call(client.explain(message)).await?;
    context.screen.show(
        &answer,
        || vec![answer.decision_id.clone()],
        |screen| {
            let fields = [
                ("decision", answer.decision_id.clone()),
                ("outcome", words::effect(answer.effect)),
                ("reason", answer.reason.clone()),
                ("detail", answer.detail.clone()),
                ("agent", answer.agent.clone()),
                ("action", answer.action.clone()),
                ("resource", answer.resource.clone()),
                ("policies", answer.policies.join(" ")),
                ("time", absolute(answer.time.as_ref())),
                ("now", answer.now.clone()),
                ("suggestion", answer.suggestion.clone()),
                ("credential", answer.credential_id.clone()),
                ("log entry", answer.log_index.to_string()),
                ("registry", answer.registry_sha256.clone()),
            ];
            table::fields(screen, &fields)
        },
    )
}

/// `hotwork reload`.
///
/// # Errors
/// When the broker refuses the registry, or can't be reached.
pub async fn reload(context: &Context) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let answer = context.call(client.reload_registry(context.request(v1::ReloadRegistryRequest {}))).await?;
    for warning in &answer.warnings {
        context.screen.note(&format!("warning: {}", super::text::clean(warning)));
    }
    let changed = if answer.changed { "yes" } else { "no" };
    context.screen.show(
        &answer,
        || vec![answer.registry_sha256.clone()],
        |screen| {
            table::fields(
                screen,
                &[("registry", answer.registry_sha256.clone()), ("changed", changed.to_owned())],
            )
        },
    )
}

/// `hotwork keys`.
///
/// # Errors
/// When the broker refuses or can't be reached.
pub async fn keys(context: &Context, command: Option<&Keys>) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    match command {
        None | Some(Keys::List) => {
            let answer = context.call(client.list_keys(context.request(v1::ListKeysRequest {}))).await?;
            let names = || answer.keys.iter().map(|key| key.kid.clone()).collect();
            context.screen.show(&answer, names, |screen| key_table(screen, &answer.keys))
        }
        Some(Keys::Rotate { key: RotatedKey::Token, now }) => {
            let message = v1::RotateKeyRequest { r#use: "token".to_owned(), at_once: *now };
            let answer = context.call(client.rotate_key(context.request(message))).await?;
            let key = answer.key.clone().unwrap_or_default();
            context.screen.show(
                &answer,
                || vec![key.kid.clone()],
                |screen| key_table(screen, std::slice::from_ref(&key)),
            )
        }
    }
}

fn key_table(screen: &Screen, keys: &[v1::Key]) -> String {
    let now = now();
    let row = |key: &v1::Key| {
        let ends = key.expire_time.as_ref().or(key.drop_time.as_ref());
        let state = if key.state.is_empty() { "-".to_owned() } else { key.state.clone() };
        let signs = relative(key.use_time.as_ref(), now);
        [key.r#use.clone(), key.algorithm.clone(), key.kid.clone(), state, signs, relative(ends, now)]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    table::rows(screen, ["USE", "ALGORITHM", "KEY ID", "STATE", "SIGNS FROM", "ENDS"], &rows)
}

/// `hotwork status`.
///
/// # Errors
/// With exit code 7 when the broker can't be reached or does not issue.
pub async fn status(context: &Context, args: &Status) -> Result<(), Failure> {
    let answer = match args.wait {
        None => ask_status(context).await?,
        Some(wait) => wait_status(context, wait).await?,
    };
    if !answer.issuing {
        if context.screen.format == super::args::Format::Table {
            context.screen.data(&status_table(&context.screen, &answer))?;
        }
        return Err(not_issuing(&answer));
    }
    context.screen.show(&answer, || vec![answer.trust_domain.clone()], |screen| status_table(screen, &answer))
}

async fn ask_status(context: &Context) -> Result<v1::GetStatusResponse, Failure> {
    let mut client = context.admin().await?;
    context.call(client.get_status(context.request(v1::GetStatusRequest {}))).await
}

/// Asks until the broker issues. What time cannot mend is told at once; nor does an emergency end by itself.
async fn wait_status(context: &Context, wait: Duration) -> Result<v1::GetStatusResponse, Failure> {
    let end = Instant::now() + wait;
    loop {
        let answer = ask_status(context).await;
        let again = match &answer {
            Ok(answer) => !answer.issuing && !answer.emergency,
            Err(failure) => failure.exit == Exit::Unavailable && failure.reason != "socket-permission",
        };
        if !again || Instant::now() >= end {
            return answer;
        }
        sleep(WAIT_STEP).await;
    }
}

fn not_issuing(answer: &v1::GetStatusResponse) -> Failure {
    let problem = super::text::clean(&answer.problem);
    Failure::new(Exit::Unavailable, "not-issuing", format!("the broker does not issue: {problem}"))
        .hint("revocation and reads go on; see the broker's log, mend the cause and restart it (a registry: `hotwork reload`)")
}

/// Who has heard of the newest revocation, in a line.
fn verifiers(answer: &v1::GetStatusResponse) -> String {
    let away = match answer.verifiers_away {
        0 => String::new(),
        some => format!(", {some} AWAY"),
    };
    format!("{} of {} current{away}", answer.verifiers_current, answer.verifiers_connected)
}

/// Break-glass in a line: what is open comes first.
fn glass(status: Option<&v1::BreakGlassStatus>) -> String {
    let Some(status) = status else { return String::new() };
    let reviews = if status.reviews_owed == 1 { "review owed" } else { "reviews owed" };
    let counted = [
        (status.sessions_open, "OPEN"),
        (status.proposals, "to sign"),
        (status.reviews_owed, reviews),
        (status.reviews_overdue, "OVERDUE"),
    ];
    let drill = status.drill_age.as_ref().map_or_else(
        || "never drilled".to_owned(),
        |age| format!("drilled {} ago", spoken(age.seconds.max(0).unsigned_abs())),
    );
    let shown = counted.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    shown.chain([drill]).collect::<Vec<_>>().join(", ")
}

fn status_table(screen: &Screen, answer: &v1::GetStatusResponse) -> String {
    let up = answer.start_time.map(|start| now().saturating_sub(start.seconds).unsigned_abs());
    let dev = if answer.dev { "NOT FOR PRODUCTION (hotworkd dev)" } else { "" };
    let mut fields = vec![
        ("issuing", if answer.issuing { "yes" } else { "no" }.to_owned()),
        ("problem", answer.problem.clone()),
        ("mode", dev.to_owned()),
        ("version", answer.version.clone()),
        ("trust domain", answer.trust_domain.clone()),
        ("up for", up.map_or_else(String::new, spoken)),
        ("agents", answer.agents.to_string()),
        ("policies", answer.policies.to_string()),
        ("live credentials", live(answer.live_credentials, answer.live_is_upper_bound)),
        ("locks", answer.locks.to_string()),
        ("break-glass", glass(answer.break_glass.as_ref())),
        ("revocation epoch", answer.revocation_epoch.to_string()),
        ("verifiers", verifiers(answer)),
        ("log size", answer.log_size.to_string()),
        ("log root", answer.log_root.clone()),
        ("registry", answer.registry_sha256.clone()),
    ];
    let now = now();
    fields.extend(answer.notifiers.iter().map(|one| ("notices", super::notify::told(one, now))));
    table::fields(screen, &fields)
}
