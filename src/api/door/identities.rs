//! Certificates of the proxies' own identities, while they will do: one for each agent, however many streams ask and
//! however often a proxy starts anew. Private keys are in memory here, and nowhere else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::attest::Presented;
use crate::broker::Broker;
use crate::broker::identity::{AgentIdentity, NoIdentity};
use crate::domain::name::AgentId;

/// The certificates that were given out last.
pub(super) struct Identities {
    broker: Arc<Broker>,
    /// No more than there are certificates that are good, which the ledger bounds.
    held: Mutex<HashMap<AgentId, Arc<AgentIdentity>>>,
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
        let find = |agent: &AgentId| {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).get(agent).map(Arc::clone)
        };
        let current = self.broker.agent_identity(presented, find).await?;
        let now = self.broker.time();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, identity| now < identity.expires());
        held.insert(current.agent().clone(), Arc::clone(&current));
        Ok(current)
    }
}
