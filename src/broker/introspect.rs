//! Introspect: is this credential live? Answered from memory: signature, lifetime, revocations.

use crate::domain::credential::Credential;
use crate::domain::id::CredentialId;
use crate::domain::name::AgentId;
use crate::store::ReadError;

use super::Broker;

/// What a verifier shows.
#[derive(Debug)]
pub enum Shown {
    /// A leaf certificate in DER.
    Certificate(Vec<u8>),
    /// A token.
    Token(String),
}

impl Broker {
    /// The record of the credential, only when it is ours, in its lifetime, and not ended. Everything
    /// else is one answer: `None` (RFC 7662 section 2.2).
    ///
    /// # Errors
    /// When the index can't be read: unknown is not live and not dead.
    pub async fn introspect(&self, shown: &Shown) -> Result<Option<Credential>, ReadError> {
        let Ok(now) = self.clock.now() else { return Ok(None) };
        let verified = match shown {
            Shown::Certificate(der) => self.minter.verify_certificate(der, now),
            Shown::Token(token) => self.minter.verify_token(token, now),
        };
        let Ok(id) = verified else { return Ok(None) };
        let found = self.credential(id).await?;
        Ok(found.filter(|credential| {
            let live = credential.ended.is_none() && now < credential.issuance.expires;
            live && !self.is_ended(id, &credential.issuance.agent, credential)
        }))
    }

    fn is_ended(&self, id: CredentialId, agent: &AgentId, credential: &Credential) -> bool {
        self.ledger.revocations().ended(&id, agent, credential.issuance.issued).is_some()
    }
}
