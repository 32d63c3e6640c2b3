//! Break-glass: prepare what is to be signed, take signatures, close, review. What a session allows is decided with
//! every other request, in `decide`.

mod finish;
mod nonce;
mod prepare;
mod restrict;
mod sign;

use std::sync::Arc;
use std::time::Duration;

pub use finish::Finished;
pub use prepare::{Prepare, Prepared};
pub(super) use restrict::OneAtATime;
pub use restrict::Restricted;
pub use sign::{Act, GlassProgress, SignGlass};

use crate::domain::break_glass::text::{self, Addressee};
use crate::domain::break_glass::{Asks, GlassRefusal, Held, Opening, Pending, Phase, Responder, Signature};
use crate::domain::clock::Untrustworthy;
use crate::domain::digest::Digest;
use crate::domain::id::Lineage;
use crate::domain::ledger::Refusal;
use crate::domain::name::OperatorName;
use crate::domain::operator::Operator;
use crate::domain::playbook::Playbook;
use crate::domain::signer::SigningFailed;
use crate::domain::statement::{NotAStatement, Statement};
use crate::domain::time::Timestamp;
use crate::ssh::BadSignature;
use crate::store::LedgerError;

use super::announce::NotPut;
use super::entropy::EntropyFailed;
use super::{Broker, Rules};

