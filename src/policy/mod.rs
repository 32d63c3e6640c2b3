//! What policies say: Cedar behind a pure type.
//!
//! Knows the registry's agents and actions, and nothing of stores, evidence or keys. No free text is an
//! input of a decision: a request has names, numbers and listed texts only (promise P13). Tier, caps and
//! tenant isolation stand outside, in the catalogue, so that no policy can grant past them.

mod check;
mod explain;
mod load;
mod question;
mod schema;
mod scope;
mod slice;
mod split;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cedar_policy::{Authorizer, Decision, PolicyId};

use crate::domain::agent::Agent;
use crate::domain::catalogue::{Action, Api, ApiState};
use crate::domain::name::{ActionName, PolicyName, Purpose};
use crate::domain::parameter::Parameter;
use crate::domain::registry::Registry;
use crate::domain::resource::Resource;
use crate::domain::time::Ttl;

pub use schema::is_access_class;

use question::{ActionFacts, Named};
use scope::Meta;
use slice::Index;

/// One policy file, already read.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's stem: policies without an `@id` are called `name#1`, `name#2` and so on.
    pub name: String,
    /// Where it is, for messages.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Something wrong with a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The policy, when the text is one.
    pub policy: Option<PolicyName>,
    /// What is wrong and what would be right.
    pub message: String,
    /// Whether it stops the load.
    pub severity: Severity,
}

/// Whether a problem stops a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is loaded.
    Error,
    /// It loads; a person should look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// What is to be decided. The caller has held the request to the catalogue before: the parameters are those
/// that the action declares, each of its type.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who asks.
    pub agent: &'a Agent,
    /// The action's API.
    pub api: &'a Api,
    /// What it asks to do.
    pub action: &'a Action,
    /// To what.
    pub resource: &'a Resource,
    /// For how long.
    pub ttl: Ttl,
    /// With what parameters.
    pub parameters: &'a [Parameter],
    /// Why, as a code.
    pub purpose: Option<&'a Purpose>,
}

/// What the policies say to a query. Everything but [`Verdict::Allow`] denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These permit it, and none forbids it.
    Allow {
        /// The permits that apply, sorted.
        policies: Vec<PolicyName>,
    },
    /// A policy that could apply can't be evaluated for this query, so nobody knows what it would have said.
    Failed,
    /// These forbid it, whatever permits it.
    Forbid {
        /// The forbids that apply, sorted.
        policies: Vec<PolicyName>,
    },
    /// None permits it.
    NoPermit,
}

/// A verdict with what an operator needs to understand and change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// Policies that decided, or that came nearest to permitting it, nearest first.
    pub nearest: Vec<PolicyName>,
    /// The smallest change that would allow it, in one sentence.
    pub suggestion: String,
}

/// A checked, indexed, immutable set of policies.
///
/// A decision evaluates exactly those policies whose scope names the action (or a group of it) and the agent
/// (or a group or the tenant of it), so its cost does not grow with the number of the others.
pub struct Policies {
    authorizer: Authorizer,
    metas: Vec<Meta>,
    by_id: HashMap<PolicyId, usize>,
    actions: HashMap<ActionName, ActionFacts>,
    named: Named,
    index: Index,
    #[cfg(test)]
    all: cedar_policy::PolicySet,
}

impl Policies {
    /// Parses, checks and indexes the policies of `sources` against `registry`. `None` when a problem is an
    /// error; all problems are reported at once.
    pub fn load(sources: &[Source], registry: &Registry) -> (Option<Self>, Vec<Problem>) {
        load::load(sources, registry)
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.metas.len()
    }

    /// Whether there is none: then everything is denied.
    pub fn is_empty(&self) -> bool {
        self.metas.is_empty()
    }

    /// Decides. Default is deny, forbid beats permit, and a policy that can't be evaluated denies.
    pub fn decide(&self, query: &Query<'_>) -> Verdict {
        let Some(facts) = self.actions.get(&query.action.name) else { return Verdict::NoPermit };
        let slices: Vec<&slice::Slice> = self.index.slices(facts, query.agent).collect();
        let mut tally = Tally::default();
        for head in slices.iter().flat_map(|slice| &slice.heads) {
            if head.to.covers(query.resource) {
                tally.note(head);
            }
        }
        let conditional: Vec<&slice::Slice> =
            slices.into_iter().filter(|slice| !slice.set.is_empty()).collect();
        if conditional.is_empty() {
            return tally.verdict();
        }
        let with_context = conditional.iter().any(|slice| slice.reads_context);
        let Ok(question) = question::Question::new(query, facts, &self.named, with_context) else {
            return Verdict::Failed;
        };
        for slice in conditional {
            let response = self.authorizer.is_authorized(&question.request, &slice.set, &question.entities);
            tally.add(&response, |id| self.name_of(id));
        }
        tally.verdict()
    }

    /// Decides, and says what is nearest and what would change it. For operators: agents learn the reason
    /// code only.
    pub fn explain(&self, query: &Query<'_>) -> Explanation {
        explain::explain(&self.metas, query, self.decide(query))
    }

    /// The actions for which some policy could permit `agent`, sorted. Conditions are not looked at.
    pub fn actions_named_for(&self, agent: &Agent, registry: &Registry) -> Vec<ActionName> {
        let open = |api: &&Arc<Api>| api.tenant == *agent.id.tenant() && api.state == ApiState::Active;
        let named = |name: &ActionName| {
            let facts = self.actions.get(name);
            facts.is_some_and(|facts| self.index.slices(facts, agent).any(|slice| slice.permits))
        };
        let actions = registry.apis().iter().filter(open).flat_map(|api| &api.actions);
        let mut names: Vec<ActionName> = actions.map(|action| action.name.clone()).filter(named).collect();
        names.sort();
        names
    }

    fn name_of(&self, id: &PolicyId) -> Option<PolicyName> {
        self.by_id.get(id).and_then(|at| self.metas.get(*at)).map(|meta| meta.name.clone())
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What the slices said so far.
#[derive(Default)]
struct Tally {
    failed: bool,
    forbids: Vec<PolicyName>,
    permits: Vec<PolicyName>,
}

impl Tally {
    fn note(&mut self, head: &slice::Head) {
        let list = if head.permit { &mut self.permits } else { &mut self.forbids };
        list.push(head.name.clone());
    }

    fn add(&mut self, response: &cedar_policy::Response, name: impl Fn(&PolicyId) -> Option<PolicyName>) {
        self.failed |= response.diagnostics().errors().next().is_some();
        let reasons = response.diagnostics().reason().filter_map(name);
        match response.decision() {
            Decision::Allow => self.permits.extend(reasons),
            Decision::Deny => self.forbids.extend(reasons),
        }
    }

    fn verdict(self) -> Verdict {
        // A policy that names an action twice, itself and by its group, is in two slices, or twice in one.
        let sorted = |mut names: Vec<PolicyName>| {
            names.sort();
            names.dedup();
            names
        };
        match (self.failed, self.forbids.is_empty(), self.permits.is_empty()) {
            (true, _, _) => Verdict::Failed,
            (false, false, _) => Verdict::Forbid { policies: sorted(self.forbids) },
            (false, true, false) => Verdict::Allow { policies: sorted(self.permits) },
            (false, true, true) => Verdict::NoPermit,
        }
    }
}

#[cfg(test)]
mod tests;
