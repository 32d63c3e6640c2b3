//! Checks policies against the registry: what Cedar's strict validator finds, and what only the registry
//! knows: names that nobody has, resources that no action takes, grants without a bound.

use std::collections::{HashMap, HashSet};

use cedar_policy::{EntityUid, PolicySet, Schema, ValidationError, ValidationMode, Validator};

use crate::domain::catalogue::{Action, Api, ApiState};
use crate::domain::registry::Registry;
use crate::domain::resource::Resource;

use super::load::{Parsed, offset_of, said};
use super::scope::{To, Which, Who};
use super::{Problem, Severity, schema};

/// Everything that is wrong with the policies, in no order.
pub(super) fn check(parsed: &[Parsed<'_>], registry: &Registry, schema: Schema) -> Vec<Problem> {
    let known = Known::of(registry);
    let mut problems = Vec::new();
    let mut strangers = HashSet::new();
    for one in parsed {
        let unknown = unknown_names(one, &known);
        if unknown.is_empty() {
            problems.extend(impossible_resource(one, registry));
            problems.extend(retired(one, registry));
        } else {
            strangers.insert(one.meta.name.as_str());
        }
        problems.extend(unknown);
        problems.extend(wildcard(one));
    }
    problems.extend(validated(parsed, schema, &strangers));
    problems
}

/// The names that the registry has.
struct Known {
    actions: HashSet<String>,
    agents: HashSet<String>,
    groups: HashSet<String>,
    tenants: HashSet<String>,
}

impl Known {
    fn of(registry: &Registry) -> Self {
        let entries = registry.agents();
        let td = registry.trust_domain();
        let id = |tenant: &dyn std::fmt::Display, name: &str| {
            format!("spiffe://{td}/tenant/{tenant}/agent/{name}")
        };
        let plain = entries.iter().filter(|entry| !entry.name.is_template());
        let agents = plain.map(|entry| id(&entry.tenant, entry.name.as_str())).collect();
        let groups = entries.iter().flat_map(|entry| &entry.groups).map(ToString::to_string).collect();
        let tenants =
            entries.iter().map(|entry| &entry.tenant).chain(registry.apis().iter().map(|api| &api.tenant));
        let words = registry.apis().iter().flat_map(|api| {
            let names = api.actions.iter().flat_map(|a| [a.name.as_str(), a.access.as_str()]);
            names.chain(schema::group_of(&api.name)).map(str::to_owned).collect::<Vec<_>>()
        });
        let classes = ["destructive", "read", "write"].map(str::to_owned);
        Self {
            actions: words.chain(classes).collect(),
            agents,
            groups,
            tenants: tenants.map(ToString::to_string).collect(),
        }
    }

    /// Why `uid` is nothing that the registry has.
    fn objection(&self, uid: &EntityUid) -> Option<String> {
        let (kind, id) = (uid.type_name().to_string(), uid.id().unescaped());
        let (known, what) = match kind.as_str() {
            "Action" => (self.actions.contains(id), "no action, API or access class is called"),
            "Agent" => (
                self.agents.contains(id),
                "no registered agent (a template's agents are reached by a group) is called",
            ),
            "Group" => (self.groups.contains(id), "no agent is in a group called"),
            "Resource" => (id.parse::<Resource>().is_ok(), "nothing can be called"),
            "Tenant" => (self.tenants.contains(id), "no agent or API is of a tenant called"),
            _ => return None,
        };
        (!known).then(|| format!("{what} `{id}`"))
    }
}

fn unknown_names(one: &Parsed<'_>, known: &Known) -> Vec<Problem> {
    let literals: HashSet<EntityUid> = one.policy.entity_literals().into_iter().collect();
    let objection = |uid: &EntityUid| {
        let message = known.objection(uid)?;
        // Cedar keeps no place for a name; one spelt with spaces is reported at the policy's beginning.
        let offset = one.piece.text.find(&uid.to_string()).unwrap_or(0);
        Some(one.problem(offset, Severity::Error, message))
    };
    literals.iter().filter_map(objection).collect()
}

/// A permit that holds for every agent or every action outlives what its author thought of.
fn wildcard(one: &Parsed<'_>) -> Vec<Problem> {
    if !one.meta.permit {
        return Vec::new();
    }
    let warning = |message: &str| one.problem(0, Severity::Warning, message.to_owned());
    let who = (one.meta.who == Who::Any).then(|| {
        warning("wildcard grant: it permits every agent of every tenant; name agents, a group or a tenant")
    });
    let which = (one.meta.which == Which::Any).then(|| {
        warning(
            "wildcard grant: it permits every action there is or will be; name actions or a group of them",
        )
    });
    who.into_iter().chain(which).collect()
}

fn covered<'a>(one: &'a Parsed<'_>, registry: &'a Registry) -> impl Iterator<Item = (&'a Api, &'a Action)> {
    let pairs =
        registry.apis().iter().flat_map(|api| api.actions.iter().map(move |action| (&**api, &**action)));
    pairs.filter(|(api, action)| one.meta.which.covers(api, action))
}

