//! The index: policies by the actions and the agents that their heads name.
//!
//! A policy that is not in the slices of a query can't apply to it, because its head does not. Cedar looks
//! at the head before the conditions, so what is left out could not have failed either. And a policy that
//! is in them needs no second look at the agent and the action of its head: what is asked is the rest, so
//! that groups and tenants need not be entities (a transitive closure over them is half of Cedar's cost).
//! A policy without conditions is a head and nothing else: its resource is compared here, and Cedar is not
//! asked at all.

use std::collections::HashMap;

use cedar_policy::{Policy, PolicySet, PolicySetError};

use crate::domain::agent::Agent;
use crate::domain::name::PolicyName;

use super::question::ActionFacts;
use super::scope::{Meta, To, Which, Who};

/// The policy without the agent and the action of its head, which its place in the index stands for. The
/// policy as it is, when Cedar does not take the change: it decides the same, only slower.
pub(super) fn rest(policy: &Policy) -> Policy {
    let without_head = || {
        let mut json = policy.to_json().ok()?;
        let head = json.as_object_mut()?;
        for part in ["principal", "action"] {
            head.insert(part.to_owned(), serde_json::json!({ "op": "All" }));
        }
        Policy::from_json(Some(policy.id().clone()), json).ok()
    };
    without_head().unwrap_or_else(|| policy.clone())
}

/// The policies of one pair of action word and agent scope.
#[derive(Default)]
pub(super) struct Slice {
    /// Those that are heads only.
    pub(super) heads: Vec<Head>,
    /// The others.
    pub(super) set: PolicySet,
    pub(super) reads_context: bool,
    pub(super) permits: bool,
}

/// What is left of a policy without conditions, beside its place in the index.
pub(super) struct Head {
    pub(super) name: PolicyName,
    pub(super) permit: bool,
    pub(super) to: To,
}

impl Slice {
    fn add(&mut self, meta: &Meta, policy: &Policy) -> Result<(), Box<PolicySetError>> {
        self.permits |= meta.permit;
        if meta.plain {
            self.heads.push(Head { name: meta.name.clone(), permit: meta.permit, to: meta.to.clone() });
            return Ok(());
        }
        // `action in [A, A]` names one action twice.
        if self.set.policy(policy.id()).is_none() {
            self.set.add(policy.clone()).map_err(Box::new)?;
        }
        self.reads_context |= meta.reads_context;
        Ok(())
    }
}

/// The slices of one action word.
#[derive(Default)]
struct ByAgent {
    agents: HashMap<Box<str>, Slice>,
    any: Option<Slice>,
    groups: HashMap<Box<str>, Slice>,
    tenants: HashMap<Box<str>, Slice>,
}

impl ByAgent {
    fn slot(&mut self, who: &Who) -> Option<&mut Slice> {
        match who {
            Who::Agent(id) => Some(self.agents.entry(Box::from(&**id)).or_default()),
            Who::Any => Some(self.any.get_or_insert_default()),
            Who::Group(name) => Some(self.groups.entry(Box::from(&**name)).or_default()),
            Who::Nobody => None,
            Who::Tenant(name) => Some(self.tenants.entry(Box::from(&**name)).or_default()),
        }
    }

    fn slices<'a>(&'a self, agent: &'a Agent) -> impl Iterator<Item = &'a Slice> {
        let groups = agent.entry.groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        self.any
            .iter()
            .chain(self.agents.get(agent.id.as_str()))
            .chain(self.tenants.get(agent.id.tenant().as_str()))
            .chain(groups)
    }
}

/// All slices.
#[derive(Default)]
pub(super) struct Index {
    any: ByAgent,
    words: HashMap<Box<str>, ByAgent>,
}

impl Index {
    /// Puts a policy under each action word and the agent scope that its head names.
    ///
    /// # Errors
    /// When Cedar does not take the policy into a set.
    pub(super) fn add(&mut self, meta: &Meta, policy: &Policy) -> Result<(), Box<PolicySetError>> {
        match &meta.which {
            Which::Any => add(&mut self.any, meta, policy),
            Which::Named(names) => names
                .iter()
                .try_for_each(|name| add(self.words.entry(Box::from(&**name)).or_default(), meta, policy)),
        }
    }

    /// The slices whose heads cover the action and the agent. A policy can be in more than one.
    pub(super) fn slices<'a>(
        &'a self,
        facts: &'a ActionFacts,
        agent: &'a Agent,
    ) -> impl Iterator<Item = &'a Slice> {
        let words = facts.words.iter().filter_map(|word| self.words.get(word));
        std::iter::once(&self.any).chain(words).flat_map(move |by_agent| by_agent.slices(agent))
    }
}

fn add(by_agent: &mut ByAgent, meta: &Meta, policy: &Policy) -> Result<(), Box<PolicySetError>> {
    by_agent.slot(&meta.who).map_or(Ok(()), |slice| slice.add(meta, policy))
}
