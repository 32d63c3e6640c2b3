//! One agent file: an agent or a template of agents, its owner and its attestation rules.

use std::str::FromStr;
use std::sync::Arc;

use toml::de::DeValue;

use crate::config::forms::{Date, Line, word};
use crate::config::raw::{Field, Table};
use crate::domain::agent::{AgentEntry, AgentState, IdentityCertificate, NameTemplate, Rule};
use crate::domain::digest::Digest;
use crate::domain::evidence::Selector;
use crate::domain::limits::{SELECTORS_MAX, SERVER_NAMES_MAX};
use crate::domain::name::{GroupName, HostName, TenantName, TrustDomain};
use crate::domain::spiffe::SpiffeId;

use super::Declared;

/// The selectors that attestation can establish, those that single out the fewest processes first, whether
/// one process has several of the kind, and the form of their values.
const KINDS: [(&str, bool, Form); 13] = [
    ("container.id", false, Form::Text),
    ("systemd.unit", false, Form::Text),
    ("cgroup.path", false, Form::Path),
    ("container.image", false, Form::Image),
    ("unix.sha256", false, Form::Digest),
    ("unix.exe", false, Form::Path),
    ("unix.uid", false, Form::Number),
    ("unix.gid", false, Form::Number),
    ("unix.groups", true, Form::Number),
    ("x509.spki_sha256", false, Form::Digest),
    ("x509.spiffe_id", false, Form::SpiffeId),
    ("x509.issuer_sha256", false, Form::Digest),
    ("x509.trust_domain", false, Form::TrustDomain),
];

#[derive(Clone, Copy)]
enum Form {
    Digest,
    Image,
    Number,
    Path,
    SpiffeId,
    Text,
    TrustDomain,
}

impl Form {
    /// What is wrong with a value of this form: it could never be established, and the rule never hold.
    fn objection(self, text: &str) -> Option<&'static str> {
        let number = || text.parse::<u32>().is_ok_and(|number| number.to_string() == text);
        let (good, expected) = match self {
            Self::Digest => (text.parse::<Digest>().is_ok(), "64 lowercase hex digits"),
            Self::Image => {
                let digest = text.strip_prefix("sha256:").map(str::parse::<Digest>);
                (matches!(digest, Some(Ok(_))), "`sha256:` and 64 lowercase hex digits")
            }
            Self::Number => (number(), "a number below 2^32"),
            Self::Path => (text.starts_with('/'), "a path from `/`"),
            Self::SpiffeId => (text.parse::<SpiffeId>().is_ok(), "a SPIFFE ID, `spiffe://TRUST-DOMAIN/PATH`"),
            Self::Text => (true, "a text"),
            Self::TrustDomain => (text.parse::<TrustDomain>().is_ok(), "a trust domain"),
        };
        (!good).then_some(expected)
    }
}

fn rank(kind: &str) -> Option<usize> {
    KINDS.iter().position(|(known, _, _)| *known == kind)
}

fn known() -> String {
    KINDS.iter().map(|(kind, _, _)| format!("`{kind}`")).collect::<Vec<_>>().join(", ")
}

struct State(AgentState);

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &[("active", AgentState::Active), ("suspended", AgentState::Suspended)]).map(Self)
    }
}

/// Reads an agent file.
pub(super) fn read(table: Table<'_>) -> Option<Declared<AgentEntry>> {
    let others = ["review", "rules", "server_names"].map(|key| table.place_of(key)).to_vec();
    let place = table.place_of("name");
    let name: Option<NameTemplate> = table.required("name");
    if let Some(name) = &name {
        placeholders(&table, name);
    }
    let tenant: Option<TenantName> = table.required("tenant");
    let owner: Option<Line> = table.required("owner");
    let purpose: Option<Line> = table.required("purpose");
    let principal: Option<Option<Principal>> = table.optional("principal");
    let groups: Option<Vec<GroupName>> = table.list("groups");
    let review: Option<Date> = table.required("review");
    let state = table.or("state", State(AgentState::Active));
    let identity = identity(&table, name.as_ref());
    let rules = rules(&table);
    table.done();
    let entry = AgentEntry {
        tenant: tenant?,
        name: name?,
        owner: owner?.0,
        purpose: purpose?.0,
        principal: principal?.map(|Principal(text)| text),
        groups: groups?,
        rules: rules?,
        review: review?.0,
        state: state?.0,
        identity: identity?,
    };
    Some(Declared { item: entry, place, others })
}

