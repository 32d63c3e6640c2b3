//! Emergency: the broker runs without all of its parts. Nothing ordinary is issued; what was revoked stays so and
//! is told; break-glass is what is left.

use std::sync::Arc;

use crate::domain::break_glass::Phase;
use crate::domain::emergency::{Cause, Emergency};
use crate::domain::id::Lineage;
use crate::domain::ledger::Command;
use crate::domain::name::AgentId;
use crate::domain::playbook::Expansion;
use crate::store::LedgerError;

use super::Broker;

impl Broker {
    /// What the broker could not have, while that is so.
    pub fn emergency(&self) -> Option<Arc<Emergency>> {
        self.emergency.load_full()
    }

    /// In an emergency an open session is the way in: its signatures were counted. Everything else is refused, also
    /// what only names a session, and without a record, so that nobody's denials fill the emergency journal. Asked
    /// before anything else, and again for the agent once it is known.
    ///
    /// # Errors
    /// In an emergency, without a session that is open, and for this agent.
    pub(super) fn has_way_in(
        &self,
        session: Option<Lineage>,
        agent: Option<&AgentId>,
    ) -> Result<(), LedgerError> {
        if self.emergency.load().is_none() {
            return Ok(());
        }
        let sessions = self.ledger.sessions();
        let held =
            session.and_then(|id| sessions.get(id)).filter(|held| held.phase(self.time()) == Phase::Open);
        let expansion = held.and_then(|held| held.opening.scope.expansion());
        let is_for = |expansion: &Expansion| agent.is_none_or(|agent| expansion.agents.contains(agent));
        if expansion.is_some_and(is_for) { Ok(()) } else { Err(LedgerError::Emergency) }
    }

    /// Puts into the log that this is an emergency.
    ///
    /// # Errors
    /// When that can't be recorded.
    pub async fn record_emergency(&self) -> Result<(), LedgerError> {
        let Some(emergency) = self.emergency() else { return Ok(()) };
        self.ledger.submit(Command::Emergency((*emergency).clone())).await.map(|_| ())
    }

    /// A good load was sealed and recorded: a registry that could not be loaded is mended. A configuration and a store
    /// are mended by a restart only.
    pub(super) fn registry_is_good(&self) {
        let Some(emergency) = self.emergency() else { return };
        let left: Vec<Cause> =
            emergency.causes.iter().copied().filter(|cause| *cause != Cause::Registry).collect();
        if left.len() == emergency.causes.len() {
            return;
        }
        tracing::warn!(over = left.is_empty(), "the registry is good again: it is no cause of an emergency");
        let left = (!left.is_empty()).then(|| Arc::new(Emergency { causes: left }));
        self.emergency.store(left);
    }
}
