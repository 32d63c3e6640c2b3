//! Emergency: the broker runs without all of its parts. Nothing ordinary is issued; what was revoked stays so and
//! is told; break-glass is what is left.

use std::sync::Arc;

use crate::domain::emergency::{Cause, Emergency};
use crate::domain::ledger::Command;
use crate::store::LedgerError;

use super::Broker;

impl Broker {
    /// What the broker could not have, while that is so.
    pub fn emergency(&self) -> Option<Arc<Emergency>> {
        self.emergency.load_full()
    }

    /// Refuses what is ordinary. Asked before anything else, so that no denial fills the emergency journal.
    ///
    /// # Errors
    /// In an emergency.
    pub(super) fn is_ordinary(&self) -> Result<(), LedgerError> {
        if self.emergency.load().is_some() { Err(LedgerError::Emergency) } else { Ok(()) }
    }

    /// Puts into the log that this is an emergency.
    ///
    /// # Errors
    /// When that can't be recorded.
    pub async fn record_emergency(&self) -> Result<(), LedgerError> {
        let Some(emergency) = self.emergency() else { return Ok(()) };
        self.ledger.submit(Command::Emergency((*emergency).clone())).await.map(|_| ())
    }

    /// A good load was recorded: a registry that was broken is mended. A store is mended by a restart only.
    pub(super) fn registry_is_good(&self) {
        let Some(emergency) = self.emergency() else { return };
        let left: Vec<Cause> =
            emergency.causes.iter().copied().filter(|cause| *cause != Cause::Registry).collect();
        let left = (!left.is_empty()).then(|| Arc::new(Emergency { causes: left }));
        self.emergency.store(left);
    }
}
