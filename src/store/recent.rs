//! The newest credentials, in memory, so that ending one soon after it was given reads no disk.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};

use super::ledger::Ledger;
use crate::domain::credential::Issuance;
use crate::domain::id::CredentialId;
use crate::domain::limits::RECENT_CREDENTIALS_MAX;

/// The newest [`RECENT_CREDENTIALS_MAX`] credentials of this start, each durable.
#[derive(Debug, Default)]
pub(super) struct Recent {
    by_id: HashMap<CredentialId, Arc<Issuance>>,
    oldest_first: VecDeque<CredentialId>,
}

impl Recent {
    /// Adds a credential that is durable; the oldest makes room.
    pub(super) fn push(&mut self, issuance: Issuance) {
        if self.oldest_first.len() >= RECENT_CREDENTIALS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        self.oldest_first.push_back(issuance.id);
        self.by_id.insert(issuance.id, Arc::new(issuance));
    }
}

impl Ledger {
    /// The record of a credential that was given not long ago, as it was given: [`Self::revocations`] knows whether it has
    /// ended. `None` says nothing; [`Reader::credential`](super::Reader::credential) knows them all.
    pub fn recent(&self, id: CredentialId) -> Option<Arc<Issuance>> {
        let recent = self.shared().recent.read().unwrap_or_else(PoisonError::into_inner);
        recent.by_id.get(&id).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;
    use crate::domain::time::Timestamp;

    #[test]
    fn the_oldest_makes_room() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let at = |number| now.plus_millis(i64::try_from(number).unwrap());
        let given: Vec<Issuance> =
            (0..=RECENT_CREDENTIALS_MAX).map(|number| fixture::issuance("a", at(number), 1)).collect();
        let mut recent = Recent::default();
        given.iter().for_each(|issuance| recent.push(issuance.clone()));
        assert_eq!(recent.by_id.len(), RECENT_CREDENTIALS_MAX);
        assert_eq!(recent.oldest_first.len(), RECENT_CREDENTIALS_MAX);
        assert!(!recent.by_id.contains_key(&given[0].id), "the oldest has gone");
        assert_eq!(*recent.by_id[&given[1].id], given[1]);
    }
}
