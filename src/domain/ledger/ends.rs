//! How single credentials end or are used up by their holders: releases and debits.

use super::{Change, Refusal, State, Target};
use crate::domain::credential::Issuance;
use crate::domain::digest::Digest;
use crate::domain::entry::{Entry, Event, Release, VERSION};
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
}
