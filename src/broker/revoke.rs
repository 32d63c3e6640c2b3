//! Revoke: an operator ends credentials that exist.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::credential::{Credential, State};
use crate::domain::ledger::{Command, Refusal, Target};
use crate::domain::limits::{COUNT_MS_MAX, COUNT_UNASKED_MS_MAX, TTL_SECONDS_MAX};
use crate::domain::name::Reason;
use crate::domain::operator::Operator;
use crate::domain::revocation::{Lock, Revocation, Revocations, Selector, watermark};
use crate::domain::stopped::Stopped;
use crate::domain::time::Timestamp;
use crate::store::{Count, Covered, LedgerError, ReadError};

use super::Broker;
use super::lock::LockTerms;
use super::operate::{Authorized, Caller};
use super::underway::Share;
use super::verifiers::VerifierView;

/// What is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoke {
    /// What ends.
    pub selector: Selector,
    /// Only what was minted before; all up to now when absent.
    pub issued_before: Option<Timestamp>,
    /// Why.
    pub reason: Reason,
    /// The lock that goes with it.
    pub lock: Option<LockTerms>,
}

/// A revocation that is durable and in force here, of which nothing is told yet.
#[derive(Clone, Debug)]
pub struct Revoking {
    /// What was in force before it.
    known: Arc<Revocations>,
    /// When it was durable.
    time: Timestamp,
    /// Its entry.
    index: u64,
    /// What it says.
    revocation: Revocation,
    /// How many live credentials ended, when the ledger knew.
    live: Option<u64>,
    /// The end of the one credential that it is about.
    single: Option<Timestamp>,
    /// What its lock stops.
    stops: Option<Stopped>,
    /// Whose count it is.
    caller: Caller,
}

/// What a revocation did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Live credentials that ended, or would.
    pub count: Count,
    /// Whom and what the lock that was asked for with it stops, or would.
    pub stops: Option<Stopped>,
    /// What was done; `None` for a dry run.
    pub done: Option<Done>,
}

/// A revocation that is durable and in force here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// When it was durable.
    pub time: Timestamp,
    /// Its entry.
    pub index: u64,
    /// Whether it made a lock, whose id is the entry's.
    pub locked: bool,
    /// Whether it ended a signing key for good.
    pub for_good: bool,
    /// Those who follow the feed, or are away and may still run, with what they have acknowledged.
    pub verifiers: Vec<VerifierView>,
    /// Until then a resource that has not learned of it may take what ended; `None` when nothing was live.
    pub residual: Option<Timestamp>,
}

impl Done {
    /// The epoch that it made.
    pub const fn epoch(&self) -> u64 {
        self.index.saturating_add(1)
    }
}

/// Why nothing was revoked or locked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The record could not be made. Nothing is revoked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such thing that this operator sees.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The index could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An operator of some tenants can't revoke for all.
    #[error("an operator of some tenants can't name everything; use another selector")]
    Scope,
}

impl Broker {
    /// Ends what is named. When this returns `Ok`, the revocation is durable and in force here; [`Self::revoked`] tells of it.
    ///
    /// # Errors
    /// [`RevokeError`]; never a silent success.
    pub async fn revoke(self: &Arc<Self>, by: &Authorized, asked: Revoke) -> Result<Revoking, RevokeError> {
        scope(by.operator(), &asked.selector)?;
        let target = self.to_end(by.operator(), &asked.selector).await?;
        let known = self.ledger.revocations();
        let whole = asked.issued_before.is_none() && by.operator().tenants.is_empty();
        let for_good = whole && self.names_succeeded_key(&asked.selector);
        let revocation = Revocation {
            for_good,
            issued_before: asked.issued_before,
            live: None,
            lock: asked.lock.map(|terms| self.terms(terms)),
            operator: by.operator().name.clone(),
            reason: asked.reason,
            selector: asked.selector,
            tenants: by.operator().tenants.clone(),
        };
        let single = target.as_ref().map(|target| target.expires);
        let command = Command::Revoke { revocation: revocation.clone(), target };
        let receipt = self.ledger.submit(command).await?;
        if for_good {
            self.end_key().await;
        }
        let (time, index, live) = (receipt.time(), receipt.index(), receipt.live_ended());
        let stops = revocation.lock().map(|lock| self.stops(&lock, time));
        let caller = by.caller().clone();
        Ok(Revoking { known, time, index, revocation, live, single, stops, caller })
    }

