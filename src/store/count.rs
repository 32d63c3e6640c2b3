//! Counting what a selector covers, by a look at the records that can be live. Off the path of issuance and
//! of acknowledgement, and bounded in time: the count is then a lower bound.

use std::time::Instant;

use super::reader::{ReadError, Reader};
use crate::domain::credential::Issuance;
use crate::domain::entry::{Entry, Event};
use crate::domain::limits::{CLOCK_BEHIND_MS_MAX, COUNT_ENTRIES, LEDGER_COMMAND_AGE_MS_MAX, TTL_SECONDS_MAX};
use crate::domain::name::TenantName;
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
        let lifetime_ms = i64::from(TTL_SECONDS_MAX) * 1000 + LEDGER_COMMAND_AGE_MS_MAX;
        let living = now.plus_millis(-lifetime_ms);
        // A lineage is named by the broker when its first credential is minted.
        let born = match &self.selector {
            Selector::Lineage(lineage) => Some(lineage.time().plus_millis(-CLOCK_BEHIND_MS_MAX)),
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
        let Some(mut next) = self.shared().index.first_since(covered.oldest(now))? else {
            return Ok(count);
        };
        loop {
            let entries = self.entries(next, COUNT_ENTRIES)?;
            if entries.is_empty() {
                return Ok(count);
            }
            for json in entries {
                let entry =
                    Entry::from_json(&json).map_err(|source| ReadError::Entry { index: next, source })?;
                next = next.saturating_add(1);
                let Some(issuance) = issued(&entry).filter(|issuance| issuance.expires > now) else {
                    continue;
                };
                if covered.covers(issuance) && known.ended_issuance(issuance).is_none() {
                    count.live = count.live.saturating_add(1);
                    count.expires = count.expires.max(Some(issuance.expires));
                }
            }
            if Instant::now() >= deadline {
                return Ok(Count { complete: next >= self.shared().head.load().size, ..count });
            }
        }
    }
}

fn issued(entry: &Entry) -> Option<&Issuance> {
    match &entry.event {
        Event::Issue(issuance) => Some(issuance),
        Event::Call(_)
        | Event::Consume(_)
        | Event::Deny(_)
        | Event::Enroll(_)
        | Event::Emergency(_)
        | Event::Load(_)
        | Event::Merge(_)
        | Event::Lock(_)
        | Event::Release(_)
        | Event::Remove(_)
        | Event::Revoke(_)
        | Event::Rotate(_)
        | Event::Start(_)
        | Event::Unlock(_) => None,
    }
}
