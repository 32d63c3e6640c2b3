//! Revoke: an operator ends credentials that exist.

use crate::domain::credential::State;
use crate::domain::ledger::{Command, Target};
use crate::domain::name::Reason;
use crate::domain::revocation::Selector;
use crate::domain::time::Timestamp;
use crate::notify::Notice;
use crate::store::{LedgerError, ReadError};

use super::Broker;
use super::operate::Authorized;

/// What a revocation did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Live credentials that ended, or would.
    pub live: u64,
    /// When it was durable, and its entry; `None` for a dry run.
    pub done: Option<(Timestamp, u64)>,
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The record could not be made. Nothing is revoked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such credential or agent that this operator sees.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The index could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An operator of some tenants can't revoke for all.
    #[error("an operator of some tenants can't revoke everything; revoke by agent or credential")]
    Scope,
}

impl Broker {
    /// Ends what `selector` names. When this returns `Ok`, the revocation is durable and in force here.
    ///
    /// # Errors
    /// [`RevokeError`]; never a silent success.
    pub async fn revoke(
        &self,
        by: &Authorized,
        selector: Selector,
        reason: Reason,
    ) -> Result<Revoked, RevokeError> {
        let (_, target) = self.survey(by, &selector).await?;
        let operator = by.operator().name.clone();
        let notice = Notice::Revoked { operator: operator.clone(), selector: selector.clone() };
        let command = Command::Revoke { operator, reason, selector, target };
        let receipt = self.ledger.submit(command).await?;
        self.notifier.notify(&notice);
        Ok(Revoked { live: receipt.live_ended(), done: Some((receipt.time(), receipt.index())) })
    }

    /// Counts what [`Self::revoke`] would end, and changes nothing but the log, which shows the call.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke_dry_run(&self, by: &Authorized, selector: &Selector) -> Result<Revoked, RevokeError> {
        let (live, _) = self.survey(by, selector).await?;
        self.record_call(by.operator(), "hotwork.v1.AdminService/Revoke (dry run)", true).await?;
        Ok(Revoked { live, done: None })
    }

    /// What the selector covers: live credentials, and a single one's record.
    async fn survey(
        &self,
        by: &Authorized,
        selector: &Selector,
    ) -> Result<(u64, Option<Target>), RevokeError> {
        let now = self.time();
        match selector {
            Selector::Agent(agent) if by.operator().sees(agent.tenant()) => {
                Ok((self.ledger.live_of(agent, now), None))
            }
            Selector::Agent(_) => Err(RevokeError::NotFound("agent")),
            Selector::All if by.operator().tenants.is_empty() => Ok((self.ledger.live_total(now), None)),
            Selector::All => Err(RevokeError::Scope),
            Selector::Credential(id) => {
                let found = self.credential(*id).await?;
                let seen = found.filter(|found| by.operator().sees(found.issuance.agent.tenant()));
                let found = seen.ok_or(RevokeError::NotFound("credential"))?;
                let live = u64::from(found.state(now) == State::Live);
                let issuance = found.issuance;
                let target =
                    Target { agent: issuance.agent, issued: issuance.issued, expires: issuance.expires };
                Ok((live, Some(target)))
            }
        }
    }
}
