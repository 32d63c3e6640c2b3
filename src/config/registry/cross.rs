//! What only shows when all files are seen together: names declared twice, rules that can't tell two agents
//! apart, reviews that are overdue, nobody who could revoke.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::path::Path;

use crate::config::problem::{Gathered, Place};
use crate::domain::agent::{AgentEntry, Day};
use crate::domain::catalogue::{Api, ApiState, Tier};
use crate::domain::name::HostName;
use crate::domain::operator::{Operator, Role};
use crate::domain::playbook::Playbook;

use super::Declared;

pub(super) fn check(
    apis: &[Declared<Api>],
    agents: &[Declared<AgentEntry>],
    operators: &[Declared<Operator>],
    playbooks: &[Declared<Playbook>],
    dir: &Path,
    today: Day,
    gathered: &Gathered,
) {
    // An action's first word is its API's name, so unique APIs make unique actions.
    unique("API", apis.iter().map(|api| (api.item.name.to_string(), &api.place)), gathered);
    let id = |entry: &AgentEntry| format!("{}/{}", entry.tenant, entry.name.as_str());
    unique("agent", agents.iter().map(|agent| (id(&agent.item), &agent.place)), gathered);
    unique(
        "operator",
        operators.iter().map(|operator| (operator.item.name.to_string(), &operator.place)),
        gathered,
    );
    unique("playbook", playbooks.iter().map(|book| (book.item.name.to_string(), &book.place)), gathered);
    let uids = operators.iter().filter_map(|operator| Some((operator.item.uid?, &operator.place)));
    unique("operator's uid", uids, gathered);
    keys(operators, gathered);
    audiences(apis, gathered);
    servers(agents, gathered);
    indistinguishable(agents, gathered);
    overdue(agents, today, gathered);
    approvers(apis, operators, gathered);
    unrecognised(operators, gathered);
    // With an error elsewhere, the operator may be in what could not be read.
    if !gathered.has_error() && !operators.iter().any(|operator| operator.item.may(Role::Revoker)) {
        let place = Place::file(&dir.join("operators.toml"));
        gathered.warning(place, "no operator has the role `revoker`: nobody could end a leaked credential");
    }
}

fn unique<'a, K: Eq + Hash + Display>(
    what: &str,
    items: impl Iterator<Item = (K, &'a Place)>,
    gathered: &Gathered,
) {
    let mut seen: HashMap<K, &Place> = HashMap::new();
    for (key, place) in items {
        if let Some(first) = seen.get(&key) {
            let at = format!("{}:{}", first.file.display(), first.line);
            gathered.error(place.clone(), format!("{what} declared already at {at}: `{key}`"));
        } else {
            seen.insert(key, place);
        }
    }
}

/// A key that two operators share shows neither of them; that one person is not two operators, only people know. It is
/// the same key as another type or for another application, too: its private half signs as all of them.
fn keys(operators: &[Declared<Operator>], gathered: &Gathered) {
    let mut seen: HashMap<(&str, &[u8]), &Place> = HashMap::new();
    for operator in operators {
        let place = operator.others.first().unwrap_or(&operator.place);
        for key in &operator.item.ssh_keys {
            if let Some(first) = seen.insert(key.material().bare(), place) {
                let at = format!("{}:{}", first.file.display(), first.line);
                gathered.error(place.clone(), format!("SSH key declared already at {at}: `{key}`"));
            }
        }
    }
}

/// A token of one API must not be good at another tenant's.
fn audiences(apis: &[Declared<Api>], gathered: &Gathered) {
    let mut seen: HashMap<&str, &Declared<Api>> = HashMap::new();
    for api in apis {
        let first = seen.entry(api.item.audience.as_str()).or_insert(api);
        if first.item.tenant != api.item.tenant {
            let message = format!(
                "API `{}` of tenant `{}` has the same audience: credentials of one tenant would be good at the other's",
                first.item.name, first.item.tenant
            );
            gathered.error(api.at("audience"), message);
        }
    }
}

/// What clients know the servers of one tenant by must not be another's to have a certificate for.
fn servers(agents: &[Declared<AgentEntry>], gathered: &Gathered) {
    let mut seen: HashMap<&HostName, &Declared<AgentEntry>> = HashMap::new();
    for agent in agents {
        for name in agent.item.identity.iter().flat_map(|identity| &identity.names) {
            let first = seen.entry(name).or_insert(agent);
            if first.item.tenant != agent.item.tenant {
                let message = format!(
                    "agent `{}` of tenant `{}` has the same name: either could answer in the other's place: `{name}`",
                    first.item.name.as_str(),
                    first.item.tenant
                );
                gathered.error(agent.at("server_names"), message);
            }
        }
    }
}

/// Evidence that fits two entries is no agent, so entries with the same rules never attest.
fn indistinguishable(agents: &[Declared<AgentEntry>], gathered: &Gathered) {
    let mut seen: HashMap<Vec<String>, &Declared<AgentEntry>> = HashMap::new();
    for agent in agents {
        let rule = |rule: &crate::domain::agent::Rule| {
            let mut values = rule.any_of.clone();
            values.sort();
            format!("{}={values:?}", rule.kind)
        };
        let mut rules: Vec<String> = agent.item.rules.iter().map(rule).collect();
        rules.sort();
        if let Some(first) = seen.get(&rules) {
            let message = format!(
                "the same rules as agent `{}` at {}: evidence that fits two agents is refused",
                first.item.name.as_str(),
                first.place.file.display()
            );
            gathered.error(agent.at("rules"), message);
        } else {
            seen.insert(rules, agent);
        }
    }
}

/// Whether there are people enough to approve what needs it: nobody should find out while an agent waits.
fn approvers(apis: &[Declared<Api>], operators: &[Declared<Operator>], gathered: &Gathered) {
    for api in apis.iter().filter(|api| api.item.state == ApiState::Active) {
        let tenant = &api.item.tenant;
        let able = operators.iter().map(|operator| &operator.item).filter(|operator| {
            operator.may(Role::Approver) && operator.sees(tenant) && !operator.ssh_keys.is_empty()
        });
        let able = able.count();
        let places = api.others.iter().skip(1);
        for (action, place) in api.item.actions.iter().zip(places) {
            let needed = usize::from(action.approvals.get());
            if action.tier == Tier::Approval && able < needed {
                let message = format!(
                    "`{}` can't be had: {needed} people must approve, and {able} operators of tenant `{tenant}` have \
                     the role `approver` and `ssh_keys`",
                    action.name
                );
                gathered.warning(place.clone(), message);
            }
        }
    }
}

/// Who asked does not approve, and is known by the processes that are theirs.
fn unrecognised(operators: &[Declared<Operator>], gathered: &Gathered) {
    for operator in operators
        .iter()
        .filter(|operator| operator.item.roles.contains(&Role::Approver) && !operator.item.is_recognised())
    {
        let message = format!(
            "approver `{}` has no `uid`, `other_uids` or `spiffe_ids`: nobody can tell that they ask themselves",
            operator.item.name
        );
        gathered.warning(operator.place.clone(), message);
    }
}

/// An overdue agent is refused when it asks; here is where its owner learns of it in time.
fn overdue(agents: &[Declared<AgentEntry>], today: Day, gathered: &Gathered) {
    for agent in agents.iter().filter(|agent| agent.item.review < today) {
        let message = format!(
            "the review of agent `{}` is overdue: it gets nothing until its owner `{}` reviews it",
            agent.item.name.as_str(),
            agent.item.owner
        );
        gathered.warning(agent.at("review"), message);
    }
}
