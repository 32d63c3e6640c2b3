//! Restrict: what a session of a playbook that restricts shuts and ends. Applied when it opens, and again at a start
//! when a crash came between the opening and its locks.

use crate::domain::break_glass::{Held, Phase};
use crate::domain::id::Lineage;
use crate::domain::ledger::Command;
use crate::domain::name::{OperatorName, Reason};
use crate::domain::playbook::{Restriction, Scope};
use crate::domain::revocation::{Lock, Revocation, Selector, Terms};
use crate::notify::Notice;

use crate::broker::Broker;
use crate::broker::announce::Announced;

/// What a restriction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restricted {
    /// The locks that are in force for the session: the indices of their entries.
    pub locks: Vec<u64>,
    /// How many revocations were made.
    pub revocations: usize,
    /// What could not be done; it is tried again at the next start, and `hotwork lock` and `hotwork revoke` do it.
    pub failed: Vec<String>,
}

impl Broker {
    /// Does what open sessions shut and end, where it was not done. For the start.
    pub async fn finish_restrictions(&self) {
        let sessions: Vec<Lineage> = self.ledger.sessions().iter().map(|held| held.session).collect();
        for session in sessions {
            match self.announced(session) {
                Ok(Some(announced)) => drop(self.restrict(&announced, true).await),
                Ok(None) => {}
                Err(error) => tracing::error!(%session, %error, "a break-glass restriction was not applied"),
            }
        }
    }

    /// Does what the session shuts and, when `ends`, what it ends. `None` when it is a drill, over, or expands.
    pub(super) async fn restrict(&self, announced: &Announced, ends: bool) -> Option<Restricted> {
        let held = announced.held();
        let Scope::Restrict(restriction) = &held.opening.scope else { return None };
        if held.opening.drill || held.phase(self.log_time()) != Phase::Open {
            return None;
        }
        let operator = held.signatures.last().map(|signature| signature.operator.clone())?;
        let mut done = Restricted::default();
        let by = (operator, reason(held)?);
        // Locks first: what comes is worse than what is there.
        self.shut(held, restriction, &by, &mut done).await;
        if ends {
            self.end(restriction, &by, &mut done).await;
        }
        for failure in &done.failed {
            tracing::error!(session = %held.session, failure, "a break-glass restriction was not applied");
        }
        Some(done)
    }

    async fn shut(
        &self,
        held: &Held,
        restriction: &Restriction,
        (operator, reason): &(OperatorName, Reason),
        done: &mut Restricted,
    ) {
        for selector in &restriction.lock {
            if let Some(known) = self.has_lock(held, selector, reason) {
                done.locks.push(known);
                continue;
            }
            let terms = Terms { expires: held.until, message: reason.clone() };
            let lock =
                Lock { operator: operator.clone(), selector: selector.clone(), tenants: vec![], terms };
            match self.ledger.submit(Command::Lock(lock)).await {
                Ok(recorded) => {
                    done.locks.push(recorded.index());
                    let (operator, selector) = (operator.clone(), selector.clone());
                    self.notifier.notify(&Notice::Locked { operator, selector });
                }
                Err(error) => done.failed.push(format!("lock {selector}: {error}")),
            }
        }
    }

    /// Whether it was done before a crash is not told by the state. Once more ends what came since, which is the safe
    /// side.
    async fn end(
        &self,
        restriction: &Restriction,
        (operator, reason): &(OperatorName, Reason),
        done: &mut Restricted,
    ) {
        for selector in &restriction.revoke {
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
            match self.ledger.submit(Command::Revoke { revocation, target: None }).await {
                Ok(_) => {
                    done.revocations = done.revocations.saturating_add(1);
                    let (operator, selector) = (operator.clone(), selector.clone());
                    self.notifier.notify(&Notice::Revoked { operator, selector });
                }
                Err(error) => done.failed.push(format!("revoke {selector}: {error}")),
            }
        }
    }

    /// The lock that this session made for `selector`, up to its end of now.
    fn has_lock(&self, held: &Held, selector: &Selector, reason: &Reason) -> Option<u64> {
        let locks = self.ledger.locks();
        let own = |lock: &Lock| {
            lock.selector == *selector && lock.terms.message == *reason && lock.terms.expires >= held.until
        };
        locks.iter().find(|one| own(&one.lock)).map(|one| one.index)
    }
}

/// What the refused caller is told, and the record says: which incident it is.
fn reason(held: &Held) -> Option<Reason> {
    held.message()
}
