//! The selectors of the command line as the wire has them, and in words.

use tonic::transport::Channel;

use super::args::control::Selectors;
use super::client::Context;
use super::failure::Failure;
use super::operator::agent_id;
use super::text::clean;
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
    let selector = match &given.agent {
        Some(agent) => Selector::Agent(agent_id(context, client, agent).await?),
        None => direct(given).unwrap_or(Selector::All(true)),
    };
    let single = matches!(selector, Selector::CredentialId(_) | Selector::Serial(_));
    let selector = v1::RevocationSelector { selector: Some(selector) };
    Ok(Named { words: words(&selector), selector, single })
}

/// The option that was given, but for the agent; `None` when it is `--all`.
fn direct(given: &Selectors) -> Option<Selector> {
    let fact = given.attested.as_ref().map(|fact| {
        let (kind, value) = (fact.kind.to_string(), (*fact.value).to_owned());
        Selector::Attested(v1::AttestedFact { kind, value })
    });
    let text = |value: Option<String>, selector: fn(String) -> Selector| value.map(selector);
    text(given.credential.map(|id| id.to_string()), Selector::CredentialId)
        .or_else(|| text(given.serial.map(|serial| serial.to_string()), Selector::Serial))
        .or_else(|| text(given.lineage.map(|id| id.to_string()), Selector::Lineage))
        .or_else(|| text(given.owner.as_ref().map(ToString::to_string), Selector::Owner))
        .or_else(|| text(given.principal.as_ref().map(ToString::to_string), Selector::Principal))
        .or_else(|| text(given.tenant.as_ref().map(ToString::to_string), Selector::Tenant))
        .or_else(|| text(given.api.as_ref().map(ToString::to_string), Selector::Api))
        .or_else(|| text(given.action.as_ref().map(ToString::to_string), Selector::Action))
        .or_else(|| text(given.resource_prefix.as_ref().map(ToString::to_string), Selector::ResourcePrefix))
        .or_else(|| text(given.key.as_ref().map(ToString::to_string), Selector::KeyId))
        .or(fact)
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
