//! One playbook file: what break-glass may do, who signs for it, and for how long.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use crate::config::forms::{Line, Seconds, word};
use crate::config::problem::{Gathered, Place};
use crate::config::raw::{Field, Table};
use crate::domain::agent::AgentEntry;
use crate::domain::catalogue::{Api, ApiState};
use crate::domain::evidence;
use crate::domain::limits::{
    BREAK_GLASS_QUORUM_MAX, BREAK_GLASS_SECONDS_DEFAULT, BREAK_GLASS_SECONDS_MAX, PLAYBOOK_ITEMS_MAX,
    PLAYBOOK_SCOPE_BYTES_MAX, PLAYBOOKS_MAX,
};
use crate::domain::name::{
    ActionName, AgentPath, NotifierName, OperatorName, PlaybookName, TenantName, TrustDomain,
};
use crate::domain::operator::{Operator, Role};
use crate::domain::playbook::{Expansion, Playbook, Quorum, Restriction, Scope};
use crate::domain::resource::{Piece, Resource, ResourcePattern};
use crate::domain::revocation::Selector;

use super::Declared;

/// The two kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Expand,
    Restrict,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &[("expand", Self::Expand), ("restrict", Self::Restrict)])
    }
}

/// Reads a playbook's file.
pub(super) fn read(table: Table<'_>, trust_domain: &TrustDomain) -> Option<Declared<Playbook>> {
    let keys = ["actions", "agents", "notify", "quorum", "resources", "responders"];
    let (place, others) = (table.place_of("name"), keys.map(|key| table.place_of(key)).to_vec());
    let name: Option<PlaybookName> = table.required("name");
    let purpose: Option<Line> = table.required("purpose");
    let kind: Option<Kind> = table.required("kind");
    let quorum = quorum(&table, kind);
    let seconds_max = seconds_max(&table);
    let responders: Option<Vec<OperatorName>> = bounded(&table, "responders");
    let notify: Option<Vec<NotifierName>> = bounded(&table, "notify");
    let scope = match kind? {
        Kind::Expand => expansion(&table, trust_domain).map(Scope::Expand),
        Kind::Restrict => restriction(&table, trust_domain).map(Scope::Restrict),
    };
    if let Some(scope) = &scope {
        signable(&table, scope);
    }
    table.done();
    let playbook = Playbook {
        name: name?,
        purpose: purpose?.0,
        scope: scope?,
        responders: responders?,
        quorum: quorum?,
        seconds_max: seconds_max?,
        notify: notify?,
    };
    Some(Declared { item: playbook, place, others })
}

/// What is signed and recorded is bounded, and printable ASCII: found out now and not in the incident.
fn signable(table: &Table<'_>, scope: &Scope) {
    let bytes = serde_json::to_vec(scope).map_or(usize::MAX, |json| json.len());
    if bytes > PLAYBOOK_SCOPE_BYTES_MAX {
        let message =
            format!("what it names takes `{bytes}` bytes of a record, at most {PLAYBOOK_SCOPE_BYTES_MAX}");
        table.error("kind", message);
    }
    if let Scope::Restrict(Restriction { lock, revoke }) = scope {
        let odd = |selector: &&Selector| {
            let text = selector.to_string();
            text.trim() != text || !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
        };
        if let Some(selector) = lock.iter().chain(revoke).find(odd) {
            table.error("kind", format!("can't be signed, because it is not printable ASCII: `{selector}`"));
        }
    }
}

/// Two people unless it says otherwise; one is enough only for what restricts.
fn quorum(table: &Table<'_>, kind: Option<Kind>) -> Option<Quorum> {
    let Some(number) = table.integer("quorum")? else { return Some(Quorum::DEFAULT) };
    let quorum = Quorum::try_from(u8::try_from(number).unwrap_or_default());
    match quorum {
        Ok(one) if one.count() == 1 && kind == Some(Kind::Expand) => {
            table.error("quorum", "a playbook that expands what can be had needs 2 signers or more, got `1`");
            None
        }
        Ok(quorum) => Some(quorum),
        Err(_) => {
            table.error("quorum", format!("expected 1 to {BREAK_GLASS_QUORUM_MAX} signers, got `{number}`"));
            None
        }
    }
}

fn seconds_max(table: &Table<'_>) -> Option<u32> {
    let Seconds(seconds) = table.or("max_time", Seconds(BREAK_GLASS_SECONDS_DEFAULT.into()))?;
    let good = u32::try_from(seconds).ok().filter(|seconds| (1..=BREAK_GLASS_SECONDS_MAX).contains(seconds));
    if good.is_none() {
        table.error("max_time", format!("expected 1 s to {BREAK_GLASS_SECONDS_MAX} s, got `{seconds} s`"));
    }
    good
}

