//! Records of issuance in memory, for verification that is asked about one credential again and again. A
//! record does not change; whether it was ended is asked of the ledger's revocations each time.

use std::sync::Arc;

use crate::domain::credential::Credential;
use crate::domain::id::CredentialId;
use crate::domain::time::Timestamp;
use crate::store::ReadError;

use super::Broker;

impl Broker {
    /// The record of `id`, from memory when it is there, and `None` when there is none. How it ended is not
    /// said: ask [`Self::is_live`].
    ///
    /// # Errors
    /// When the index can't be read.
    pub async fn record_of(&self, id: CredentialId) -> Result<Option<Arc<Credential>>, ReadError> {
        if let Some(known) = self.remembered(&id) {
            return Ok(Some(known));
        }
        let Some(found) = self.credential(id).await? else { return Ok(None) };
        let found = Arc::new(found);
        self.records.put(id, Arc::clone(&found));
        Ok(Some(found))
    }

    /// The record of `id`, if it is in memory.
    pub fn remembered(&self, id: &CredentialId) -> Option<Arc<Credential>> {
        self.records.find(id)
    }

    /// Whether the credential of this record is in its lifetime and was not ended, as of now.
    pub fn is_live(&self, credential: &Credential, now: Timestamp) -> bool {
        let issuance = &credential.issuance;
        let ended = self.ledger.revocations().ended(&issuance.id, &issuance.agent, issuance.issued).is_some();
        credential.ended.is_none() && now < issuance.expires && !ended
    }
}
