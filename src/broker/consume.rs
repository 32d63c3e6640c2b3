//! Consume: debit one call of a counted credential. Check and debit are one step of the ledger, made
//! durable before they are answered, so a call is granted once, whoever asks and whatever crashes.

use crate::domain::credential::Credential;
use crate::domain::digest::Digest;
use crate::domain::ledger::{Command, Refusal};
use crate::domain::request::IdempotencyKey;
use crate::store::{LedgerError, ReadError};

use super::Broker;
use super::introspect::Shown;

/// A call that was debited: it may go ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// The credential's record.
    pub credential: Credential,
    /// Calls that were left after this one.
    pub left: u32,
    /// The debit's entry in the log.
    pub index: u64,
}

/// Why nothing was debited. The call must not go ahead.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The debit could not be recorded, or the ledger refuses it.
    #[error(transparent)]
    Ledger(LedgerError),
    /// The credential is not ours, not in its lifetime, or was ended. One answer for all of them.
    #[error("the credential is not live")]
    NotLive,
    /// The index could not be read: unknown is not live and not dead.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<LedgerError> for ConsumeError {
    fn from(error: LedgerError) -> Self {
        if error == LedgerError::Refused(Refusal::AlreadyEnded) { Self::NotLive } else { Self::Ledger(error) }
    }
}

impl Broker {
    /// Debits one call of the token that a proxy asks about. Each time it asks is a call of its own: what a
    /// retry of the same call would be, a proxy can't say.
    ///
    /// # Errors
    /// [`ConsumeError`]; the call must not go ahead.
    pub async fn debit_once(&self, token: &str) -> Result<Consumed, ConsumeError> {
        let mut random = [0; 16];
        // Without randomness two calls could look like one, and one of them would be free.
        self.entropy.fill(&mut random).map_err(|_| ConsumeError::NotLive)?;
        let key = hex::encode(random).parse().map_err(|_| ConsumeError::NotLive)?;
        self.consume(&Shown::Token(token.to_owned()), &key).await
    }

    /// Debits one call of the credential under `key`. A retry with the same key gets the same answer and
    /// debits nothing.
    ///
    /// # Errors
    /// [`ConsumeError`]. Unless it is `Ledger(Stopped)`, nothing was debited; a retry with the same key is
    /// safe after every one.
    pub async fn consume(&self, shown: &Shown, key: &IdempotencyKey) -> Result<Consumed, ConsumeError> {
        let credential = self.introspect(shown).await?.ok_or(ConsumeError::NotLive)?;
        let issuance = Box::new(credential.issuance.clone());
        let key = Digest::of(key.as_str().as_bytes());
        match self.ledger.submit(Command::Consume { issuance, key }).await {
            Ok(receipt) => Ok(Consumed { credential, left: receipt.calls_left(), index: receipt.index() }),
            Err(LedgerError::Refused(Refusal::Debited(debit))) => {
                Ok(Consumed { credential, left: debit.left, index: debit.index })
            }
            Err(error) => Err(error.into()),
        }
    }
}
