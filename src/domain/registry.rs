//! The registry: an immutable snapshot of agents, APIs and operators, swapped as a whole.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::agent::{Agent, AgentEntry};
use super::catalogue::{Action, Api, ApiState};
use super::digest::Digest;
use super::evidence::{Evidence, Selector};
use super::lost_feed::Grace;
use super::name::{
    ActionName, AgentId, ApiName, Audience, Issuer, OperatorName, PlaybookName, TenantName, TrustDomain,
};
use super::operator::Operator;
use super::playbook::Playbook;

/// Everything declared, as one value.
#[derive(Debug)]
pub struct Registry {
    trust_domain: TrustDomain,
    issuer: Issuer,
    digest: Digest,
    agents: Vec<Arc<AgentEntry>>,
    apis: Vec<Arc<Api>>,
    operators: Vec<Arc<Operator>>,
    playbooks: Vec<Arc<Playbook>>,
    actions: HashMap<ActionName, (Arc<Api>, Arc<Action>)>,
    apis_by_name: HashMap<ApiName, Arc<Api>>,
    agents_by_first_rule: HashMap<Selector, Vec<usize>>,
}

/// The parts that a registry is made of, already checked one by one and against each other.
#[derive(Debug)]
pub struct Parts {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// The issuer of tokens.
    pub issuer: Issuer,
    /// Digest of the files it came from.
    pub digest: Digest,
    /// Agents and templates.
    pub agents: Vec<AgentEntry>,
    /// APIs with their actions.
    pub apis: Vec<Api>,
    /// Operators.
    pub operators: Vec<Operator>,
    /// Break-glass playbooks.
    pub playbooks: Vec<Playbook>,
}

/// Why evidence is no agent.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unidentified {
    /// More than one entry matches; the evidence does not single one out.
    #[error("the evidence matches {0} registered agents, expected one")]
    Ambiguous(usize),
    /// No entry matches.
    #[error("the evidence matches no registered agent")]
    Unknown,
}

impl Registry {
    /// A registry of these parts, indexed.
    pub fn new(parts: Parts) -> Self {
        let agents: Vec<Arc<AgentEntry>> = parts.agents.into_iter().map(Arc::new).collect();
        let apis: Vec<Arc<Api>> = parts.apis.into_iter().map(Arc::new).collect();
        let mut actions = HashMap::new();
        for api in &apis {
            for action in &api.actions {
                actions.insert(action.name.clone(), (Arc::clone(api), Arc::clone(action)));
            }
        }
        Self {
            trust_domain: parts.trust_domain,
            issuer: parts.issuer,
            digest: parts.digest,
            apis_by_name: apis.iter().map(|api| (api.name.clone(), Arc::clone(api))).collect(),
            agents_by_first_rule: index(&agents),
            agents,
            apis,
            operators: parts.operators.into_iter().map(Arc::new).collect(),
            playbooks: parts.playbooks.into_iter().map(Arc::new).collect(),
            actions,
        }
    }

    /// The trust domain we are the authority of.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The issuer of tokens.
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Digest of the files it came from.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Agents and templates, in the order of their files.
    pub fn agents(&self) -> &[Arc<AgentEntry>] {
        &self.agents
    }

    /// APIs, in the order of their files.
    pub fn apis(&self) -> &[Arc<Api>] {
        &self.apis
    }

    /// The API of this name, when credentials are issued for it.
    pub fn active_api(&self, name: &ApiName) -> Option<&Arc<Api>> {
        self.apis_by_name.get(name).filter(|api| api.state == ApiState::Active)
    }

    /// For how long verifiers go on without the feed, by audience; those of any other refuse. An audience that
    /// several APIs share is as strict as the strictest of them.
    pub fn graces(&self) -> HashMap<&Audience, Grace> {
        let mut graces: HashMap<&Audience, Option<Grace>> = HashMap::new();
        for api in self.apis.iter().filter(|api| api.state == ApiState::Active) {
            let grace = api.on_lost_feed.grace();
            // None is the least.
            graces.entry(&api.audience).and_modify(|held| *held = (*held).min(grace)).or_insert(grace);
        }
        graces.into_iter().filter_map(|(audience, grace)| grace.map(|grace| (audience, grace))).collect()
    }

