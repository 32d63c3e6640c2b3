//! Records of issuance in memory, for verification that is asked about one credential again and again. A
//! record does not change; whether it was ended is asked of the ledger's revocations each time.

use std::sync::Arc;

use crate::domain::credential::Credential;
use crate::domain::digest::Digest;
use crate::domain::id::CredentialId;
use crate::domain::time::Timestamp;
use crate::store::ReadError;

use super::Broker;
use super::introspect::Shown;

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

    /// The id of a token or certificate of ours, and the digest of what was signed. Its signature is checked
    /// once as long as it is asked about; a signature does not change its mind, and its lifetime is its
    /// record's.
    fn id_of(&self, shown: &Shown, now: Timestamp) -> Option<(CredentialId, Digest)> {
        // Under the keys that are trusted now: one that was taken out takes its tokens with it.
        let trust = self.minter.trust(now).digest();
        let key = match shown {
            Shown::Certificate(der) => Digest::of_parts(&[trust.as_bytes(), b"certificate", der]),
            Shown::Token(token) => Digest::of_parts(&[trust.as_bytes(), b"token", token.as_bytes()]),
        };
        if let Some(id) = self.shown.find(&key) {
            return Some(*id);
        }
        let verified = match shown {
            Shown::Certificate(der) => self.minter.verify_certificate(der, now),
            Shown::Token(token) => self.minter.verify_token(token, now),
        };
        let id = verified.ok()?;
        self.shown.put(key, Arc::new(id));
        Some(id)
    }

    /// The record of what is shown, when it is live at `now`, and the very one that was recorded: whoever has
    /// a key of ours can sign another credential under the id of one that lives.
    ///
    /// # Errors
    /// When the index can't be read.
    pub(super) async fn live_record_of(
        &self,
        shown: &Shown,
        now: Timestamp,
    ) -> Result<Option<Arc<Credential>>, ReadError> {
        let Some((id, content)) = self.id_of(shown, now) else { return Ok(None) };
        let found = self.record_of(id).await?;
        Ok(found.filter(|found| found.issuance.content == content && self.is_live(found, now)))
    }

    /// The record of `id`, if it is in memory.
    pub fn remembered(&self, id: &CredentialId) -> Option<Arc<Credential>> {
        self.records.find(id)
    }

    /// Whether the credential of this record is in its lifetime and was not ended, as of now.
    pub fn is_live(&self, credential: &Credential, now: Timestamp) -> bool {
        let issuance = &credential.issuance;
        let ended = self.ledger.revocations().ended_issuance(issuance).is_some();
        credential.ended.is_none() && now < issuance.expires && !ended
    }
}
