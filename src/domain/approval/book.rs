//! The requests that can still be decided or used, and the rules: pure, and bounded.
//!
//! Joined: the same request again is the same one. Limited: an agent can't bury the one that matters among others,
//! and after a no it waits. Used once: the ledger's total order makes it so.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Approval, Asked, State, Verdict, Vote};
use crate::domain::credential::Issuance;
use crate::domain::entry::{Entry, Event};
use crate::domain::id::ApprovalId;
use crate::domain::limits::{
    APPROVAL_COOL_DOWN_MS, APPROVAL_VOTES_MAX, APPROVALS_BUT_FOR_THE_KEY_MAX, APPROVALS_MAX,
    APPROVALS_PENDING_PER_AGENT_MAX, APPROVALS_PER_AGENT_MAX, APPROVALS_PER_TENANT_MAX,
};
use crate::domain::name::{ActionName, AgentId};
use crate::domain::time::Timestamp;

/// Why a request, a decision or a use changes nothing.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ApprovalRefusal {
    /// An operator said no a short time ago.
    #[error("an operator denied this action a short time ago")]
    CoolingDown,
    /// It is decided, used or over.
    #[error("the request is not open any more")]
    Decided(State),
    /// There are too many.
    #[error("too many requests wait for approval")]
    Exhausted,
    /// The same request waits already, or is approved.
    #[error("the same request waits already")]
    Joined(ApprovalId),
    /// It is another request than the one that was approved.
    #[error("the approval is for another request")]
    Mismatch,
    /// The operator has decided it before.
    #[error("the operator has decided it before")]
    Repeated,
    /// It is not there.
    #[error("there is no such request")]
    Unknown,
}

/// The requests that can still matter, as an immutable snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    by_id: BTreeMap<ApprovalId, Arc<Approval>>,
    /// Until when an agent may not ask for an action again.
    cooling: HashMap<(AgentId, ActionName), Timestamp>,
}

impl Approvals {
    /// One of them.
    pub fn get(&self, id: ApprovalId) -> Option<&Arc<Approval>> {
        self.by_id.get(&id)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Approval>> {
        self.by_id.values()
    }

    /// Whether the request may be made.
    ///
    /// # Errors
    /// [`ApprovalRefusal::Joined`] when it is there already; otherwise why not.
    pub fn admit(&self, asked: &Asked, now: Timestamp) -> Result<(), ApprovalRefusal> {
        let agent = &asked.terms.agent;
        let own = || self.iter().filter(|one| one.asked.terms.agent == *agent);
        let open = |one: &&Arc<Approval>| matches!(one.state(now), State::Approved | State::Pending);
        if let Some(same) = own().filter(open).find(|one| one.asked.request == asked.request) {
            return Err(ApprovalRefusal::Joined(same.asked.id));
        }
        let cooling = self.cooling.get(&(agent.clone(), asked.terms.action.clone()));
        if cooling.is_some_and(|until| now < *until) {
            return Err(ApprovalRefusal::CoolingDown);
        }
        let tenant = || self.iter().filter(|one| one.asked.terms.agent.tenant() == agent.tenant());
        let alike = |one: &&Arc<Approval>| one.asked.terms.differs_in_key_only(&asked.terms);
        let full = own().filter(open).filter(alike).count() >= APPROVALS_BUT_FOR_THE_KEY_MAX
            || own().filter(open).count() >= APPROVALS_PENDING_PER_AGENT_MAX
            || own().count() >= APPROVALS_PER_AGENT_MAX
            || tenant().count() >= APPROVALS_PER_TENANT_MAX
            || self.by_id.len() >= APPROVALS_MAX;
        // Ids are random; a second request of the same would make two one.
        if full || self.by_id.contains_key(&asked.id) { Err(ApprovalRefusal::Exhausted) } else { Ok(()) }
    }

    /// Whether the decision counts at `now`. A no counts until the request is used, also after a yes.
    ///
    /// # Errors
    /// Why it does not.
    pub fn vote(&self, vote: &Vote, now: Timestamp) -> Result<(), ApprovalRefusal> {
        let approval = self.by_id.get(&vote.approval).ok_or(ApprovalRefusal::Unknown)?;
        match approval.state(now) {
            State::Approved | State::Pending => {}
            state @ (State::Denied | State::Expired | State::Used) => {
                return Err(ApprovalRefusal::Decided(state));
            }
        }
        let said = |known: &Vote| known.operator == vote.operator && known.verdict == vote.verdict;
        match vote.verdict {
            Verdict::Deny => Ok(()),
            Verdict::Approve if approval.votes.iter().any(said) => Err(ApprovalRefusal::Repeated),
            Verdict::Approve if approval.votes.len() >= APPROVAL_VOTES_MAX => Err(ApprovalRefusal::Exhausted),
            Verdict::Approve => Ok(()),
        }
    }

    /// Whether a credential of this record may be issued at `now` on the approval that it names.
    ///
    /// # Errors
    /// Why not.
    pub fn redeem(&self, issuance: &Issuance, now: Timestamp) -> Result<(), ApprovalRefusal> {
        let found = issuance.approval.and_then(|used| self.by_id.get(&used.id));
        let approval = found.ok_or(ApprovalRefusal::Unknown)?;
        if !approval.asked.terms.cover(issuance) {
            return Err(ApprovalRefusal::Mismatch);
        }
        match approval.state(now) {
            State::Approved => Ok(()),
            state @ (State::Denied | State::Expired | State::Pending | State::Used) => {
                Err(ApprovalRefusal::Decided(state))
            }
        }
    }

    /// Applies an entry of the log; one of another kind changes nothing.
    pub(in crate::domain) fn apply(&mut self, entry: &Entry, index: u64) {
        if let Event::Ask(asked) = &entry.event {
            self.apply_asked(asked, entry.time, index);
        } else if let Event::Decide(vote) = &entry.event {
            self.apply_vote(vote, entry.time);
        }
    }

    /// Adds a request whose entry is durable.
    pub(in crate::domain) fn apply_asked(&mut self, asked: &Asked, time: Timestamp, index: u64) {
        let asked = Arc::new(asked.clone());
        let approval = Approval { asked: Arc::clone(&asked), index, time, votes: Vec::new(), used: None };
        self.by_id.insert(asked.id, Arc::new(approval));
    }

    /// Adds a decision whose entry is durable.
    pub(in crate::domain) fn apply_vote(&mut self, vote: &Vote, time: Timestamp) {
        let Some(approval) = self.by_id.get_mut(&vote.approval) else { return };
        Arc::make_mut(approval).votes.push(vote.clone());
        if vote.verdict == Verdict::Deny {
            let terms = &approval.asked.terms;
            let until = time.plus_millis(APPROVAL_COOL_DOWN_MS);
            self.cooling.insert((terms.agent.clone(), terms.action.clone()), until);
        }
    }

    /// Notes the credential whose entry is durable.
    pub(in crate::domain) fn apply_issue(&mut self, issuance: &Issuance) {
        let found = issuance.approval.and_then(|used| self.by_id.get_mut(&used.id));
        if let Some(approval) = found {
            Arc::make_mut(approval).used = Some(issuance.id);
        }
    }

    /// Whether something is to be forgotten.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.iter().any(|one| one.asked.expires <= now) || self.cooling.values().any(|until| *until <= now)
    }

    /// Drops what can't be decided or used any more. The log keeps all.
    pub fn forget(&mut self, now: Timestamp) {
        self.by_id.retain(|_, one| now < one.asked.expires);
        self.cooling.retain(|_, until| now < *until);
    }
}
