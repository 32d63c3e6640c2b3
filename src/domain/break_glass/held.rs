//! What the rules remember: proposals under way, and sessions that are open or whose review is owed.

use super::{Closing, Opening, Proposal, Signature};
use crate::domain::id::Lineage;
use crate::domain::limits::{PROPOSAL_SECONDS_MAX, REVIEW_DUE_SECONDS};
use crate::domain::name::{OperatorName, Reason};
use crate::domain::playbook::{Quorum, Restriction};
use crate::domain::time::Timestamp;

/// A proposal under way, or done and remembered so that it is not done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What is signed.
    pub proposal: Proposal,
    /// By whom so far, in their order; never empty.
    pub signatures: Vec<Signature>,
    /// Who signed first, and when that was recorded: for whom it counts, and from when on.
    pub proposed: (OperatorName, Timestamp),
    /// Whether its quorum has been there.
    pub done: bool,
}

impl Pending {
    /// Until when it counts for who signed first: from its record on, not from when its text was made. Otherwise texts that
    /// are kept until they are about to end would be many in a short time. Never before its end.
    pub(super) fn counts_until(&self) -> Timestamp {
        let (_, recorded) = self.proposed;
        recorded.plus_millis(PROPOSAL_SECONDS_MAX.saturating_mul(1000)).max(self.proposal.until)
    }
}

/// A session that is open, or whose review is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id, and the lineage of its credentials.
    pub session: Lineage,
    /// What was signed.
    pub opening: Opening,
    /// How many had to sign then, at least: an extension needs as many.
    pub quorum: Quorum,
    /// Everybody who signed for it, extensions too.
    pub signatures: Vec<Signature>,
    /// How many people opened it.
    pub openers: usize,
    /// When it was opened.
    pub opened: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// How it was ended before.
    pub closed: Option<Closed>,
    /// What it shuts and ends, and has not yet. What was done is not done again: an operator may have undone it.
    pub left: Restriction,
    /// The entry that opened it.
    pub index: u64,
}

/// An early end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Who closed.
    pub closing: Closing,
    /// When.
    pub time: Timestamp,
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Credentials can be had.
    Open,
    /// It was closed or ended by itself, and its review is owed.
    Over,
    /// The review is overdue.
    Overdue,
}

impl Held {
    /// What those are told who are refused by its locks: which incident it is.
    pub fn message(&self) -> Option<Reason> {
        format!("break-glass {} for {}", self.session, self.opening.ticket).parse().ok()
    }

    /// Where it is at `now`, which is the log's time.
    pub fn phase(&self, now: Timestamp) -> Phase {
        let ended = self.closed.as_ref().map_or(self.until, |closed| closed.time.min(self.until));
        if now < ended {
            Phase::Open
        } else if now.millis_since(ended) < REVIEW_DUE_SECONDS.saturating_mul(1000) {
            Phase::Over
        } else {
            Phase::Overdue
        }
    }

    /// Whether the person signed for it.
    pub fn signed_by(&self, operator: &OperatorName) -> bool {
        self.signatures.iter().any(|signature| signature.operator == *operator)
    }
}
