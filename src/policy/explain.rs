//! Says to an operator what is nearest to a decision, and the smallest change that would turn it.

use crate::domain::name::PolicyName;

use super::scope::{Meta, To, Who};
use super::{Explanation, Query, Verdict};

/// Policies named in one explanation; more is no help.
const NEAREST_MAX: usize = 5;

/// How near a permit that does not apply is, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Near {
    /// Agent, action and resource are right: a condition is not.
    Condition,
    /// Agent and action are right.
    Resource,
    /// The action and the resource are right.
    Agent,
    /// The action is right.
    AgentAndResource,
    /// The agent is named itself, with other actions.
    Action,
}

pub(super) fn explain(metas: &[Meta], query: &Query<'_>, verdict: Verdict) -> Explanation {
    let ranked = rank(metas, query);
    let (nearest, suggestion) = match &verdict {
        Verdict::Allow { policies } => {
            (policies.clone(), "nothing needs to change: it is permitted".to_owned())
        }
        Verdict::Forbid { policies } => {
            let change = format!("narrow or remove each forbid that applies: {}", list(policies));
            (policies.clone(), change)
        }
        Verdict::Failed => {
            let names: Vec<PolicyName> = metas
                .iter()
                .filter(|meta| covers(meta, query))
                .map(|meta| meta.name.clone())
                .take(NEAREST_MAX)
                .collect();
            let change = "mend the policy that can't be evaluated for this request (an overflow, or a parameter \
                          that is not there): a failed evaluation denies";
            (names, change.to_owned())
        }
        Verdict::NoPermit => {
            let names = ranked.iter().map(|(_, meta)| meta.name.clone()).take(NEAREST_MAX).collect();
            (names, suggest(ranked.first(), query))
        }
    };
    Explanation { verdict, nearest, suggestion }
}

fn covers(meta: &Meta, query: &Query<'_>) -> bool {
    meta.who.covers(query.agent)
        && meta.which.covers(query.api, query.action)
        && meta.to.covers(query.resource)
}

fn rank<'a>(metas: &'a [Meta], query: &Query<'_>) -> Vec<(Near, &'a Meta)> {
    let mut ranked: Vec<(Near, &Meta)> =
        metas.iter().filter(|meta| meta.permit).filter_map(|meta| Some((near(meta, query)?, meta))).collect();
    ranked.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    ranked
}

fn near(meta: &Meta, query: &Query<'_>) -> Option<Near> {
    let who = meta.who.covers(query.agent);
    let to = meta.to.covers(query.resource);
    if meta.which.covers(query.api, query.action) {
        return Some(match (who, to) {
            (true, true) => Near::Condition,
            (true, false) => Near::Resource,
            (false, true) => Near::Agent,
            (false, false) => Near::AgentAndResource,
        });
    }
    // A permit for everybody's other actions says nothing about this agent.
    (who && meta.who != Who::Any).then_some(Near::Action)
}

fn suggest(nearest: Option<&(Near, &Meta)>, query: &Query<'_>) -> String {
    let Some((near, meta)) = nearest else { return new_policy(query) };
    let (name, action, resource, agent) = (&meta.name, &query.action.name, query.resource, &query.agent.id);
    match near {
        Near::Condition => format!(
            "ask within the `when` and `unless` conditions of policy `{name}`, or widen them: its head already \
             covers this agent, action and resource"
        ),
        Near::Resource => format!(
            "let policy `{name}` cover resource `{resource}` besides {}",
            match &meta.to {
                To::Any => "its own".to_owned(),
                To::At(path) => format!("`{path}`"),
                To::Below(path) => format!("what is in `{path}`"),
            }
        ),
        Near::Agent | Near::AgentAndResource => {
            let change = match &meta.who {
                Who::Group(group) => format!(
                    "put agent `{agent}` into group `{group}`, which policy `{name}` permits `{action}`"
                ),
                Who::Agent(_) | Who::Any | Who::Nobody | Who::Tenant(_) => {
                    format!("let policy `{name}`, which permits `{action}`, cover agent `{agent}`")
                }
            };
            if *near == Near::Agent { change } else { format!("{change}, and cover resource `{resource}`") }
        }
        Near::Action => format!(
            "add `Action::\"{action}\"` to the actions of policy `{name}`, which permits this agent others, for \
             resource `{resource}`"
        ),
    }
}

fn new_policy(query: &Query<'_>) -> String {
    format!(
        "add a policy: permit (principal == Agent::\"{}\", action == Action::\"{}\", resource == Resource::\"{}\");",
        query.agent.id, query.action.name, query.resource
    )
}

fn list(names: &[PolicyName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
