//! Step 1: who is asking. Proven once for each request, before anything else is looked at.

use crate::attest::{AttestError, Attested, Presented};

use super::{Broker, Rules};

impl Broker {
    /// Attests the caller against the registry in force.
    ///
    /// # Errors
    /// When the evidence is no single registered agent, or an attestor can't run.
    pub async fn attest(&self, presented: &Presented) -> Result<Attested, AttestError> {
        self.attest_with(presented, &self.rules.load_full()).await
    }

    pub(super) async fn attest_with(
        &self,
        presented: &Presented,
        rules: &Rules,
    ) -> Result<Attested, AttestError> {
        self.attestation.attest(presented, &rules.registry).await
    }
}
