//! Revocation: what ended credentials that exist, and locks: what may not be issued for now.
//!
//! A broad revocation is a watermark: one record, checked in constant time, whatever it covers.

mod facts;
pub mod feed;
mod lock;
mod selector;
mod shared;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::facts::Table;
pub use self::facts::{Facts, HolderFacts};
pub use self::lock::{InForce, Lock, LockShare, Locks, Terms, Unlock};
pub use self::selector::{KeyId, Party, Selector};
use self::shared::SharedMap;
use super::credential::{Ended, EndedHow, Issuance};
use super::id::CredentialId;
use super::limits::{
    LEDGER_COMMAND_AGE_MS_MAX, LINEAGE_SECONDS_MAX, TTL_SECONDS_MAX, VERIFY_LEEWAY_SECONDS_MAX,
};
use super::name::{AgentId, OperatorName, Reason, TenantName};
use super::time::Timestamp;

/// How long an end matters to anybody, in milliseconds: the longest life of what it ended, the wait of a
/// command for its commit, and what verifiers forgive between two clocks.
pub const KEPT_MS: i64 =
    TTL_SECONDS_MAX as i64 * 1000 + LEDGER_COMMAND_AGE_MS_MAX + VERIFY_LEEWAY_SECONDS_MAX as i64 * 1000;
/// How long after its beginning a lineage may be minted in, in milliseconds: the ledger holds every issuance to it.
pub const LINEAGE_MS: i64 = LINEAGE_SECONDS_MAX as i64 * 1000;

/// From when on nothing that the end of `selector` covers, made at `time`, could be taken anyway; `None` is never.
///
/// A lineage that ended had begun by then. It mints nothing later than [`LINEAGE_MS`] after its beginning, ended
/// or not, so what it minted last has expired when both times are over. A key that ended for good could sign with
/// any time that a thief likes.
pub fn forget_time(selector: &Selector, until: Option<Timestamp>, time: Timestamp) -> Option<Timestamp> {
    match (selector, until) {
        (Selector::Key(_), None) => None,
        (Selector::Lineage(_), None) => Some(time.plus_millis(LINEAGE_MS).plus_millis(KEPT_MS)),
        (
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
            | Selector::Tenant(_),
            _,
        ) => Some(time.plus_millis(KEPT_MS)),
    }
}

/// The record of one revocation. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Of a key that no longer signs: whatever it signed ends, whenever it says that it was minted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_good: bool,
    /// Only what was minted before; all up to the entry's own time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<Timestamp>,
    /// Live credentials that it ended, where that is known without a look at each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<u64>,
    /// The lock that goes with it, in force from the same instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Terms>,
    /// Who revoked.
    pub operator: OperatorName,
    /// Why.
    pub reason: Reason,
    /// What ended.
    pub selector: Selector,
    /// Only agents of these tenants; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantName>,
}

impl Revocation {
    /// The watermark of the revocation that was committed at `time`: it ends what was minted then or
    /// before. `None` ends whatever was or will be minted: one credential, a lineage, or a key for good.
    pub fn until(&self, time: Timestamp) -> Option<Timestamp> {
        if self.for_good { None } else { watermark(&self.selector, self.issued_before, time) }
    }

    /// The lock that goes with it.
    pub fn lock(&self) -> Option<Lock> {
        self.lock.clone().map(|terms| Lock {
            operator: self.operator.clone(),
            selector: self.selector.clone(),
            tenants: self.tenants.clone(),
            terms,
        })
    }
}

/// As [`Revocation::until`], of the parts that tell it.
pub fn watermark(selector: &Selector, before: Option<Timestamp>, time: Timestamp) -> Option<Timestamp> {
    match (selector, before) {
        (Selector::Credential(_), _) | (Selector::Lineage(_), None) => None,
        (
            Selector::Action(_)
            | Selector::Agent(_)
            | Selector::All
            | Selector::Api(_)
            | Selector::Attested(_)
            | Selector::Key(_)
            | Selector::Lineage(_)
            | Selector::Owner(_)
            | Selector::Principal(_)
            | Selector::Resource(_)
            | Selector::Serial(_)
            | Selector::Tenant(_),
            before,
        ) => Some(before.map_or(time, |before| before.plus_millis(-1).min(time))),
    }
}

/// One watermark in force.
#[derive(Clone, Debug)]
pub struct Mark {
    /// How what it covers has ended.
    pub ended: Arc<Ended>,
    /// It covers what was minted then or before; everything when absent.
    pub until: Option<Timestamp>,
    /// Only agents of these tenants; all when empty.
    pub tenants: Arc<[TenantName]>,
}

impl Mark {
    /// Of a revocation that was committed at `time` as the entry `index`.
    pub fn of(revoked: &Revocation, time: Timestamp, index: u64) -> Self {
        let (ended, until) = (Arc::new(revoke(revoked, time, index)), revoked.until(time));
        Self { ended, until, tenants: revoked.tenants.as_slice().into() }
    }

    fn covers(&self, agent: &AgentId, issued: Timestamp) -> bool {
        let mine = self.tenants.is_empty() || self.tenants.contains(agent.tenant());
        mine && self.until.is_none_or(|until| issued <= until)
    }

    /// Whether it covers all that `other` does.
    fn includes(&self, other: &Self) -> bool {
        let later = self.until.is_none_or(|until| other.until.is_some_and(|theirs| theirs <= until));
        let wider = self.tenants.is_empty()
            || (!other.tenants.is_empty() && other.tenants.iter().all(|name| self.tenants.contains(name)));
        later && wider
    }

