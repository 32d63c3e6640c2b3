//! What a lock bears on: whom and what it stops, told to whoever locked. Pure, and no decision hangs on it: the ledger asks
//! the lock itself.

use std::sync::Arc;

use super::agent::{AgentEntry, AgentState};
use super::approval::{Approvals, State};
use super::catalogue::{Api, ApiState};
use super::name::{AgentId, TenantName};
use super::registry::Registry;
use super::revocation::{Facts, Lock, Party, Selector};
use super::time::Timestamp;

/// What a lock stops, by the registry and the requests of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Active declared actions that nobody gets any more; `None` where the selector names no action as a whole.
    pub actions: Option<usize>,
    /// Active registered agents, a template as one, that get nothing any more; `None` where the selector names no agent as a
    /// whole.
    pub agents: Option<usize>,
    /// Requests for approval, waiting or approved, on which nothing is issued while it lasts.
    pub approvals: usize,
}

/// What `lock` stops at `now`.
pub fn stopped(lock: &Lock, registry: &Registry, approvals: &Approvals, now: Timestamp) -> Stopped {
    let stops = |asked: &Facts<'_>| within(lock, asked.agent.tenant()) && asked.named_by(&lock.selector);
    let waiting = approvals.iter().filter(|one| matches!(one.state(now), State::Approved | State::Pending));
    Stopped {
        actions: actions(lock, registry),
        agents: agents(lock, registry),
        approvals: waiting.filter(|one| stops(&Facts::from(&*one.asked))).count(),
    }
}

fn within(lock: &Lock, tenant: &TenantName) -> bool {
    lock.tenants.is_empty() || lock.tenants.contains(tenant)
}

fn agents(lock: &Lock, registry: &Registry) -> Option<usize> {
    let active = |entry: &AgentEntry| entry.state == AgentState::Active && within(lock, &entry.tenant);
    let those = |named: &dyn Fn(&AgentEntry) -> bool| {
        Some(registry.agents().iter().filter(|entry| active(entry) && named(entry)).count())
    };
    // One that a template makes is not among the entries.
    let one = |id: &AgentId, of: &dyn Fn(&AgentEntry) -> bool| {
        usize::from(registry.agent_by_id(id).is_some_and(|agent| active(&agent.entry) && of(&agent.entry)))
    };
    match &lock.selector {
        Selector::Agent(id) => Some(one(id, &|_| true)),
        Selector::All => those(&|_| true),
        Selector::Owner(owner) => those(&|entry| *entry.owner == *owner.as_str()),
        Selector::Principal(party) => {
            let for_it = those(&|entry| entry.principal.as_deref() == Some(party.as_str()))?;
            Some(
                for_it.saturating_add(itself(party).map_or(0, |id| one(&id, &|own| own.principal.is_none()))),
            )
        }
        Selector::Tenant(tenant) => those(&|entry| entry.tenant == *tenant),
        Selector::Action(_)
        | Selector::Api(_)
        | Selector::Attested(_)
        | Selector::Credential(_)
        | Selector::Key(_)
        | Selector::Lineage(_)
        | Selector::Resource(_)
        | Selector::Serial(_) => None,
    }
}

/// The agent that acts for nobody but itself.
fn itself(party: &Party) -> Option<AgentId> {
    party.as_str().parse().ok()
}

fn actions(lock: &Lock, registry: &Registry) -> Option<usize> {
    let those = |named: &dyn Fn(&Api) -> usize| {
        let mine = |api: &&Arc<Api>| api.state == ApiState::Active && within(lock, &api.tenant);
        Some(registry.apis().iter().filter(mine).map(|api| named(api)).sum())
    };
    let all_if = |holds: bool, api: &Api| if holds { api.actions.len() } else { 0 };
    match &lock.selector {
        Selector::Action(name) => {
            those(&|api| api.actions.iter().filter(|action| action.name == *name).count())
        }
        Selector::All => those(&|api| all_if(true, api)),
        Selector::Api(name) => those(&|api| all_if(api.name == *name, api)),
        // Only agents of its own tenant get an API's actions.
        Selector::Tenant(tenant) => those(&|api| all_if(api.tenant == *tenant, api)),
        Selector::Agent(_)
        | Selector::Attested(_)
        | Selector::Credential(_)
        | Selector::Key(_)
        | Selector::Lineage(_)
        | Selector::Owner(_)
        | Selector::Principal(_)
        | Selector::Resource(_)
        | Selector::Serial(_) => None,
    }
}
