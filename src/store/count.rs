//! Counting what a selector covers, by a look at the records that can be live. Off the path of issuance and
//! of acknowledgement, and bounded in time: the count is then a lower bound.

use std::collections::HashMap;
use std::time::Instant;

use super::reader::{ReadError, Reader};
use crate::domain::credential::Issuance;
use crate::domain::entry::Entry;
use crate::domain::limits::{COUNT_ENTRIES, LEDGER_COMMAND_AGE_MS_MAX, TTL_SECONDS_MAX};
use crate::domain::name::{AgentId, TenantName};
use crate::domain::revocation::{Facts, Revocations, Selector};
use crate::domain::time::Timestamp;

/// What is counted.
#[derive(Clone, Debug)]
pub struct Covered {
    /// What it names.
    pub selector: Selector,
    /// Only agents of these tenants; all when empty.
    pub tenants: Vec<TenantName>,
    /// Only what was minted then or before.
    pub until: Option<Timestamp>,
}

/// A count of live credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many there are, or how many were found in time.
    pub live: u64,
    /// Whether all were looked at.
    pub complete: bool,
    /// When the last of them expires by itself.
    pub expires: Option<Timestamp>,
}

impl Covered {
    /// The earliest commit that can have made what is covered and live at `now`.
    fn oldest(&self, now: Timestamp) -> Timestamp {
        let living = oldest(now);
        // A lineage is named by the broker just before its first credential is committed. (A clock that was set back
        // in between can hide that one from the count, and not from the revocation.)
        let born = match &self.selector {
            Selector::Lineage(lineage) => Some(lineage.time()),
            Selector::Action(_)
            | Selector::Agent(_)
            | Selector::All
            | Selector::Api(_)
            | Selector::Attested(_)
            | Selector::Credential(_)
            | Selector::Key(_)
            | Selector::Owner(_)
            | Selector::Principal(_)
            | Selector::Resource(_)
            | Selector::Serial(_)
            | Selector::Tenant(_) => None,
        };
        born.map_or(living, |born| living.max(born))
    }

    fn covers(&self, issuance: &Issuance) -> bool {
        let mine = self.tenants.is_empty() || self.tenants.contains(issuance.agent.tenant());
        let minted = self.until.is_none_or(|until| issuance.issued <= until);
        mine && minted && Facts::from(issuance).named_by(&self.selector)
    }
}

impl Reader {
    /// Counts the credentials that are live at `now`, are covered, and are not ended in `known`. It stops at
    /// `deadline`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn count_live(
        &self,
        covered: &Covered,
        known: &Revocations,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Count, ReadError> {
        let mut count = Count { live: 0, complete: true, expires: None };
        count.complete = self.each_unexpired(covered.oldest(now), now, deadline, |issuance| {
            if covered.covers(issuance) && known.ended_issuance(issuance).is_none() {
                count.live = count.live.saturating_add(1);
                count.expires = count.expires.max(Some(issuance.expires));
            }
        })?;
        Ok(count)
    }

    /// The credentials that are live at `now` and not ended in `known`, by agent; `None` when there are too many
    /// to count until `deadline`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn live_by_agent(
        &self,
        known: &Revocations,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Option<HashMap<AgentId, u64>>, ReadError> {
        let mut counts: HashMap<AgentId, u64> = HashMap::new();
        let complete = self.each_unexpired(oldest(now), now, deadline, |issuance| {
            if known.ended_issuance(issuance).is_none() {
                let count = counts.entry(issuance.agent.clone()).or_default();
                *count = count.saturating_add(1);
            }
        })?;
        Ok(complete.then_some(counts))
    }

    /// Visits the records since `oldest` that have not expired at `now`; whether that was all before `deadline`.
    fn each_unexpired(
        &self,
        oldest: Timestamp,
        now: Timestamp,
        deadline: Instant,
        mut visit: impl FnMut(&Issuance),
    ) -> Result<bool, ReadError> {
        let Some(mut next) = self.shared().index.first_since(oldest)? else { return Ok(true) };
        loop {
            let entries = self.entries(next, COUNT_ENTRIES)?;
            if entries.is_empty() {
                return Ok(true);
            }
            for json in entries {
                let entry =
                    Entry::from_json(&json).map_err(|source| ReadError::Entry { index: next, source })?;
                next = next.saturating_add(1);
                if let Some(issuance) = entry.event.issued().filter(|issuance| issuance.expires > now) {
                    visit(issuance);
                }
            }
            if Instant::now() >= deadline {
                return Ok(next >= self.shared().head.load().size);
            }
        }
    }
}

/// The earliest commit that can have made what is live at `now`.
fn oldest(now: Timestamp) -> Timestamp {
    now.plus_millis(-(i64::from(TTL_SECONDS_MAX) * 1000 + LEDGER_COMMAND_AGE_MS_MAX))
}
