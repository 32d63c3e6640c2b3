//! The ledger's rules for requests that operators decide, and for what is issued on them.

use std::sync::Arc;

use super::{Refusal, State};
use crate::domain::approval::{ApprovalRefusal, Approvals, Asked, Vote};
use crate::domain::catalogue::Tier;
use crate::domain::credential::Issuance;
use crate::domain::entry::Event;
use crate::domain::limits::{CLOCK_BEHIND_MS_MAX, LEDGER_COMMAND_AGE_MS_MAX};
use crate::domain::time::Timestamp;

impl State {
    /// Which requests wait for operators or are decided, as a snapshot.
    pub fn approvals(&self) -> Arc<Approvals> {
        Arc::clone(&self.approvals)
    }

    /// Whether an operator's decision may be recorded.
    pub(super) fn decide_vote(&self, vote: Box<Vote>, time: Timestamp) -> Result<Event, Refusal> {
        self.approvals.vote(&vote, time)?;
        Ok(Event::Decide(vote))
    }

    /// Whether a request for approval may be recorded.
    pub(super) fn decide_ask(
        &self,
        asked: Box<Asked>,
        now: Timestamp,
        time: Timestamp,
    ) -> Result<Event, Refusal> {
        self.clock_holds(now)?;
        let age = time.millis_since(asked.id.time());
        if !(0..=LEDGER_COMMAND_AGE_MS_MAX).contains(&age) {
            return Err(Refusal::Stale);
        }
        self.approvals.admit(&asked, time)?;
        Ok(Event::Ask(asked))
    }

    /// Whether the clock is not behind the log.
    pub(super) fn clock_holds(&self, now: Timestamp) -> Result<(), Refusal> {
        let behind = self.time.millis_since(now);
        if behind > CLOCK_BEHIND_MS_MAX { Err(Refusal::ClockBehind(behind)) } else { Ok(()) }
    }

    /// Whether what needs an approval has one that can be used now, and what needs none names none.
    pub(super) fn is_approved(&self, issuance: &Issuance, time: Timestamp) -> Result<(), Refusal> {
        match (issuance.tier, issuance.approval) {
            (Tier::Approval, _) => Ok(self.approvals.redeem(issuance, time)?),
            (Tier::Auto | Tier::BreakGlass, None) => Ok(()),
            (Tier::Auto | Tier::BreakGlass, Some(_)) => Err(ApprovalRefusal::Mismatch.into()),
        }
    }
}