/// The certificate that the agent may have of its own identity.
fn identity(table: &Table<'_>, name: Option<&NameTemplate>) -> Option<Option<IdentityCertificate>> {
    let allowed = table.flag("identity_certificate", false);
    let names: Option<Vec<HostName>> = table.list("server_names");
    let (allowed, names) = (allowed?, names?);
    if names.len() > SERVER_NAMES_MAX {
        table.error("server_names", format!("at most {SERVER_NAMES_MAX} names, found `{}`", names.len()));
    }
    if !allowed && !names.is_empty() {
        table.error("server_names", "only an agent with `identity_certificate = true` is known by names");
    }
    if !names.is_empty() && name.is_some_and(NameTemplate::is_template) {
        table.error("server_names", "a template makes many agents, and they would all be one server");
    }
    Some(allowed.then_some(IdentityCertificate { names }))
}

/// The accountable party's name as `sub` carries it.
struct Principal(Arc<str>);

impl FromStr for Principal {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        // An agent's own form would let one agent act in the name of another.
        if good && !text.starts_with("spiffe:") {
            Ok(Self(text.into()))
        } else {
            Err("expected a name of printable ASCII without spaces, 1 to 256 bytes, that is no SPIFFE ID")
        }
    }
}

fn placeholders(table: &Table<'_>, name: &NameTemplate) {
    for kind in name.kinds() {
        match KINDS.iter().find(|(known, _, _)| *known == kind.as_str()) {
            None => {
                table.error("name", format!("no attestor establishes `{kind}`; expected one of {}", known()));
            }
            Some((_, true, _)) => {
                table.error("name", format!("a process has several of `{kind}`, so it makes no name"));
            }
            Some((_, false, _)) => {}
        }
    }
}

fn rules(table: &Table<'_>) -> Option<Vec<Rule>> {
    let section = table.table("rules")?;
    let mut rules = Vec::new();
    let mut bad = false;
    for (kind, field) in section.entries() {
        match rule(kind, &field) {
            Some(rule) => rules.push(rule),
            None => bad = true,
        }
    }
    if rules.is_empty() && !bad {
        table.error(
            "rules",
            format!("empty: such an agent could be anybody; give at least one of {}", known()),
        );
        return None;
    }
    // The registry looks entries up by their first rule: the most telling one finds the fewest.
    rules.sort_by_key(|rule| rank(rule.kind.as_str()));
    (!bad).then_some(rules)
}

fn rule(kind: &str, field: &Field<'_>) -> Option<Rule> {
    let Some((_, _, form)) = KINDS.iter().find(|(known, _, _)| *known == kind) else {
        let hint = if field.value.is_table() { " (write the selector in quotes)" } else { "" };
        field.error(format!("unknown selector, expected one of {}{hint}", known()));
        return None;
    };
    let items = if field.value.is_array() { field.items()? } else { vec![field.clone()] };
    if items.is_empty() || items.len() > SELECTORS_MAX {
        field.error(format!("expected 1 to {SELECTORS_MAX} values, found `{}`", items.len()));
        return None;
    }
    let values: Vec<Option<Arc<str>>> = items.iter().map(|item| value(kind, *form, item)).collect();
    Some(Rule { kind: kind.parse().ok()?, any_of: values.into_iter().collect::<Option<_>>()? })
}

fn value(kind: &str, form: Form, field: &Field<'_>) -> Option<Arc<str>> {
    let text = match field.value {
        DeValue::Integer(_) => field.integer()?.to_string(),
        DeValue::String(text) => text.to_string(),
        DeValue::Array(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Float(_)
        | DeValue::Table(_) => {
            field.error("expected a text or an integer, or a list of them");
            return None;
        }
    };
    let objection = form.objection(&text).map(|expected| format!("expected {expected}, got `{text}`"));
    let objection = objection.or_else(|| Selector::new(kind, &text).err().map(|bad| bad.to_string()));
    if let Some(objection) = objection {
        field.error(objection);
        return None;
    }
    Some(text.into())
}
