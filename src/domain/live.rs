//! How many credentials are live, by agent, without a look at the records.

use std::collections::{BTreeMap, HashMap};

use super::name::{AgentId, TenantName};
use super::revocation::Selector;
use super::time::Timestamp;

/// Counts of credentials by agent and second of expiry. At most [`super::limits::TTL_SECONDS_MAX`]
/// seconds are kept for each agent.
#[derive(Clone, Debug, Default)]
pub struct LiveCounts {
    agents: HashMap<AgentId, BTreeMap<i64, u64>>,
    all: BTreeMap<i64, u64>,
}

impl LiveCounts {
    /// A credential of `agent` was issued.
    pub fn add(&mut self, agent: &AgentId, expires: Timestamp) {
        if !self.agents.contains_key(agent) {
            self.agents.insert(agent.clone(), BTreeMap::new());
        }
        if let Some(seconds) = self.agents.get_mut(agent) {
            *seconds.entry(expires.seconds()).or_default() += 1;
            *self.all.entry(expires.seconds()).or_default() += 1;
        }
    }

    /// A live credential of `agent` ended early.
    pub fn remove(&mut self, agent: &AgentId, expires: Timestamp) {
        let seconds = expires.seconds();
        let count = self.agents.get_mut(agent).and_then(|known| known.get_mut(&seconds));
        if let Some(count) = count.filter(|count| **count > 0) {
            *count -= 1;
            take(&mut self.all, seconds, 1);
        }
    }

    /// All that `selector` names of the agents of `tenants` (of all when empty) ended, where the counts can
    /// tell.
    pub fn clear(&mut self, selector: &Selector, tenants: &[TenantName]) {
        let covered = |agent: &AgentId| names(selector, agent) && in_scope(tenants, agent);
        let all = &mut self.all;
        let mut drop_agent = |seconds: &BTreeMap<i64, u64>| {
            seconds.iter().for_each(|(second, count)| take(all, *second, *count));
        };
        if let Selector::Agent(agent) = selector {
            if covered(agent) {
                self.agents.remove(agent).iter().for_each(drop_agent);
            }
            return;
        }
        self.agents.retain(|agent, seconds| {
            let keep = !covered(agent);
            if !keep {
                drop_agent(seconds);
            }
            keep
        });
    }

    /// Live credentials of `agent` at `now`.
    pub fn of_agent(&self, agent: &AgentId, now: Timestamp) -> u64 {
        self.agents.get(agent).map_or(0, |seconds| sum(seconds, now))
    }

    /// Live credentials at `now` that `selector` names of the agents of `tenants` (of all when empty);
    /// `None` where only a look at the records tells.
    pub fn covered(&self, selector: &Selector, tenants: &[TenantName], now: Timestamp) -> Option<u64> {
        match selector {
            Selector::Agent(agent) if in_scope(tenants, agent) => Some(self.of_agent(agent, now)),
            Selector::Agent(_) => Some(0),
            Selector::All if tenants.is_empty() => Some(self.total(now)),
            Selector::All | Selector::Tenant(_) => {
                let covered = |agent: &AgentId| names(selector, agent) && in_scope(tenants, agent);
                let counted = self.agents.iter().filter(|(agent, _)| covered(agent));
                Some(counted.map(|(_, seconds)| sum(seconds, now)).sum())
            }
            Selector::Action(_)
            | Selector::Api(_)
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

    /// Live credentials at `now`.
    pub fn total(&self, now: Timestamp) -> u64 {
        sum(&self.all, now)
    }

    /// Drops seconds that are past.
    pub fn forget(&mut self, now: Timestamp) {
        self.all = self.all.split_off(&now.seconds());
        self.agents.retain(|_, seconds| {
            *seconds = seconds.split_off(&now.seconds());
            !seconds.is_empty()
        });
    }
}

/// Whether the selector names everything of the agent.
fn names(selector: &Selector, agent: &AgentId) -> bool {
    match selector {
        Selector::Agent(named) => named == agent,
        Selector::All => true,
        Selector::Tenant(tenant) => tenant == agent.tenant(),
        Selector::Action(_)
        | Selector::Api(_)
        | Selector::Attested(_)
        | Selector::Credential(_)
        | Selector::Key(_)
        | Selector::Lineage(_)
        | Selector::Owner(_)
        | Selector::Principal(_)
        | Selector::Resource(_)
        | Selector::Serial(_) => false,
    }
}

fn in_scope(tenants: &[TenantName], agent: &AgentId) -> bool {
    tenants.is_empty() || tenants.contains(agent.tenant())
}

fn take(seconds: &mut BTreeMap<i64, u64>, second: i64, count: u64) {
    if let Some(known) = seconds.get_mut(&second) {
        *known = known.saturating_sub(count);
    }
}

fn sum(seconds: &BTreeMap<i64, u64>, now: Timestamp) -> u64 {
    // A credential whose `expires` is this second has ended (`now >= expires`).
    seconds.range(now.seconds().saturating_add(1)..).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_issue_release_expiry_and_revocation() {
        let agent: AgentId = "spiffe://td/tenant/t/agent/a".parse().unwrap();
        let other: AgentId = "spiffe://td/tenant/t/agent/b".parse().unwrap();
        let at = Timestamp::from_seconds;
        let mut live = LiveCounts::default();
        live.add(&agent, at(100));
        live.add(&agent, at(200));
        live.add(&other, at(200));
        assert_eq!((live.of_agent(&agent, at(50)), live.total(at(50))), (2, 3));
        assert_eq!(live.of_agent(&agent, at(100)), 1, "expiry is exclusive");
        live.remove(&other, at(200));
        assert_eq!(live.total(at(100)), 1);
        live.forget(at(150));
        live.clear(&Selector::Agent(agent), &[]);
        assert_eq!(live.total(at(0)), 0);
    }
}