/// A resource in the head that none of the actions takes.
fn impossible_resource(one: &Parsed<'_>, registry: &Registry) -> Option<Problem> {
    let (path, below) = match &one.meta.to {
        To::Any => return None,
        To::At(path) => (path, false),
        To::Below(path) => (path, true),
    };
    let mut actions = covered(one, registry).peekable();
    actions.peek()?;
    if actions.any(|(api, action)| takes(action, api, path, below)) {
        return None;
    }
    let offset = one.piece.text.find(&format!("Resource::\"{path}\"")).unwrap_or(0);
    let message = format!("it can never match: none of its actions takes the resource `{path}`");
    Some(one.problem(offset, Severity::Error, message))
}

/// Whether the action takes the resource `path`, or something `below` it.
fn takes(action: &Action, api: &Api, path: &str, below: bool) -> bool {
    let fits = |(declared, given): (&str, &str)| match declared {
        "{tenant}" => given == api.tenant.as_str(),
        _ => declared.starts_with('{') || declared == given,
    };
    let pattern: Vec<&str> = action.resource.as_str().split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    let sized = if below { given.len() <= pattern.len() } else { given.len() == pattern.len() };
    sized && pattern.into_iter().zip(given).all(fits)
}

/// A permit whose actions are all of retired APIs.
fn retired(one: &Parsed<'_>, registry: &Registry) -> Option<Problem> {
    let Which::Named(_) = one.meta.which else { return None };
    let mut states = covered(one, registry).map(|(api, _)| api).peekable();
    let first = states.peek()?.name.clone();
    let all = one.meta.permit && states.all(|api| api.state == ApiState::Retired);
    all.then(|| {
        let message = format!("it grants actions of retired APIs only; remove it, the API is `{first}`");
        one.problem(0, Severity::Warning, message)
    })
}

/// What Cedar's own validator says. Its warnings are errors here: a policy that can never match does not do
/// what its author thinks, and look-alike letters or bidirectional marks have no place in one.
fn validated(parsed: &[Parsed<'_>], schema: Schema, strangers: &HashSet<&str>) -> Vec<Problem> {
    let by_id: HashMap<&str, &Parsed<'_>> = parsed.iter().map(|one| (one.meta.name.as_str(), one)).collect();
    let mut set = PolicySet::new();
    for one in parsed {
        // Two of one id are reported as such; the second can't be added and is not validated.
        let _ = set.add(one.policy.clone());
    }
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let errors = result.validation_errors().filter_map(|error| {
        let one = by_id.get(error.policy_id().to_string().as_str())?;
        let of_name = matches!(
            error,
            ValidationError::UnrecognizedActionId(_) | ValidationError::InvalidActionApplication(_)
        );
        let reported = of_name && strangers.contains(one.meta.name.as_str());
        (!reported).then(|| finding(one, error, ""))
    });
    let warnings = result.validation_warnings().filter_map(|warning| {
        let one = by_id.get(warning.policy_id().to_string().as_str())?;
        let reported = strangers.contains(one.meta.name.as_str());
        (!reported).then(|| finding(one, warning, "it can never match, or is not what it looks like: "))
    });
    let mut found: Vec<Problem> = errors.chain(warnings).collect();
    // The validator repeats itself for each action that the policy covers: one for each place will do.
    found.sort_by(|a, b| (&a.path, &a.policy, a.line, a.column).cmp(&(&b.path, &b.policy, b.line, b.column)));
    found.dedup_by(|a, b| (&a.path, &a.policy, a.line, a.column) == (&b.path, &b.policy, b.line, b.column));
    found
}

/// A finding of the validator, without the policy's id, which the problem has anyway.
fn finding(one: &Parsed<'_>, diagnostic: &dyn miette::Diagnostic, prefix: &str) -> Problem {
    let text = said(diagnostic);
    let own = format!("for policy `{}`, ", one.meta.name);
    let message = format!("{prefix}{}", text.strip_prefix(&own).unwrap_or(&text));
    one.problem(offset_of(diagnostic), Severity::Error, message)
}
