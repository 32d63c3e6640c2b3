//! Release: a holder gives back its own credential before the expiry.

use crate::attest::{AttestError, Presented};
use crate::domain::credential::{Credential, Issuance};
use crate::domain::entry::Release;
use crate::domain::id::CredentialId;
use crate::domain::ledger::{Command, Refusal};
use crate::store::{LedgerError, ReadError};

use super::Broker;
use super::introspect::Shown;

/// Why a caller's own credential was not shown or ended.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// The caller is nobody we know, or can't be attested now.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The record could not be made.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such credential of this caller. Somebody else's gives the same answer.
    #[error("no credential `{0}` of this agent")]
    NotFound(CredentialId),
    /// The index could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a credential that was shown was not ended.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseShownError {
    /// The record could not be made, or the log does not believe the clock, so that nobody knows whether it is live.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The index could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Broker {
    /// Ends `id`, which must be the caller's own and live. Gives its record as it is then.
    ///
    /// # Errors
    /// [`OwnError`]; a credential that has ended already is the ledger's refusal.
    pub async fn release(&self, presented: &Presented, id: CredentialId) -> Result<Credential, OwnError> {
        let credential = self.own_credential(presented, id).await?;
        // The ledger's own check knows of single ends; the record knows of them all.
        if credential.ended.is_some() {
            return Err(LedgerError::from(Refusal::AlreadyEnded).into());
        }
        let issuance = &credential.issuance;
        let release = Release { agent: issuance.agent.clone(), credential: id, expires: issuance.expires };
        self.ledger.submit(Command::Release(release)).await?;
        self.credential(id).await?.ok_or(OwnError::NotFound(id))
    }

    /// Ends the credential that is shown: who holds it may give it back (RFC 7009). It is recorded as its
    /// holder's release. What is not live has nothing to give back, which is no error.
    ///
    /// # Errors
    /// [`ReleaseShownError`]; then it must be taken to be live.
    pub async fn release_shown(&self, shown: &Shown) -> Result<(), ReleaseShownError> {
        let now = self.believed_time()?;
        let Some(credential) = self.live_record_of(shown, now).await? else { return Ok(()) };
        let Issuance { agent, id, expires, .. } = credential.issuance.clone();
        self.ledger.submit(Command::Release(Release { agent, credential: id, expires })).await?;
        Ok(())
    }

    /// One of the caller's own credentials.
    ///
    /// # Errors
    /// [`OwnError`].
    pub async fn own_credential(
        &self,
        presented: &Presented,
        id: CredentialId,
    ) -> Result<Credential, OwnError> {
        let attested = self.attest(presented).await?;
        let found = self.credential(id).await?;
        let own = |credential: &Credential| credential.issuance.agent == attested.agent().id;
        found.filter(own).ok_or(OwnError::NotFound(id))
    }
}
