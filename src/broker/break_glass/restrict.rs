//! Restrict: what a session of a playbook that restricts shuts and ends. Applied when it opens, and later what could not
//! be done then, or was cut short by a crash. What was done is in the log, and is not done again: an operator may have
//! lifted it meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Instant, timeout_at};

use crate::domain::break_glass::{self, Ask, Held, Phase};
use crate::domain::id::Lineage;
use crate::domain::ledger::Command;
use crate::domain::name::{OperatorName, Reason};
use crate::domain::playbook::{Restriction, Scope};
use crate::domain::revocation::{Lock, Revocation, Selector, Terms};

use crate::broker::Broker;
use crate::broker::announce::{Announced, NotPut};
use crate::broker::insist::patience;

/// What a restriction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restricted {
    /// The locks that are in force for the session: the indices of their entries.
    pub locks: Vec<u64>,
    /// How many revocations were made.
    pub revocations: usize,
    /// What could not be done; it is tried again soon, and `hotwork lock` and `hotwork revoke` do it.
    pub failed: Vec<String>,
}

/// A turn for each session, so that one brake never waits for another one's.
#[derive(Debug, Default)]
pub(in crate::broker) struct OneAtATime {
    turns: Mutex<HashMap<Lineage, Arc<tokio::sync::Mutex<()>>>>,
}

impl OneAtATime {
    /// The session's turn. Those that nobody has or waits for are forgotten.
    fn of(&self, session: Lineage) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(session).or_default())
    }
}

impl Broker {
    /// Does what open sessions shut and end and was not done. For the start, and again now and then.
    pub async fn finish_restrictions(&self) {
        let sessions = self.ledger.sessions();
        let left: Vec<Lineage> =
            sessions.iter().filter(|held| !held.left.is_empty()).map(|held| held.session).collect();
        for session in left {
            if let Err(error) = self.restrict(session).await {
                tracing::error!(%session, %error, "a break-glass restriction was not applied");
            }
        }
    }

    /// Does what the session shuts and ends and has not. `None` when it is a drill, over, or expands.
    ///
    /// # Errors
    /// When it is not certain that somebody hears of the session: then nothing comes of it.
    pub(super) async fn restrict(&self, session: Lineage) -> Result<Option<Restricted>, NotPut> {
        // One moment for all that is to be done: the signature is answered in time however full the queue is.
        let end = patience();
        let Some(announced) = self.announced(session)? else { return Ok(None) };
        if self.restriction_of(&announced).is_none() {
            return Ok(None);
        }
        // Two at a time would lock the same twice.
        let turn = self.restricting.of(session);
        let Ok(_one_at_a_time) = timeout_at(end, turn.lock()).await else {
            let failed = vec!["it is being applied just now".to_owned()];
            return Ok(Some(Restricted { failed, ..Restricted::default() }));
        };
        let Some(announced) = self.announced(session)? else { return Ok(None) };
        Ok(self.apply(&announced, end).await)
    }