/// A list with a bound.
fn bounded<T: FromStr<Err: Display>>(table: &Table<'_>, key: &'static str) -> Option<Vec<T>> {
    let list = table.list(key)?;
    if list.len() > PLAYBOOK_ITEMS_MAX {
        table.error(key, format!("expected at most {PLAYBOOK_ITEMS_MAX} items, found `{}`", list.len()));
        return None;
    }
    Some(list)
}

/// A list that must have something in it: an empty one would be a playbook that does nothing in an incident.
fn filled<T: FromStr<Err: Display>>(table: &Table<'_>, key: &'static str) -> Option<Vec<T>> {
    let list = bounded(table, key)?;
    if list.is_empty() {
        table.error(key, "missing or empty; a playbook that expands names actions, agents and resources");
        return None;
    }
    Some(list)
}

fn expansion(table: &Table<'_>, trust_domain: &TrustDomain) -> Option<Expansion> {
    let actions: Option<Vec<ActionName>> = filled(table, "actions");
    let agents: Option<Vec<AgentPath>> = filled(table, "agents");
    let resources: Option<Vec<Resource>> = filled(table, "resources");
    let id = |agent: AgentPath| agent.in_domain(trust_domain);
    Some(Expansion {
        actions: actions?,
        agents: agents?.into_iter().map(id).collect(),
        resources: resources?,
    })
}

fn restriction(table: &Table<'_>, trust_domain: &TrustDomain) -> Option<Restriction> {
    let (lock, revoke) = (selectors(table, "lock", trust_domain), selectors(table, "revoke", trust_domain));
    let (lock, revoke) = (lock?, revoke?);
    if lock.is_empty() && revoke.is_empty() {
        table.error("lock", "a playbook that restricts names what it locks or revokes: `lock`, `revoke`");
        return None;
    }
    Some(Restriction { lock, revoke })
}

fn selectors(table: &Table<'_>, key: &'static str, trust_domain: &TrustDomain) -> Option<Vec<Selector>> {
    let Some(field) = table.field(key) else { return Some(Vec::new()) };
    let items = field.items()?;
    if items.len() > PLAYBOOK_ITEMS_MAX {
        field.error(format!("expected at most {PLAYBOOK_ITEMS_MAX} items, found `{}`", items.len()));
        return None;
    }
    let read: Vec<Option<Selector>> = items.iter().map(|item| selector(item, trust_domain)).collect();
    read.into_iter().collect()
}

/// One selector, a table with one key: `{ tenant = "acme" }`, `{ all = true }`.
fn selector(item: &Field<'_>, trust_domain: &TrustDomain) -> Option<Selector> {
    let table = item.table()?;
    let given: Vec<&str> = table.entries().map(|(key, _)| key).collect();
    let [key] = given.as_slice() else {
        item.error("expected one selector, such as `{ tenant = \"acme\" }` or `{ all = true }`");
        return None;
    };
    let found = match *key {
        "action" => table.required("action").map(Selector::Action),
        "agent" => {
            table.required("agent").map(|agent: AgentPath| Selector::Agent(agent.in_domain(trust_domain)))
        }
        "all" => table.flag("all", false)?.then_some(Selector::All),
        "api" => table.required("api").map(Selector::Api),
        "attested" => table.required("attested").map(|Fact(fact)| Selector::Attested(fact)),
        "owner" => table.required("owner").map(Selector::Owner),
        "principal" => table.required("principal").map(Selector::Principal),
        "resource" => table.required("resource").map(Selector::Resource),
        "tenant" => table.required("tenant").map(Selector::Tenant),
        _ => {
            let known =
                "`action`, `agent`, `all`, `api`, `attested`, `owner`, `principal`, `resource`, `tenant`";
            item.error(format!("unknown selector, expected one of {known}"));
            return None;
        }
    };
    if found.is_none() && *key == "all" {
        item.error("`all` is `true` or not there");
    }
    found
}

/// A fact of the evidence as files name it: `unix.uid=1000`.
struct Fact(evidence::Selector);

impl FromStr for Fact {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once('=').ok_or("expected a fact as `unix.uid=1000`")?;
        evidence::Selector::new(kind, value).map(Self).map_err(|error| error.to_string())
    }
}

/// What a playbook names must be there: nobody finds out at three in the morning.
pub(super) fn check(
    playbooks: &[Declared<Playbook>],
    apis: &[Declared<Api>],
    agents: &[Declared<AgentEntry>],
    operators: &[Declared<Operator>],
    dir: &Path,
    gathered: &Gathered,
) {
    if playbooks.len() > PLAYBOOKS_MAX {
        let message = format!("at most {PLAYBOOKS_MAX} playbooks, found `{}`", playbooks.len());
        gathered.error(Place::file(&dir.join("playbooks")), message);
    }
    for playbook in playbooks {
        if let Some(expansion) = playbook.item.scope.expansion() {
            known_agents(playbook, expansion, agents, gathered);
            for action in &expansion.actions {
                known_action(playbook, expansion, action, apis, gathered);
            }
        }
        people(playbook, operators, gathered);
    }
}

