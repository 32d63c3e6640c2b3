//! Certificates of the proxies' own identities, while they will do: one for each agent, however many streams ask and
//! however often a proxy starts anew. Private keys are in memory here, and nowhere else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::attest::Presented;
use crate::broker::Broker;
use crate::broker::identity::{AgentIdentity, NoIdentity, Slot};
use crate::domain::name::AgentId;

/// How often it is looked whether a key that is kept is one that may be used.
const TIDY_EVERY: Duration = Duration::from_secs(60);

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
        // First, because whoever may have none any more gets no further.
        self.tidy();
        self.broker.agent_identity(presented, |agent| self.held.slot(agent)).await
    }

    /// Drops what nobody may use any more, with its key.
    fn tidy(&self) {
        let now = self.broker.time();
        self.held.tidy(|agent, identity| self.broker.identity_is_over(agent, identity, now));
    }

    /// Tidies now and then for as long as it is there: a proxy that has gone, or was stopped, does not look again itself.
    pub(super) fn keep_tidy(self: &Arc<Self>) {
        let (identities, mut look) = (Arc::downgrade(self), tokio::time::interval(TIDY_EVERY));
        tokio::spawn(async move {
            loop {
                look.tick().await;
                let Some(identities) = identities.upgrade() else { return };
                identities.tidy();
            }
        });
    }
}

/// One slot for each agent. No more than there are certificates that are good, or being made.
#[derive(Default)]
struct Held(Mutex<HashMap<AgentId, Slot>>);

impl Held {
    /// The agent's slot.
    fn slot(&self, agent: &AgentId) -> Slot {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(held.entry(agent.clone()).or_default())
    }

    /// Drops what is over, whoever's it is; what is being made just now is not.
    fn tidy(&self, over: impl Fn(&AgentId, &AgentIdentity) -> bool) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|agent, slot| {
            let kept = |one: &Option<Arc<AgentIdentity>>| one.as_deref().is_some_and(|one| !over(agent, one));
            slot.try_lock().map_or(true, |one| kept(&one))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn what_is_over_is_dropped_with_its_key_whoever_looks_next() {
        let (held, at) = (Held::default(), Timestamp::from_seconds);
        let agent = |name: &str| format!("spiffe://td/tenant/t/agent/{name}").parse::<AgentId>().unwrap();
        let keep = |name: &str, expires: Timestamp| {
            let identity = Arc::new(AgentIdentity::fixture(at(1_000), expires));
            let weak = Arc::downgrade(&identity);
            *held.slot(&agent(name)).try_lock().unwrap() = Some(identity);
            weak
        };
        let (short, long, locked) =
            (keep("short", at(1_900)), keep("long", at(1_901)), keep("locked", at(1_901)));
        let tidy = |now: Timestamp| held.tidy(|_, identity| identity.expires() <= now);
        tidy(Timestamp::from_millis(1_899_999));
        assert!(short.upgrade().is_some(), "the last millisecond of it");
        held.tidy(|of, _| *of == agent("locked"));
        assert!(locked.upgrade().is_none(), "its key is in memory while it may not be used");
        let making = held.slot(&agent("making"));
        let guard = making.try_lock().unwrap();
        tidy(at(1_900));
        assert!(short.upgrade().is_none(), "its key is in memory after its end");
        assert!(long.upgrade().is_some());
        assert!(Arc::ptr_eq(&making, &held.slot(&agent("making"))), "two would make one at a time");
        drop(guard);
        tidy(at(1_901));
        assert!(long.upgrade().is_none());
        assert_eq!(held.0.lock().unwrap().len(), 0, "no slot without a certificate");
    }
}