    /// What a revocation did: who has heard of it after `wait` at the latest, and how much it ended. It changes nothing: a
    /// caller that goes away ends it.
    pub async fn revoked(&self, done: Revoking, wait: Duration) -> Revoked {
        let Revoking { known, time, index, revocation, live, single, stops, caller } = done;
        let (locked, for_good) = (revocation.lock.is_some(), revocation.for_good);
        let verifiers = match wait.is_zero() {
            // The runtime's timers count whole milliseconds, and would make one or two of none.
            true => self.verifiers.standing(self.time()),
            false => self.verifiers.reached(index.saturating_add(1), wait, || self.time()).await,
        };
        let count = match live {
            Some(live) => Count { live, complete: true, expires: single },
            None => {
                let until = revocation.until(time);
                let covered = Covered { selector: revocation.selector, tenants: revocation.tenants, until };
                // What it ended is known by what had not ended before it. A failed count takes nothing back.
                let patience = if wait.is_zero() { COUNT_UNASKED_MS_MAX } else { COUNT_MS_MAX };
                let until = deadline(patience);
                // It goes on when its caller has gone: it has a place, or nobody counts.
                match self.underway.begin(&caller, Share::Count) {
                    Err(_) => UNKNOWN,
                    Ok(place) => {
                        let count = self.read(move |reader| {
                            let _place = place;
                            reader.count_live(&covered, &known, time, until)
                        });
                        in_time(patience, count).await
                    }
                }
            }
        };
        let residual = residual(&count, time);
        Revoked { count, stops, done: Some(Done { time, index, locked, for_good, verifiers, residual }) }
    }

    /// Takes what the ledger ended for good out of the key set. The revocation stands whether or not that can be
    /// done on disk: the key is trusted no more, and the next start drops it.
    async fn end_key(self: &Arc<Self>) {
        let broker = Arc::clone(self);
        // A caller that goes away does not leave it half done.
        match tokio::spawn(async move { broker.drop_ended_keys().await }).await {
            Ok(Ok(dropped)) => tracing::info!(?dropped, "token keys ended for good"),
            Ok(Err(error)) => tracing::error!(%error, "a key that ended for good can't be erased"),
            Err(_) => tracing::error!("a key that ended for good was not dropped; the next sweep does it"),
        }
    }

    /// Counts what [`Self::revoke`] would end and its lock would stop, and changes nothing but the log, which shows the call.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke_dry_run(&self, by: &Authorized, asked: &Revoke) -> Result<Revoked, RevokeError> {
        let (operator, now) = (by.operator(), self.time());
        scope(operator, &asked.selector)?;
        let target = self.target(operator, &asked.selector).await?;
        let counts = || {
            let plain = asked.issued_before.is_none();
            plain.then(|| self.ledger.live_covered(&asked.selector, &operator.tenants, now)).flatten()
        };
        let count = match target.map(|found| u64::from(found.state(now) == State::Live)).or_else(counts) {
            Some(live) => Count { live, complete: true, expires: None },
            None => {
                let covered = Covered {
                    selector: asked.selector.clone(),
                    tenants: operator.tenants.clone(),
                    until: watermark(&asked.selector, asked.issued_before, now),
                };
                let known = self.ledger.revocations();
                let until = deadline(COUNT_MS_MAX);
                self.read(move |reader| reader.count_live(&covered, &known, now, until)).await?
            }
        };
        let lock = asked.lock.clone().map(|terms| Lock {
            operator: operator.name.clone(),
            tenants: operator.tenants.clone(),
            terms: self.terms(terms),
            selector: asked.selector.clone(),
        });
        let stops = lock.map(|lock| self.stops(&lock, now));
        self.record_urgent(operator, &format!("{} (dry run)", by.rpc()), true).await?;
        Ok(Revoked { count, stops, done: None })
    }

    /// What the ledger has to know of the one credential that the selector names, which must not have ended. Of a recent one
    /// without a look at the index.
    async fn to_end(&self, operator: &Operator, selector: &Selector) -> Result<Option<Target>, RevokeError> {
        let Selector::Credential(id) = selector else { return Ok(None) };
        // What expired may have been forgotten by the revocations.
        let recent = self.ledger.recent(*id).filter(|given| self.time() < given.expires);
        let found = match recent.filter(|given| operator.sees(given.agent.tenant())) {
            Some(given) => {
                let ended = self.ledger.revocations().ended_issuance(&given).is_some();
                Some((Target::from(&*given), ended))
            }
            None => {
                let found = self.target(operator, selector).await?;
                found.map(|found| (Target::from(&found.issuance), found.ended.is_some()))
            }
        };
        match found {
            Some((_, true)) => Err(LedgerError::from(Refusal::AlreadyEnded).into()),
            Some((target, false)) => Ok(Some(target)),
            None => Ok(None),
        }
    }

    /// The record of the one credential that the selector names.
    async fn target(
        &self,
        operator: &Operator,
        selector: &Selector,
    ) -> Result<Option<Credential>, RevokeError> {
        let Selector::Credential(id) = selector else { return Ok(None) };
        let found = self.credential(*id).await?;
        let seen = found.filter(|found| operator.sees(found.issuance.agent.tenant()));
        seen.map(Some).ok_or(RevokeError::NotFound("credential"))
    }
}

