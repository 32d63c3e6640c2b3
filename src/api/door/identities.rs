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
    /// No more than there are certificates that are good, or being made.
    held: Mutex<HashMap<AgentId, Slot>>,
}

impl Identities {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, held: Mutex::default() }
    }

    /// The certificate of whoever presents this. It is attested anew each time.
    ///
    /// # Errors
    /// [`NoIdentity`].
    pub(super) async fn current(&self, presented: &Presented) -> Result<Arc<AgentIdentity>, NoIdentity> {
        let now = self.broker.time();
        let slot = |agent: &AgentId| {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            // What has ended is dropped with its key; one that is being made just now is not.
            held.retain(|_, slot| slot.try_lock().map_or(true, |one| is_good(one.as_deref(), now)));
            Arc::clone(held.entry(agent.clone()).or_default())
        };
        self.broker.agent_identity(presented, slot).await
    }
}

fn is_good(identity: Option<&AgentIdentity>, now: Timestamp) -> bool {
    identity.is_some_and(|identity| now < identity.expires())
}