/// Why a step of break-glass was not taken.
#[derive(Debug, thiserror::Error)]
pub enum GlassError {
    /// The text is not what this broker would write now: it was edited, written by hand, is another broker's, or its
    /// playbook changed.
    #[error(
        "the statement is not one that this broker wrote, or its playbook has changed since; prepare a new one"
    )]
    Changed,
    /// The clock can't be trusted.
    #[error(transparent)]
    Clock(#[from] Untrustworthy),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// The step broke off; what was recorded is done whole by the broker all the same.
    #[error("the step was interrupted; look at what is open before it is tried again")]
    Interrupted,
    /// The record could not be made.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such thing that this operator sees.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// It is not certain that somebody hears of the session.
    #[error(transparent)]
    NotPut(#[from] NotPut),
    /// The text asks for something else.
    #[error("the statement asks for something else: it is {0}")]
    OtherAct(&'static str),
    /// It is longer than the playbook allows.
    #[error("the playbook allows {0} s at most")]
    TooLong(u32),
    /// The log's key can't mark a text.
    #[error(transparent)]
    Mark(#[from] SigningFailed),
    /// The signature counts for nothing.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// What was given is no statement, or can't be put into one.
    #[error(transparent)]
    Statement(#[from] NotAStatement),
}

impl From<GlassRefusal> for GlassError {
    fn from(refusal: GlassRefusal) -> Self {
        LedgerError::from(Refusal::from(refusal)).into()
    }
}

/// A session with where it is in its life.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The session.
    pub held: Arc<Held>,
    /// Where it is.
    pub phase: Phase,
}

/// A proposal with its text, for the next signer.
#[derive(Clone, Debug)]
pub struct ProposalView {
    /// The proposal.
    pub pending: Arc<Pending>,
    /// What is signed.
    pub statement: Statement,
    /// Signatures that count now, in their order.
    pub signatures: Vec<Signature>,
    /// How many people must sign.
    pub needed: usize,
    /// Those who can and have not.
    pub able: Vec<OperatorName>,
}

/// What an operator sees of break-glass.
#[derive(Clone, Debug, Default)]
pub struct GlassView {
    /// Sessions that are open or whose review is owed, oldest first.
    pub sessions: Vec<SessionView>,
    /// What can be signed, oldest first.
    pub proposals: Vec<ProposalView>,
    /// What can be opened.
    pub playbooks: Vec<Arc<Playbook>>,
    /// When the last drill was done whole.
    pub last_drill: Option<Timestamp>,
    /// The time of the log's newest entry, when the clock is so far ahead of it that it is in doubt.
    pub doubted: Option<Timestamp>,
}

/// Numbers for `status` and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlassStatus {
    /// Sessions that are open.
    pub open: usize,
    /// Sessions whose review is owed.
    pub owed: usize,
    /// Those of them whose review is overdue.
    pub overdue: usize,
    /// Proposals that can be signed.
    pub proposals: usize,
    /// How long ago the last drill was done whole.
    pub drill_age: Option<Duration>,
}

impl Broker {
    /// What the operator sees: what is of their tenants.
    pub fn break_glass(&self, operator: &Operator) -> GlassView {
        let (rules, sessions, now) = (self.rules(), self.ledger.sessions(), self.log_time());
        let seen = |opening: &Opening| opening.scope.seen_by(operator);
        let view = |held: &Arc<Held>| SessionView { held: Arc::clone(held), phase: held.phase(now) };
        let mut proposals: Vec<ProposalView> = sessions
            .pending(now)
            .filter(|pending| self.opening_of(pending).is_some_and(|opening| seen(&opening)))
            .filter_map(|pending| self.proposal_view(&rules, pending))
            .collect();
        proposals
            .sort_by_key(|view| (view.pending.proposal.from, view.pending.proposal.statement.to_string()));
        let playbooks = rules.registry.playbooks().iter();
        GlassView {
            sessions: sessions.iter().filter(|held| seen(&held.opening)).map(view).collect(),
            proposals,
            playbooks: playbooks
                .filter(|playbook| playbook.scope.seen_by(operator))
                .map(Arc::clone)
                .collect(),
            last_drill: sessions.last_drill(),
            doubted: self.doubted(),
        }
    }

    /// What stands in the way of another session of the playbook that `asks` would open: those of it that nobody has
    /// reviewed, as far as the operator sees them, but for `own`. An extension opens none.
    fn unreviewed(&self, operator: &Operator, asks: &Asks, own: Option<Lineage>) -> Vec<SessionView> {
        let Asks::Open(opening) = asks else { return Vec::new() };
        let (sessions, now) = (self.ledger.sessions(), self.log_time());
        let others = sessions.unreviewed(&opening.playbook).filter(|held| Some(held.session) != own);
        let seen = others.filter(|held| held.opening.scope.seen_by(operator));
        seen.map(|held| SessionView { held: Arc::clone(held), phase: held.phase(now) }).collect()
    }

    /// The time of the newest entry, when the log does not believe the clock: a signature would make it believe.
    fn doubted(&self) -> Option<Timestamp> {
        match self.ledger.believes(&*self.clock) {
            Err(LedgerError::ClockAhead { .. }) => Some(self.ledger.status().high_water),
            Ok(_) | Err(_) => None,
        }
    }

    /// The numbers of all tenants.
    pub fn break_glass_status(&self) -> GlassStatus {
        let (sessions, now) = (self.ledger.sessions(), self.log_time());
        let age = |drill: Timestamp| Duration::from_millis(now.millis_since(drill).max(0).unsigned_abs());
        let mut status = GlassStatus { drill_age: sessions.last_drill().map(age), ..GlassStatus::default() };
        status.proposals = sessions.pending(now).count();
        for held in sessions.iter() {
            match held.phase(now) {
                Phase::Open => status.open += 1,
                Phase::Over => status.owed += 1,
                Phase::Overdue => {
                    status.owed += 1;
                    status.overdue += 1;
                }
            }
        }
        status
    }

    /// The time by which sessions end: never before the newest entry's (promise P11).
    pub(super) fn log_time(&self) -> Timestamp {
        self.time().max(self.ledger.status().high_water)
    }

    /// The opening that a proposal is, or the session's that it extends.
    fn opening_of(&self, pending: &Pending) -> Option<Opening> {
        match &pending.proposal.asks {
            Asks::Extend(extension) => {
                self.ledger.sessions().get(extension.session).map(|held| held.opening.clone())
            }
            Asks::Open(opening) => Some(opening.clone()),
        }
    }

    fn proposal_view(&self, rules: &Rules, pending: &Arc<Pending>) -> Option<ProposalView> {
        let opening = self.opening_of(pending)?;
        let statement =
            self.with_address(rules, |to| text::of_proposal(to, &pending.proposal, Some(&opening)));
        let playbook = rules.registry.playbook(&opening.playbook)?;
        let responders = sign::responders_of(rules, playbook);
        let signatures = Responder::counted(&responders, &pending.signatures);
        let signed = |name: &OperatorName| signatures.iter().any(|one| one.operator == *name);
        let able = responders.into_iter().map(|one| one.name).filter(|name| !signed(name)).collect();
        Some(ProposalView {
            statement: statement.ok()?,
            needed: self.ledger.sessions().needed(&pending.proposal),
            able,
            signatures,
            pending: Arc::clone(pending),
        })
    }

    /// Calls `write` with whom statements are to.
    fn with_address<T>(&self, rules: &Rules, write: impl FnOnce(Addressee<'_>) -> T) -> T {
        let key = self.ledger.verifier_key();
        let log = format!("{} {}", key.name, Digest::of(&key.key));
        write(Addressee { trust_domain: rules.registry.trust_domain(), log: &log })
    }
}
