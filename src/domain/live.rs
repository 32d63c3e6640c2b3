//! How many credentials are live, by agent, without a look at the records.

use std::collections::{BTreeMap, HashMap};

use super::name::AgentId;
use super::time::Timestamp;

/// Counts of credentials by agent and second of expiry. At most [`super::limits::TTL_SECONDS_MAX`]
/// seconds are kept for each agent.
#[derive(Clone, Debug, Default)]
pub struct LiveCounts {
    agents: HashMap<AgentId, BTreeMap<i64, u64>>,
}

impl LiveCounts {
    /// A credential of `agent` was issued.
    pub fn add(&mut self, agent: &AgentId, expires: Timestamp) {
        if !self.agents.contains_key(agent) {
            self.agents.insert(agent.clone(), BTreeMap::new());
        }
        if let Some(seconds) = self.agents.get_mut(agent) {
            *seconds.entry(expires.seconds()).or_default() += 1;
        }
    }

    /// A live credential of `agent` ended early.
    pub fn remove(&mut self, agent: &AgentId, expires: Timestamp) {
        let count = self.agents.get_mut(agent).and_then(|seconds| seconds.get_mut(&expires.seconds()));
        if let Some(count) = count {
            *count = count.saturating_sub(1);
        }
    }

    /// All of `agent` ended.
    pub fn clear_agent(&mut self, agent: &AgentId) {
        self.agents.remove(agent);
    }

    /// All of everybody ended.
    pub fn clear(&mut self) {
        self.agents.clear();
    }

    /// Live credentials of `agent` at `now`.
    pub fn of_agent(&self, agent: &AgentId, now: Timestamp) -> u64 {
        self.agents.get(agent).map_or(0, |seconds| sum(seconds, now))
    }

    /// Live credentials at `now`.
    pub fn total(&self, now: Timestamp) -> u64 {
        self.agents.values().map(|seconds| sum(seconds, now)).sum()
    }

    /// Drops seconds that are past.
    pub fn forget(&mut self, now: Timestamp) {
        self.agents.retain(|_, seconds| {
            *seconds = seconds.split_off(&now.seconds());
            !seconds.is_empty()
        });
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
        live.clear_agent(&agent);
        assert_eq!(live.total(at(0)), 0);
    }
}
