//! The ledger's rules for what ends credentials, uses them up or refuses them.

use super::{Change, Refusal, State, Target};
use crate::domain::credential::Issuance;
use crate::domain::digest::Digest;
use crate::domain::entry::{Entry, Event, Release, VERSION};
use crate::domain::id::CredentialId;
use crate::domain::revocation::{Lock, Revocation, Selector};
use crate::domain::time::Timestamp;

impl State {
    pub(super) fn decide_consume(
        &self,
        issuance: &Issuance,
        key: Digest,
        time: Timestamp,
    ) -> Result<Change, Refusal> {
        // First: a retry does not bring back what was ended.
        let ended = self.revocations.ended_issuance(issuance).is_some();
        if ended || issuance.expires <= time {
            return Err(Refusal::AlreadyEnded);
        }
        let consumption = self.consumptions.debit(issuance, key)?;
        let entry = Entry { event: Event::Consume(consumption), time, v: VERSION };
        Ok(Change { entry, released: None })
    }

    pub(super) fn decide_release(&self, release: Release, time: Timestamp) -> Result<Change, Refusal> {
        let target = Target {
            agent: release.agent.clone(),
            issued: release.credential.time(),
            expires: release.expires,
        };
        self.is_live(release.credential, &target, time)?;
        let entry = Entry { event: Event::Release(release), time, v: VERSION };
        Ok(Change { entry, released: Some(target) })
    }

    pub(super) fn may_lock(&self, lock: &Lock, time: Timestamp) -> Result<(), Refusal> {
        let same = |other: &Lock| {
            let (known, asked) = (&other.terms, &lock.terms);
            other.selector == lock.selector
                && other.tenants == lock.tenants
                && known.message == asked.message
                && known.expires == asked.expires
        };
        // Each of a session's locks counts as one of a brake once, whoever copies what it says.
        let brake = self.sessions.brakes(lock, time) && !self.locks.iter().any(|held| same(&held.lock));
        self.locks.admit(lock, brake, time).map_err(Refusal::LocksExhausted)
    }

    pub(super) fn decide_revoke(
        &self,
        revocation: Revocation,
        target: Option<Target>,
        time: Timestamp,
    ) -> Result<Change, Refusal> {
        if let Some(lock) = revocation.lock() {
            self.may_lock(&lock, time)?;
        }
        // Only a key, as a whole and for everybody: anything else that is ended for good could never be forgotten.
        let is_key = matches!(revocation.selector, Selector::Key(_));
        let whole = revocation.issued_before.is_none() && revocation.tenants.is_empty();
        let for_good = revocation.for_good && is_key && whole;
        if let (Selector::Credential(id), Some(target)) = (&revocation.selector, &target) {
            self.is_live(*id, target, time)?;
        }
        let live = self.live_covered(&revocation, target.is_some(), time);
        let event = Event::Revoke(Revocation { for_good, live, ..revocation });
        Ok(Change { entry: Entry { event, time, v: VERSION }, released: target })
    }

    /// How many live credentials it ends, where the counts tell.
    fn live_covered(&self, revocation: &Revocation, has_target: bool, time: Timestamp) -> Option<u64> {
        let Revocation { issued_before, selector, tenants, .. } = revocation;
        if let Selector::Credential(_) = selector {
            return Some(u64::from(has_target));
        }
        if issued_before.is_some() {
            return None;
        }
        self.live.covered(selector, tenants, time)
    }

    fn is_live(&self, id: CredentialId, target: &Target, time: Timestamp) -> Result<(), Refusal> {
        let ended = self.revocations.ended(&id, &target.agent, target.issued).is_some();
        if ended || target.expires <= time { Err(Refusal::AlreadyEnded) } else { Ok(()) }
    }
}
