//! Consumption: which calls of a counted credential were debited. Check and debit are one step of the
//! ledger's total order, so a single-use credential is used once, however many verifiers try (promise P7).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::credential::Issuance;
use super::digest::Digest;
use super::id::CredentialId;
use super::ledger::Refusal;
use super::name::AgentId;
use super::time::Timestamp;

/// The record of one debit. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumption {
    /// Who holds the credential.
    pub agent: AgentId,
    /// The credential.
    pub credential: CredentialId,
    /// When it ends by itself.
    pub expires: Timestamp,
    /// SHA-256 of the verifier's idempotency key; keys are per credential.
    pub key: Digest,
    /// Calls that are left after this one.
    pub left: u32,
}

/// One call that was debited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debit {
    /// Its entry in the log.
    pub index: u64,
    /// Calls that were left after it.
    pub left: u32,
}

/// Debits of the credentials that can still be live. At most [`super::limits::CALLS_MAX`] for each.
#[derive(Clone, Debug, Default)]
pub struct Consumptions {
    accounts: HashMap<CredentialId, Account>,
}

#[derive(Clone, Debug)]
struct Account {
    expires: Timestamp,
    debits: HashMap<Digest, Debit>,
}

impl Consumptions {
    /// The debit of one call of a live credential under `key`. The caller has seen that it is live.
    ///
    /// # Errors
    /// [`Refusal::Debited`] when the key was debited before, with that debit; [`Refusal::CallsExhausted`]
    /// and [`Refusal::NotCounted`].
    pub fn debit(&self, issuance: &Issuance, key: Digest) -> Result<Consumption, Refusal> {
        let max = issuance.calls_max().ok_or(Refusal::NotCounted)?;
        let account = self.accounts.get(&issuance.id);
        if let Some(debit) = account.and_then(|account| account.debits.get(&key)) {
            return Err(Refusal::Debited(*debit));
        }
        let used = account.map_or(0, |account| account.debits.len());
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        let left = max.checked_sub(used).and_then(|free| free.checked_sub(1));
        Ok(Consumption {
            agent: issuance.agent.clone(),
            credential: issuance.id,
            expires: issuance.expires,
            key,
            left: left.ok_or(Refusal::CallsExhausted)?,
        })
    }

    /// Applies a debit whose entry is at `index`.
    pub fn apply(&mut self, consumption: &Consumption, index: u64) {
        let Consumption { credential, expires, key, left, .. } = consumption;
        let account = self.accounts.entry(*credential);
        let account = account.or_insert_with(|| Account { expires: *expires, debits: HashMap::new() });
        account.debits.entry(*key).or_insert(Debit { index, left: *left });
    }

    /// Drops credentials that have expired.
    pub fn forget(&mut self, now: Timestamp) {
        self.accounts.retain(|_, account| account.expires > now);
    }

    /// Credentials that are kept.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
}
