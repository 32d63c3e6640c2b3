//! The selectors of the command line as the wire has them, and in words.

use tonic::transport::Channel;

use super::args::control::Selectors;
use super::client::Context;
use super::failure::Failure;
use super::operator::agent_id;
use super::text::clean;
use crate::api::render;
use crate::domain::revocation;
use crate::proto::v1;
use crate::proto::v1::admin_service_client::AdminServiceClient;
use crate::proto::v1::revocation_selector::Selector;

/// What is named, for the wire and for people.
#[derive(Clone, Debug)]
pub struct Named {
    /// For the wire.
    pub selector: v1::RevocationSelector,
    /// For people.
    pub words: String,
    /// Whether it is one credential.
    pub single: bool,
    /// Whether a credential tells of itself that it is meant.
    pub told: bool,
}

/// What the options name. An agent's name alone is looked up.
///
/// # Errors
/// When there is no such agent.
pub async fn named(
    context: &Context,
    client: &mut AdminServiceClient<Channel>,
    given: &Selectors,
) -> Result<Named, Failure> {
    let named = match &given.agent {
        Some(agent) => {
            let id = agent_id(context, client, agent).await?.parse();
            revocation::Selector::Agent(id.map_err(|error| Failure::usage(format!("--agent: {error}")))?)
        }
        None => direct(given).unwrap_or(revocation::Selector::All),
    };
    let selector = render::revocation::selector(&named);
    Ok(Named { words: words(&selector), selector, single: named.is_single(), told: named.is_told() })
}

/// The option that was given, but for the agent; `None` when it is `--all`.
fn direct(given: &Selectors) -> Option<revocation::Selector> {
    use revocation::Selector as Named;
    let given = given.clone();
    (given.credential.map(Named::Credential))
        .or_else(|| given.serial.map(Named::Serial))
        .or_else(|| given.lineage.map(Named::Lineage))
        .or_else(|| given.owner.map(Named::Owner))
        .or_else(|| given.principal.map(Named::Principal))
        .or_else(|| given.tenant.map(Named::Tenant))
        .or_else(|| given.api.map(Named::Api))
        .or_else(|| given.action.map(Named::Action))
        .or_else(|| given.resource_prefix.map(Named::Resource))
        .or_else(|| given.key.map(Named::Key))
        .or_else(|| given.attested.map(Named::Attested))
}

/// Whether no option was given.
pub fn is_empty(given: &Selectors) -> bool {
    given.agent.is_none() && !given.all && direct(given).is_none()
}

/// The option that names the same, for a shell.
pub fn option(selector: &v1::RevocationSelector) -> String {
    let (name, value) = match &selector.selector {
        Some(Selector::Action(action)) => ("action", action.clone()),
        Some(Selector::Agent(agent)) => ("agent", agent.clone()),
        Some(Selector::All(_)) => return "--all".to_owned(),
        Some(Selector::Api(api)) => ("api", api.clone()),
        Some(Selector::Attested(fact)) => ("attested", format!("{}={}", fact.kind, fact.value)),
        Some(Selector::CredentialId(id)) => ("credential", id.clone()),
        Some(Selector::KeyId(key)) => ("key", key.clone()),
        Some(Selector::Lineage(id)) => ("lineage", id.clone()),
        Some(Selector::Owner(owner)) => ("owner", owner.clone()),
        Some(Selector::Principal(principal)) => ("principal", principal.clone()),
        Some(Selector::ResourcePrefix(prefix)) => ("resource-prefix", prefix.clone()),
        Some(Selector::Serial(serial)) => ("serial", serial.clone()),
        Some(Selector::Tenant(tenant)) => ("tenant", tenant.clone()),
        None => return "...".to_owned(),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:=@+".contains(&byte);
    if value.bytes().all(plain) {
        return format!("--{name} {value}");
    }
    format!("--{name} '{}'", value.replace('\'', "'\\''"))
}

/// A selector in words, as for an operator.
pub fn words(selector: &v1::RevocationSelector) -> String {
    match &selector.selector {
        Some(Selector::Action(action)) => format!("everything for the action {}", clean(action)),
        Some(Selector::Agent(agent)) => format!("everything of {}", clean(agent)),
        Some(Selector::All(_)) => "EVERYTHING, of all agents".to_owned(),
        Some(Selector::Api(api)) => format!("everything for the API {}", clean(api)),
        Some(Selector::Attested(fact)) => {
            format!("everything given on {}={}", clean(&fact.kind), clean(&fact.value))
        }
        Some(Selector::CredentialId(id)) => format!("credential {}", clean(id)),
        Some(Selector::KeyId(key)) => format!("everything signed by {}", clean(key)),
        Some(Selector::Lineage(id)) => format!("the lineage {}", clean(id)),
        Some(Selector::Owner(owner)) => format!("everything that {} answers for", clean(owner)),
        Some(Selector::Principal(principal)) => format!("everything on behalf of {}", clean(principal)),
        Some(Selector::ResourcePrefix(prefix)) => format!("everything for {} and below", clean(prefix)),
        Some(Selector::Serial(serial)) => format!("the certificate {}", clean(serial)),
        Some(Selector::Tenant(tenant)) => format!("everything of the tenant {}", clean(tenant)),
        None => "something that this version does not know".to_owned(),
    }
}
