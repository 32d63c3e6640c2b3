//! Locks: what may not be issued for now. A lock ends by itself, and its message reaches who is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, HolderFacts, Table};
use super::selector::Selector;
use crate::domain::limits::{
    LOCKS_MAX, LOCKS_PER_OPERATOR_MAX, LOCKS_PER_TENANT_MAX, LOCKS_RESERVED, LOCKS_RESERVED_FOR_ALL,
};
use crate::domain::name::{OperatorName, Reason, TenantName};
use crate::domain::time::Timestamp;

/// How long a lock lasts, and what it says. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// When it ends by itself.
    pub expires: Timestamp,
    /// What the refused caller is told.
    pub message: Reason,
}

/// The record of a lock. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Who locked.
    pub operator: OperatorName,
    /// What may not be issued.
    pub selector: Selector,
    /// Only for agents of these tenants; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantName>,
    /// How long, and what it says.
    pub terms: Terms,
}

/// The record of a lock's end before its time. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unlock {
    /// The log index of the entry that made the lock: the lock's id.
    pub lock: u64,
    /// Who unlocked.
    pub operator: OperatorName,
}

/// A lock with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The entry that made it: the lock's id.
    pub index: u64,
    /// When it was durable.
    pub time: Timestamp,
    /// The lock.
    pub lock: Lock,
}

/// Whose share of the locks is used up.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LockShare {
    /// Everybody's.
    #[error("more than {LOCKS_MAX} locks would be in force")]
    All,
    /// The operator's.
    #[error("more than {LOCKS_PER_OPERATOR_MAX} locks of one operator would be in force")]
    Operator,
    /// A tenant's operators'.
    #[error("more than {LOCKS_PER_TENANT_MAX} locks of one tenant's operators would be in force")]
    Tenant,
}

/// The oldest lock that is in force for a tenant.
struct Found<'t, 's> {
    now: Timestamp,
    tenant: &'t TenantName,
    oldest: Option<&'s Arc<InForce>>,
}

impl<'s> Found<'_, 's> {
    fn look(&mut self, locks: &'s [Arc<InForce>]) {
        let refuses = |held: &&Arc<InForce>| {
            let tenants = &held.lock.tenants;
            let mine = tenants.is_empty() || tenants.contains(self.tenant);
            mine && self.now < held.lock.terms.expires
        };
        self.oldest = locks.iter().filter(refuses).chain(self.oldest).min_by_key(|held| held.index);
    }
}

/// The locks, as an immutable snapshot. At most [`LOCKS_MAX`].
#[derive(Clone, Debug, Default)]
pub struct Locks {
    table: Table<Vec<Arc<InForce>>>,
    by_index: BTreeMap<u64, Arc<InForce>>,
}

impl Locks {
    /// The oldest lock that refuses a credential of these facts at `now`.
    pub fn refusing(&self, facts: &Facts<'_>, now: Timestamp) -> Option<&Arc<InForce>> {
        if self.by_index.is_empty() {
            return None;
        }
        let mut found = Found { now, tenant: facts.agent.tenant(), oldest: None };
        self.table.visit(facts, |locks| found.look(locks));
        found.oldest
    }

    /// The oldest lock that refuses everything of this holder at `now`.
    pub fn refusing_holder(&self, holder: &HolderFacts<'_>, now: Timestamp) -> Option<&Arc<InForce>> {
        let mut found = Found { now, tenant: holder.agent.tenant(), oldest: None };
        self.table.visit_holder(holder, |locks| found.look(locks));
        found.oldest
    }

    /// The lock made by the entry `index`.
    pub fn get(&self, index: u64) -> Option<&Arc<InForce>> {
        self.by_index.get(&index)
    }

    /// All, oldest first; some may have expired.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<InForce>> {
        self.by_index.values()
    }

    /// Whether there is room for `lock` at `now`; `brake` is whether a break-glass session makes it.
    ///
    /// Nobody can take what others need: each operator and each tenant has a share, and the last places are for what
    /// an incident needs.
    ///
    /// # Errors
    /// Whose share is used up.
    pub fn admit(&self, lock: &Lock, brake: bool, now: Timestamp) -> Result<(), LockShare> {
        let in_force =
            || self.by_index.values().map(|held| &held.lock).filter(|held| now < held.terms.expires);
        let wide = lock.tenants.is_empty() && matches!(lock.selector, Selector::All | Selector::Tenant(_));
        let reserved = match (wide, brake) {
            (true, _) => 0,
            (false, true) => LOCKS_RESERVED_FOR_ALL,
            (false, false) => LOCKS_RESERVED,
        };
        if in_force().count() >= LOCKS_MAX.saturating_sub(reserved) {
            return Err(LockShare::All);
        }
        let own =
            if wide || brake { LOCKS_PER_OPERATOR_MAX + LOCKS_RESERVED } else { LOCKS_PER_OPERATOR_MAX };
        if in_force().filter(|held| held.operator == lock.operator).count() >= own {
            return Err(LockShare::Operator);
        }
        let full = |tenant: &TenantName| {
            in_force().filter(|held| held.tenants.contains(tenant)).count() >= LOCKS_PER_TENANT_MAX
        };
        if lock.tenants.iter().any(full) { Err(LockShare::Tenant) } else { Ok(()) }
    }

    /// Adds a lock.
    pub fn add(&mut self, held: InForce) {
        let held = Arc::new(held);
        self.table.change(&held.lock.selector, |locks| locks.push(Arc::clone(&held)), |_| true);
        self.by_index.insert(held.index, held);
    }

    /// Takes a lock out.
    pub fn remove(&mut self, index: u64) {
        if let Some(held) = self.by_index.remove(&index) {
            let drop_it = |locks: &mut Vec<Arc<InForce>>| locks.retain(|other| other.index != index);
            self.table.change(&held.lock.selector, drop_it, |locks| !locks.is_empty());
        }
    }

    /// The ids of locks that have expired.
    pub fn expired(&self, now: Timestamp) -> Vec<u64> {
        let over = self.by_index.values().filter(|held| held.lock.terms.expires <= now);
        over.map(|held| held.index).collect()
    }
}