    /// Operators.
    pub fn operators(&self) -> &[Arc<Operator>] {
        &self.operators
    }

    /// Break-glass playbooks, in the order of their files.
    pub fn playbooks(&self) -> &[Arc<Playbook>] {
        &self.playbooks
    }

    /// The playbook of this name.
    pub fn playbook(&self, name: &PlaybookName) -> Option<&Arc<Playbook>> {
        self.playbooks.iter().find(|playbook| playbook.name == *name)
    }

    /// The operators whose signatures count for `playbook`.
    pub fn responders<'a>(&'a self, playbook: &'a Playbook) -> impl Iterator<Item = &'a Arc<Operator>> {
        self.operators.iter().filter(|operator| playbook.may_sign(operator))
    }

    /// The one agent that this evidence is. The cost does not grow with the number of agents.
    ///
    /// # Errors
    /// When it is none, or could be several: a guess would be a misattribution.
    pub fn identify(&self, evidence: &Evidence) -> Result<Agent, Unidentified> {
        // An entry can be found by several values of its first rule.
        let at: BTreeSet<usize> = evidence
            .selectors()
            .filter_map(|selector| self.agents_by_first_rule.get(selector))
            .flatten()
            .copied()
            .collect();
        let mut found: Vec<Agent> = at
            .into_iter()
            .filter_map(|at| self.agents.get(at))
            .filter_map(|entry| entry.resolve(&self.trust_domain, evidence))
            .collect();
        match (found.pop(), found.len()) {
            (None, _) => Err(Unidentified::Unknown),
            (Some(agent), 0) => Ok(agent),
            (Some(_), others) => Err(Unidentified::Ambiguous(others.saturating_add(1))),
        }
    }

    /// The agent of this id as the registry has it now: an entry of that name, or a template that could
    /// have made it. For explanations, never for identification.
    pub fn agent_by_id(&self, id: &AgentId) -> Option<Agent> {
        let fits =
            |entry: &&Arc<AgentEntry>| entry.tenant == *id.tenant() && entry.name.could_make(id.name());
        let entry = self.agents.iter().find(fits)?;
        Some(Agent { id: id.clone(), entry: Arc::clone(entry) })
    }

    /// An action that agents of `tenant` can ask for. An action of another tenant's API is not there at
    /// all, so that its existence does not show (promise P12).
    pub fn action(&self, tenant: &TenantName, name: &ActionName) -> Option<(&Arc<Api>, &Arc<Action>)> {
        let (api, action) = self.actions.get(name)?;
        (api.tenant == *tenant && api.state == ApiState::Active).then_some((api, action))
    }

    /// The operator of this name.
    pub fn operator_by_name(&self, name: &OperatorName) -> Option<&Arc<Operator>> {
        self.operators.iter().find(|operator| operator.name == *name)
    }

    /// The operator that `uid` is on the admin socket.
    pub fn operator_by_uid(&self, uid: u32) -> Option<&Arc<Operator>> {
        self.operators.iter().find(|operator| operator.uid == Some(uid))
    }
}

/// Entries by the selectors of their first rule, so that identification looks up instead of searching.
fn index(agents: &[Arc<AgentEntry>]) -> HashMap<Selector, Vec<usize>> {
    let mut index: HashMap<Selector, Vec<usize>> = HashMap::new();
    for (at, entry) in agents.iter().enumerate() {
        for rule in entry.rules.iter().take(1) {
            for value in &rule.any_of {
                let selector = Selector { kind: rule.kind.clone(), value: Arc::clone(value) };
                index.entry(selector).or_default().push(at);
            }
        }
    }
    index
}