/// Whether the operator may name that. What is not theirs is not there; all other selectors reach no
/// further than their tenants, because the record is of those only (promise P12).
pub(super) fn scope(operator: &Operator, selector: &Selector) -> Result<(), RevokeError> {
    match selector {
        Selector::Agent(agent) if !operator.sees(agent.tenant()) => Err(RevokeError::NotFound("agent")),
        Selector::Tenant(tenant) if !operator.sees(tenant) => Err(RevokeError::NotFound("tenant")),
        Selector::All if !operator.tenants.is_empty() => Err(RevokeError::Scope),
        Selector::Action(_)
        | Selector::Agent(_)
        | Selector::All
        | Selector::Api(_)
        | Selector::Attested(_)
        | Selector::Credential(_)
        | Selector::Key(_)
        | Selector::Lineage(_)
        | Selector::Owner(_)
        | Selector::Principal(_)
        | Selector::Resource(_)
        | Selector::Serial(_)
        | Selector::Tenant(_) => Ok(()),
    }
}

/// Nobody counted.
const UNKNOWN: Count = Count { live: 0, complete: false, expires: None };

/// What was counted, if that was soon enough. The count ends by itself at its deadline; but it may wait for its turn,
/// or for a disk, and an acknowledgement waits for neither.
pub(super) async fn in_time(
    patience_ms: u64,
    count: impl Future<Output = Result<Count, ReadError>>,
) -> Count {
    let counted = tokio::time::timeout(Duration::from_millis(patience_ms.saturating_mul(2)), count).await;
    counted.ok().and_then(Result::ok).unwrap_or(UNKNOWN)
}

pub(super) fn deadline(patience_ms: u64) -> Instant {
    let now = Instant::now();
    now.checked_add(Duration::from_millis(patience_ms)).unwrap_or(now)
}

fn residual(count: &Count, time: Timestamp) -> Option<Timestamp> {
    let longest = time.plus_millis(i64::from(TTL_SECONDS_MAX) * 1000);
    match (count.live, count.complete) {
        (0, true) => None,
        (_, true) => Some(count.expires.unwrap_or(longest)),
        (_, false) => Some(longest),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_acknowledgement_does_not_wait_for_its_count() {
        let found = Count { live: 3, complete: true, expires: None };
        assert_eq!(in_time(COUNT_UNASKED_MS_MAX, ready(Ok(found))).await, found);
        let began = tokio::time::Instant::now();
        let late = in_time(COUNT_UNASKED_MS_MAX, pending()).await;
        assert_eq!(late, Count { live: 0, complete: false, expires: None });
        assert!(
            began.elapsed() <= Duration::from_millis(2 * COUNT_UNASKED_MS_MAX + 1),
            "by the clock of the test"
        );
        // What is not known to be all may be anything until the longest life is over.
        assert!(residual(&late, Timestamp::from_seconds(1_000)).is_some());
    }
}