    /// What the session shuts and ends, while it is open and no drill.
    fn restriction_of<'h>(&self, announced: &'h Announced) -> Option<&'h Restriction> {
        let held = announced.held();
        let Scope::Restrict(restriction) = &held.opening.scope else { return None };
        let is_open = !held.opening.drill && held.phase(self.log_time()) == Phase::Open;
        is_open.then_some(restriction)
    }

    async fn apply(&self, announced: &Announced, end: Instant) -> Option<Restricted> {
        let restriction = self.restriction_of(announced)?;
        let held = announced.held();
        let operator = held.signatures.last().map(|signature| signature.operator.clone())?;
        let (mut done, mut left) = (Restricted::default(), Restriction::default());
        let by = (operator, reason(held)?, end);
        // Locks first: what comes is worse than what is there.
        left.lock = self.shut(held, &restriction.lock, &by, &mut done).await;
        left.revoke = self.end(&held.left.revoke, &by, &mut done).await;
        if left != held.left {
            let applied = break_glass::Restricted { left, session: held.session, until: held.until };
            // Without the record all of it is done once more, which is the safe side.
            if let Err(error) = self.insist(Command::BreakGlass(Ask::Restrict(applied)), end).await {
                let session = held.session;
                tracing::warn!(%session, %error, "that a break-glass restriction was applied is not recorded");
            }
        }
        for failure in &done.failed {
            tracing::error!(session = %held.session, failure, "a break-glass restriction was not applied");
        }
        Some(done)
    }

    /// Makes the locks; gives what could not be locked.
    async fn shut(
        &self,
        held: &Held,
        all: &[Selector],
        (operator, reason, end): &(OperatorName, Reason, Instant),
        done: &mut Restricted,
    ) -> Vec<Selector> {
        let mut left = Vec::new();
        for selector in all {
            if let Some(known) = self.has_lock(held, selector, reason) {
                done.locks.push(known);
                continue;
            }
            // It was locked, and somebody has lifted it.
            if !held.left.lock.contains(selector) {
                continue;
            }
            let terms = Terms { expires: held.until, message: reason.clone() };
            let lock =
                Lock { operator: operator.clone(), selector: selector.clone(), tenants: vec![], terms };
            match self.insist(Command::Lock(lock), *end).await {
                Ok(recorded) => {
                    done.locks.push(recorded.index());
                }
                Err(error) => {
                    done.failed.push(format!("lock {selector}: {error}"));
                    left.push(selector.clone());
                }
            }
        }
        left
    }

    /// Makes the revocations; gives what could not be revoked. Whether one was made before a crash is not told by the
    /// state. Once more ends what came since, which is the safe side.
    async fn end(
        &self,
        all: &[Selector],
        (operator, reason, end): &(OperatorName, Reason, Instant),
        done: &mut Restricted,
    ) -> Vec<Selector> {
        let mut left = Vec::new();
        for selector in all {
            let revocation = Revocation {
                for_good: false,
                issued_before: None,
                live: None,
                lock: None,
                operator: operator.clone(),
                reason: reason.clone(),
                selector: selector.clone(),
                tenants: Vec::new(),
            };
            match self.insist(Command::Revoke { revocation, target: None }, *end).await {
                Ok(_) => done.revocations = done.revocations.saturating_add(1),
                Err(error) => {
                    done.failed.push(format!("revoke {selector}: {error}"));
                    left.push(selector.clone());
                }
            }
        }
        left
    }

    /// The lock that this session made for `selector`, up to its end of now. One of some tenants is somebody's who has read
    /// the message, and shuts less.
    fn has_lock(&self, held: &Held, selector: &Selector, reason: &Reason) -> Option<u64> {
        let locks = self.ledger.locks();
        let own = |lock: &Lock| {
            let same = lock.selector == *selector && lock.terms.message == *reason;
            same && lock.tenants.is_empty() && lock.terms.expires >= held.until
        };
        locks.iter().find(|one| own(&one.lock)).map(|one| one.index)
    }
}

/// What the refused caller is told, and the record says: which incident it is.
fn reason(held: &Held) -> Option<Reason> {
    held.message()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[tokio::test]
    async fn a_brake_waits_for_its_own_turn_and_for_no_other_one_s() {
        let (turns, at) = (OneAtATime::default(), Timestamp::from_seconds(1));
        let (one, two) = (Lineage::new(at, &[1; 10]), Lineage::new(at, &[2; 10]));
        let first = turns.of(one);
        let held = first.lock().await;
        assert!(turns.of(one).try_lock().is_err(), "twice the same");
        assert!(turns.of(two).try_lock().is_ok());
        drop(held);
        assert!(turns.of(one).try_lock().is_ok());
        drop(first);
        turns.of(two);
        assert_eq!(turns.turns.lock().unwrap().len(), 1, "those of the past are forgotten");
    }
}
