//! Certificates of the proxies' own identities, while they will do: one for each agent, however many streams ask and
//! however often a proxy starts anew. Private keys are in memory here, and nowhere else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::attest::Presented;
use crate::broker::Broker;
use crate::broker::identity::{AgentIdentity, NoIdentity, Slot};
use crate::domain::name::AgentId;
use crate::domain::time::Timestamp;

/// The certificates that were given out last.
pub(super) struct Identities {
    broker: Arc<Broker>,
    held: Held,
}

impl Identities {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, held: Held::default() }
    }

    /// The certificate of whoever presents this. It is attested anew each time.
    ///
    /// # Errors
    /// [`NoIdentity`].
    pub(super) async fn current(&self, presented: &Presented) -> Result<Arc<AgentIdentity>, NoIdentity> {
        let now = self.broker.time();
        self.broker.agent_identity(presented, |agent| self.held.slot(agent, now)).await
    }
}

/// One slot for each agent. No more than there are certificates that are good, or being made.
#[derive(Default)]
struct Held(Mutex<HashMap<AgentId, Slot>>);

impl Held {
    /// The agent's slot. What has ended at `now` is dropped with its key, whoever's it is; what is being made just now is
    /// not.
    fn slot(&self, agent: &AgentId, now: Timestamp) -> Slot {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, slot| slot.try_lock().map_or(true, |one| is_good(one.as_deref(), now)));
        Arc::clone(held.entry(agent.clone()).or_default())
    }
}

fn is_good(identity: Option<&AgentIdentity>, now: Timestamp) -> bool {
    identity.is_some_and(|identity| now < identity.expires())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_dropped_with_its_key_whoever_asks_next() {
        let (held, at) = (Held::default(), Timestamp::from_seconds);
        let agent = |name: &str| format!("spiffe://td/tenant/t/agent/{name}").parse::<AgentId>().unwrap();
        let keep = |name: &str, expires: Timestamp| {
            let identity = Arc::new(AgentIdentity::fixture(at(1_000), expires));
            let weak = Arc::downgrade(&identity);
            *held.slot(&agent(name), at(1_000)).try_lock().unwrap() = Some(identity);
            weak
        };
        let (short, long) = (keep("short", at(1_900)), keep("long", at(1_901)));
        drop(held.slot(&agent("other"), Timestamp::from_millis(1_899_999)));
        assert!(short.upgrade().is_some(), "the last millisecond of it");
        let making = held.slot(&agent("making"), at(1_001));
        let guard = making.try_lock().unwrap();
        drop(held.slot(&agent("other"), at(1_900)));
        assert!(short.upgrade().is_none(), "its key is in memory after its end");
        assert!(long.upgrade().is_some());
        assert!(
            Arc::ptr_eq(&making, &held.slot(&agent("making"), at(1_900))),
            "two would make one at a time"
        );
        drop(guard);
        drop(held.slot(&agent("other"), at(1_901)));
        assert!(long.upgrade().is_none());
        assert_eq!(held.0.lock().unwrap().len(), 1, "only the slot of who asked last");
    }
}
