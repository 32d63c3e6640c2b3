//! Changes: how many calls that change something one operator has under way.
//!
//! Such a call goes on when its caller goes away, so no connection and no stream bounds it: without this, whoever opens and
//! resets streams would have thousands of them at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::limits::CHANGES_PER_OPERATOR_MAX;
use crate::domain::name::OperatorName;

use super::Broker;
use super::operate::Authorized;

/// The operator has as many under way as one may.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{CHANGES_PER_OPERATOR_MAX} calls of this operator that change something are under way; wait for them"
)]
pub struct TooManyChanges;

/// What is under way, by operator. Each has a share of their own and takes none of another's, so all together are bounded by
/// the registry.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    by_operator: Arc<Mutex<HashMap<OperatorName, usize>>>,
}

/// One change under way; over when dropped.
#[derive(Debug)]
pub struct Underway {
    changes: Changes,
    operator: OperatorName,
}

impl Changes {
    /// Begins one of the operator's.
    ///
    /// # Errors
    /// [`TooManyChanges`].
    pub fn begin(&self, operator: &OperatorName) -> Result<Underway, TooManyChanges> {
        let mut known = self.by_operator.lock().unwrap_or_else(PoisonError::into_inner);
        let count = known.get(operator).copied().unwrap_or_default();
        if count >= CHANGES_PER_OPERATOR_MAX {
            return Err(TooManyChanges);
        }
        known.insert(operator.clone(), count.saturating_add(1));
        drop(known);
        Ok(Underway { changes: self.clone(), operator: operator.clone() })
    }

    /// How many operators have one under way.
    pub fn operators(&self) -> usize {
        self.by_operator.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut known = self.changes.by_operator.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get_mut(&self.operator) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            Some(_) | None => {
                known.remove(&self.operator);
            }
        }
    }
}

impl Broker {
    /// Begins a call that changes something.
    ///
    /// # Errors
    /// [`TooManyChanges`]. It is not recorded: whoever has so many could fill the log with it.
    pub fn begin_change(&self, by: &Authorized) -> Result<Underway, TooManyChanges> {
        let begun = self.changes.begin(&by.operator().name);
        if begun.is_err() {
            tracing::warn!(operator = %by.operator().name, rpc = by.rpc(), "too many changes of one operator are under way");
        }
        begun
    }

    /// What is under way.
    pub const fn changes(&self) -> &Changes {
        &self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_has_their_own_share_and_what_is_over_is_free_again() {
        let (changes, alice, bob) = (Changes::default(), "alice".parse().unwrap(), "bob".parse().unwrap());
        let begun: Vec<Underway> =
            (0..CHANGES_PER_OPERATOR_MAX).map(|_| changes.begin(&alice).unwrap()).collect();
        assert_eq!(changes.begin(&alice).err(), Some(TooManyChanges));
        let other = changes.begin(&bob).unwrap();
        assert_eq!(changes.operators(), 2);
        drop(begun);
        assert_eq!(changes.operators(), 1);
        assert!(changes.begin(&alice).is_ok());
        drop(other);
        assert_eq!(changes.operators(), 0, "nobody is remembered who does nothing");
    }
}