    /// Whether [`crate::domain::live::LiveCounts`] tells what it ended.
    fn is_told(&self, selector: &Selector) -> bool {
        let whole = matches!(selector, Selector::Agent(_) | Selector::All | Selector::Tenant(_));
        whole && self.until == Some(self.ended.time)
    }

    fn matters(&self, selector: &Selector, now: Timestamp) -> bool {
        forget_time(selector, self.until, self.ended.time).is_none_or(|forget| now < forget)
    }
}

/// Everything that is revoked or released, as an immutable snapshot. The issue path and verification
/// read it without a lock.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    epoch: u64,
    marks: Table<Vec<Mark>>,
    singles: SharedMap<CredentialId, Arc<Ended>>,
    /// When the newest mark was made that counts can't tell, also one that another has covered since.
    untold: Option<Timestamp>,
}

impl Revocations {
    /// The log index, plus 1, of the newest entry that ended anything; 0 when there is none. It only grows,
    /// it is durable, and it is the same after a rebuild.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// All up to `epoch` is in here.
    pub const fn reach(&mut self, epoch: u64) {
        if epoch > self.epoch {
            self.epoch = epoch;
        }
    }

    /// How many ends are kept.
    pub fn len(&self) -> usize {
        self.singles.len().saturating_add(self.marks.len())
    }

    /// Whether nothing has ended that matters still.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the credential of this record was ended early, if it was. The earliest end counts. The cost does
    /// not grow with what is revoked.
    pub fn ended_issuance(&self, issuance: &Issuance) -> Option<&Arc<Ended>> {
        let mut first = self.singles.get(&issuance.id);
        self.marks.visit(&Facts::from(issuance), |marks| {
            let covers = |mark: &&Mark| mark.covers(&issuance.agent, issuance.issued);
            let ends = marks.iter().filter(covers).map(|mark| &mark.ended);
            first = ends.chain(first).min_by_key(|ended| ended.index);
        });
        first
    }

    /// As [`Self::ended_issuance`], as far as id, agent and time of minting tell: by itself, its agent, its
    /// tenant, or everything. For callers that have not read the record yet.
    pub fn ended(&self, id: &CredentialId, agent: &AgentId, issued: Timestamp) -> Option<&Arc<Ended>> {
        self.singles.get(id).into_iter().chain(self.ended_of(agent, issued)).min_by_key(|ended| ended.index)
    }

    /// How everything of the agent that was issued then ended, if it did: by its name, its tenant, or as everything.
    pub fn ended_of(&self, agent: &AgentId, issued: Timestamp) -> Option<&Arc<Ended>> {
        let mut first: Option<&Arc<Ended>> = None;
        self.marks.visit_agent(agent, |marks| {
            let ends = marks.iter().filter(|mark| mark.covers(agent, issued)).map(|mark| &mark.ended);
            first = ends.chain(first).min_by_key(|ended| ended.index);
        });
        first
    }

    /// Whether the key of this id ended for good.
    pub fn key_ended(&self, kid: &str) -> bool {
        let marks = self.marks.of_key(kid);
        marks.is_some_and(|marks| marks.iter().any(|mark| mark.until.is_none() && mark.tenants.is_empty()))
    }

    /// Whether something that matters at `now` ended credentials that [`crate::domain::live::LiveCounts`] can't
    /// tell from others. The cost does not grow with what is revoked: whoever lists agents asks.
    pub fn is_untold(&self, now: Timestamp) -> bool {
        self.untold.is_some_and(|newest| now.millis_since(newest) < KEPT_MS)
    }

    /// Adds one credential's end; the first counts.
    pub fn end_one(&mut self, id: CredentialId, ended: Arc<Ended>) {
        self.singles.insert_first(id, ended);
    }

    /// Adds a watermark. One that the others cover adds nothing, and those that it covers are dropped: how
    /// a record ended is read from the log.
    pub fn end_many(&mut self, selector: &Selector, mark: Mark) {
        let untold = &mut self.untold;
        let add = |marks: &mut Vec<Mark>| {
            if !marks.iter().any(|known| known.includes(&mark)) {
                if !mark.is_told(selector) {
                    *untold = (*untold).max(Some(mark.ended.time));
                }
                marks.retain(|known| !mark.includes(known));
                marks.push(mark);
            }
        };
        self.marks.change(selector, add, |_| true);
    }

    /// Drops what no longer matters of `selector` at `now`.
    pub fn forget(&mut self, selector: &Selector, now: Timestamp) {
        if let Selector::Credential(id) = selector {
            self.singles.remove(id);
        } else {
            let drop_old = |marks: &mut Vec<Mark>| marks.retain(|mark| mark.matters(selector, now));
            self.marks.change(selector, drop_old, |marks| !marks.is_empty());
        }
    }
}

/// The end of a credential by its holder.
pub fn release(actor: &AgentId, time: Timestamp, index: u64) -> Ended {
    Ended { how: EndedHow::Released, actor: actor.as_str().into(), reason: "released".into(), time, index }
}

/// The end of credentials by an operator.
pub fn revoke(revocation: &Revocation, time: Timestamp, index: u64) -> Ended {
    Ended {
        how: EndedHow::Revoked,
        actor: revocation.operator.as_str().into(),
        reason: revocation.reason.as_str().into(),
        time,
        index,
    }
}
