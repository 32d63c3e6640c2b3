//! Lock: an operator refuses what may come, for a time and with a message.

use std::sync::Arc;

use crate::domain::ledger::{Command, Refusal};
use crate::domain::limits::COUNT_UNASKED_MS_MAX;
use crate::domain::name::Reason;
use crate::domain::operator::Operator;
use crate::domain::revocation::{InForce, Lock, Selector, Terms, Unlock};
use crate::domain::stopped::{Stopped, stopped};
use crate::domain::time::Timestamp;
use crate::store::{Count, Covered, LedgerError};

use super::Broker;
use super::operate::Authorized;
use super::revoke::{RevokeError, deadline, in_time, scope};

/// How long a lock is to last, and what it is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockTerms {
    /// Whole seconds, 1 to [`crate::domain::limits::LOCK_SECONDS_MAX`].
    pub ttl_seconds: u32,
    /// What the refused caller is told.
    pub message: Reason,
}

/// A lock that is durable and in force, and what it bears on.
#[derive(Clone, Debug)]
pub struct Locked {
    /// The lock.
    pub held: Arc<InForce>,
    /// Whom and what it stops.
    pub stops: Stopped,
    /// The live credentials of what it names. It does not end them.
    pub live: Count,
}

impl Broker {
    /// Locks what `selector` names. When this returns `Ok`, nothing that it names is issued any more; what it tells of that
    /// is counted afterwards, and waited for no longer than a revocation does that waits for nobody.
    ///
    /// # Errors
    /// [`RevokeError`]; never a silent success.
    pub async fn lock(
        &self,
        by: &Authorized,
        selector: Selector,
        terms: LockTerms,
    ) -> Result<Locked, RevokeError> {
        scope(by.operator(), &selector)?;
        let lock = Lock {
            operator: by.operator().name.clone(),
            tenants: by.operator().tenants.clone(),
            terms: self.terms(terms),
            selector,
        };
        let recorded = self.ledger.submit(Command::Lock(lock.clone())).await?;
        let time = recorded.time();
        let stops = self.stops(&lock, time);
        let live = self.living(&lock, time).await;
        Ok(Locked { held: Arc::new(InForce { index: recorded.index(), time, lock }), stops, live })
    }

    /// Whom and what a lock stops, or would, at `now`.
    pub(super) fn stops(&self, lock: &Lock, now: Timestamp) -> Stopped {
        stopped(lock, &self.rules().registry, &self.ledger.approvals(), now)
    }

    /// The credentials that a lock names and that live on. A failed count takes nothing back.
    async fn living(&self, lock: &Lock, time: Timestamp) -> Count {
        let known = self.ledger.revocations();
        let plain = !known.is_untold(time);
        let counted = plain.then(|| self.ledger.live_covered(&lock.selector, &lock.tenants, time)).flatten();
        if let Some(live) = counted {
            return Count { live, complete: true, expires: None };
        }
        let covered =
            Covered { selector: lock.selector.clone(), tenants: lock.tenants.clone(), until: Some(time) };
        let until = deadline(COUNT_UNASKED_MS_MAX);
        let count = self.read(move |reader| reader.count_live(&covered, &known, time, until));
        in_time(COUNT_UNASKED_MS_MAX, count).await
    }

    /// Ends a lock before its time. Gives when that was durable, and its entry.
    ///
    /// # Errors
    /// [`RevokeError`]; a lock that this operator does not see is not there.
    pub async fn unlock(&self, by: &Authorized, lock: u64) -> Result<(Timestamp, u64), RevokeError> {
        let locks = self.ledger.locks();
        locks.get(lock).filter(|held| sees(by.operator(), held)).ok_or(RevokeError::NotFound("lock"))?;
        let unlock = Unlock { lock, operator: by.operator().name.clone() };
        match self.ledger.submit(Command::Unlock(unlock)).await {
            Ok(recorded) => Ok((recorded.time(), recorded.index())),
            Err(LedgerError::Refused(Refusal::LockUnknown(_))) => Err(RevokeError::NotFound("lock")),
            Err(error) => Err(error.into()),
        }
    }

    /// The locks in force that the operator sees, oldest first.
    pub fn locks(&self, operator: &Operator) -> Vec<Arc<InForce>> {
        let (now, locks) = (self.time(), self.ledger.locks());
        let seen = locks.iter().filter(|held| now < held.lock.terms.expires && sees(operator, held));
        seen.map(Arc::clone).collect()
    }

    pub(super) fn terms(&self, terms: LockTerms) -> Terms {
        let expires = self.time().plus_millis(i64::from(terms.ttl_seconds) * 1000);
        Terms { expires, message: terms.message }
    }
}

/// An operator of some tenants sees the locks that bear on no others.
fn sees(operator: &Operator, held: &InForce) -> bool {
    let tenants = &held.lock.tenants;
    operator.tenants.is_empty() || (!tenants.is_empty() && tenants.iter().all(|tenant| operator.sees(tenant)))
}