fn known_agents(
    playbook: &Declared<Playbook>,
    expansion: &Expansion,
    agents: &[Declared<AgentEntry>],
    gathered: &Gathered,
) {
    for id in &expansion.agents {
        let fits = |one: &Declared<AgentEntry>| {
            one.item.tenant == *id.tenant() && one.item.name.could_make(id.name())
        };
        if !agents.iter().any(fits) {
            let message = format!("no such agent: `{}/{}`", id.tenant(), id.name());
            gathered.error(playbook.at("agents"), message);
        }
    }
}

/// The action is there, for one of the agents, and one of the resources has its shape.
fn known_action(
    playbook: &Declared<Playbook>,
    expansion: &Expansion,
    name: &ActionName,
    apis: &[Declared<Api>],
    gathered: &Gathered,
) {
    let active = apis.iter().map(|api| &api.item).filter(|api| api.state == ApiState::Active);
    let found = active.filter_map(|api| Some((api, api.actions.iter().find(|action| action.name == *name)?)));
    let Some((api, action)) = found.into_iter().next() else {
        gathered.error(playbook.at("actions"), format!("no such action of an active API: `{name}`"));
        return;
    };
    if !expansion.agents.iter().any(|agent| *agent.tenant() == api.tenant) {
        let message = format!("`{name}` is of tenant `{}`, and none of the agents is", api.tenant);
        gathered.error(playbook.at("actions"), message);
    }
    if !expansion.resources.iter().any(|prefix| can_match(&action.resource, prefix, &api.tenant)) {
        let message =
            format!("no resource of `{name}` (`{}`) is below any of these", action.resource.as_str());
        gathered.error(playbook.at("resources"), message);
    }
}

/// Whether a resource of this shape can be `prefix` or below it.
fn can_match(pattern: &ResourcePattern, prefix: &Resource, tenant: &TenantName) -> bool {
    let mut pieces = pattern.pieces();
    prefix.as_str().split('/').all(|part| match pieces.next() {
        Some(Piece::Capture(_)) => true,
        Some(Piece::Fixed(text)) => text == part,
        Some(Piece::Tenant) => tenant.as_str() == part,
        None => false,
    })
}

/// Whether there are people who can open it, and two more who can review: one alone could keep it shut.
fn people(playbook: &Declared<Playbook>, operators: &[Declared<Operator>], gathered: &Gathered) {
    let all = || operators.iter().map(|operator| &operator.item);
    let mut wrong = false;
    for name in &playbook.item.responders {
        match all().find(|operator| operator.name == *name) {
            None => {
                wrong = true;
                gathered.error(playbook.at("responders"), format!("no such operator: `{name}`"));
            }
            Some(operator) if !playbook.item.may_sign(operator) => {
                let message =
                    format!("`{name}` lacks the role `responder`, or does not see the tenants of it");
                wrong = true;
                gathered.error(playbook.at("responders"), message);
            }
            Some(_) => {}
        }
    }
    // With one of them wrong nobody knows yet how many there are.
    if wrong {
        return;
    }
    let able = all().filter(|operator| playbook.item.may_sign(operator) && !operator.ssh_keys.is_empty());
    let (able, needed) = (able.count(), playbook.item.quorum.count());
    if able < needed {
        let message = format!(
            "it can't be opened: {needed} people must sign, and {able} of its responders have `ssh_keys` in operators.toml"
        );
        gathered.warning(playbook.at("quorum"), message);
        return;
    }
    let reviews = |operator: &&Operator| {
        let role = operator.may(Role::Responder) || operator.may(Role::Admin);
        role && playbook.item.scope.seen_by(operator)
    };
    // A warning, and no error: a load that is refused would keep somebody's key, that was just taken out, in force.
    match all().filter(reviews).count().saturating_sub(needed) {
        0 => {
            let message = format!(
                "nobody is left to review it: {needed} people sign, and no other responder or admin sees all of it; after \
                 the first session it takes {} people, who are not there",
                needed.saturating_add(1)
            );
            gathered.warning(playbook.at("quorum"), message);
        }
        1 => {
            let message = format!(
                "beside the {needed} people who sign, one person alone could review it, and keep it shut by not doing so; \
                 with one more responder or admin nobody could"
            );
            gathered.warning(playbook.at("quorum"), message);
        }
        _ => {}
    }
}
