//! Approve: an agent's request waits, and operators decide it with a signature each.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::watch;

use crate::attest::{AttestError, Attested, Presented};
use crate::domain::approval::{Approval, ApprovalRefusal, Approvals, Asked, Part, State, Verdict, Vote};
use crate::domain::denial;
use crate::domain::id::{ApprovalId, Lineage};
use crate::domain::ledger::{Command, Refusal};
use crate::domain::limits::APPROVAL_MS;
use crate::domain::name::{AgentId, Reason};
use crate::domain::operator::Operator;
use crate::domain::request::Justification;
use crate::domain::statement::{Namespace, Nonce, NotAStatement, Statement};
use crate::domain::time::Timestamp;
use crate::ssh::{BadSignature, verify};
use crate::store::LedgerError;

use super::decide::{Proposal, may_decide};
use super::issue::IssueError;
use super::operate::Authorized;
use super::{Broker, Rules};

/// What an operator sends to decide a request.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Which request.
    pub id: ApprovalId,
    /// What.
    pub verdict: Verdict,
    /// Why, if they say.
    pub reason: Option<Reason>,
    /// The text that they signed.
    pub statement: String,
    /// What `ssh-keygen -Y sign` wrote.
    pub signature: String,
}

/// Why a decision was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// It is recorded already, or the request is not open.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such request among those that the operator sees.
    #[error("no such request")]
    NotFound,
    /// The operator asked for it.
    #[error("whoever asked does not approve: the agent's process is yours, or it acts for you")]
    Requester,
    /// The signature counts for nothing.
    #[error("the signature does not count: {0}")]
    Signature(#[from] BadSignature),
    /// Somebody else signed.
    #[error("operator `{0}` signed; who signs a decision has to send it")]
    Signer(String),
    /// The text is not the one that decides this request so.
    #[error("the signed text is not this request's statement; sign what the broker shows for it now")]
    Statement,
    /// The request can't be stated.
    #[error("the request can't be put into a statement")]
    Unstatable(#[from] NotAStatement),
}

/// Why nobody can wait for a request's outcome.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The caller is nobody we know, or can't be attested now.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// There is no such request of this agent.
    #[error("no such request of this agent")]
    NotFound,
}

/// The denial that a refusal of the ledger is.
pub(super) const fn reason(refusal: ApprovalRefusal) -> denial::Reason {
    match refusal {
        ApprovalRefusal::CoolingDown => denial::Reason::ApprovalsCooling,
        ApprovalRefusal::Decided(State::Denied) => denial::Reason::ApprovalDenied,
        ApprovalRefusal::Decided(State::Expired) => denial::Reason::ApprovalExpired,
        ApprovalRefusal::Decided(State::Used) => denial::Reason::ApprovalUsed,
        ApprovalRefusal::Exhausted => denial::Reason::ApprovalsExhausted,
        ApprovalRefusal::Decided(State::Approved | State::Pending)
        | ApprovalRefusal::Joined(_)
        | ApprovalRefusal::Mismatch
        | ApprovalRefusal::Repeated
        | ApprovalRefusal::Unknown => denial::Reason::ApprovalUnknown,
    }
}

impl Broker {
    /// Records that operators are to be asked, unless they are already. `Err` in `Ok` is why nobody is.
    pub(super) async fn ask(
        &self,
        rules: &Rules,
        attested: &Attested,
        proposal: Proposal,
        words: Option<Justification>,
        now: Timestamp,
    ) -> Result<Result<Arc<Approval>, denial::Reason>, IssueError> {
        let asked = self.asked(rules, attested, proposal, words.as_ref(), now)?;
        let id = match self.ledger.submit(Command::Ask(Box::new(asked.clone()))).await {
            Ok(_) => {
                let id = asked.id;
                if let Some(words) = words {
                    self.words.put(id, Arc::new(words));
                }
                id
            }
            Err(LedgerError::Refused(Refusal::Approval(ApprovalRefusal::Joined(id)))) => {
                self.say_again(id, words);
                id
            }
            Err(LedgerError::Refused(Refusal::Approval(refusal))) => return Ok(Err(reason(refusal))),
            Err(error) => return Err(error.into()),
        };
        let found = self.ledger.approvals().get(id).cloned();
        // Decided and over between two steps.
        Ok(found.ok_or(denial::Reason::ApprovalExpired))
    }

    /// Keeps what an agent says once more of a request that is there, when it is what it said first: after a restart
    /// the words are gone, and the log's digest tells whether these are they.
    fn say_again(&self, id: ApprovalId, words: Option<Justification>) {
        let approvals = self.ledger.approvals();
        let said = approvals.get(id).and_then(|found| found.asked.justification);
        if let Some(words) = words.filter(|words| said == Some(words.digest())) {
            self.words.put(id, Arc::new(words));
        }
    }

    fn asked(
        &self,
        rules: &Rules,
        attested: &Attested,
        proposal: Proposal,
        words: Option<&Justification>,
        now: Timestamp,
    ) -> Result<Asked, IssueError> {
        let (mut id, mut lineage, mut nonce) = ([0; 10], [0; 10], [0; 16]);
        self.entropy.fill(&mut id)?;
        self.entropy.fill(&mut lineage)?;
        self.entropy.fill(&mut nonce)?;
        let ends = Timestamp::from_seconds(now.plus_millis(APPROVAL_MS).seconds());
        Ok(Asked {
            access: proposal.access,
            approvals: proposal.approvals,
            attested: attested.evidence().kept(),
            evidence: attested.evidence().digest(),
            expires: ends,
            id: ApprovalId::new(now, &id),
            justification: words.map(Justification::digest),
            lineage: Lineage::new(now, &lineage),
            nonce: Nonce::new(nonce),
            owner: Arc::clone(&attested.agent().entry.owner),
            policies: proposal.policies,
            registry: rules.registry.digest(),
            request: proposal.terms.digest(),
            terms: proposal.terms,
        })
    }

    /// The requests that the operator sees, oldest first.
    pub fn approvals(&self, operator: &Operator) -> Vec<Arc<Approval>> {
        let all = self.ledger.approvals();
        all.iter().filter(|one| operator.sees(one.asked.terms.agent.tenant())).map(Arc::clone).collect()
    }

    /// One of the requests that the operator sees.
    pub fn approval(&self, operator: &Operator, id: ApprovalId) -> Option<Arc<Approval>> {
        let found = self.ledger.approvals().get(id).cloned()?;
        operator.sees(found.asked.terms.agent.tenant()).then_some(found)
    }

    /// What the agent said of it. Nothing after a restart until it says so again: the log has only the digest, and
    /// nobody's prose is kept on a disk (`docs/decisions/0031`).
    pub fn words(&self, id: ApprovalId) -> Option<Arc<Justification>> {
        self.words.find(&id)
    }

    /// The text that the operator signs to decide it so.
    ///
    /// # Errors
    /// When there is none.
    pub fn statement(
        &self,
        asked: &Asked,
        operator: &Operator,
        verdict: Verdict,
        reason: Option<&Reason>,
    ) -> Result<Statement, NotAStatement> {
        asked.statement(self.rules().registry.trust_domain(), verdict, &operator.name, reason)
    }

    /// Records the operator's decision. The caller and the signer are the same operator; what is signed is what
    /// this broker would have them sign for this request, and nothing else.
    ///
    /// # Errors
    /// [`DecideError`].
    pub async fn decide_approval(
        &self,
        by: &Authorized,
        decision: Decision,
    ) -> Result<Arc<Approval>, DecideError> {
        let rules = self.rules();
        let operator = by.operator();
        let approval = self.approval(operator, decision.id).ok_or(DecideError::NotFound)?;
        let asked = &approval.asked;
        let reason = decision.reason.as_ref();
        let expected = self.statement(asked, operator, decision.verdict, reason)?;
        if expected.as_str() != decision.statement {
            return Err(DecideError::Statement);
        }
        let operators = rules.registry.operators().iter().map(AsRef::as_ref);
        let signed =
            verify(Namespace::Approval, expected.as_str().as_bytes(), &decision.signature, operators)?;
        if *signed.operator() != operator.name {
            return Err(DecideError::Signer(signed.operator().to_string()));
        }
        let part = asked.part_of(operator);
        // Whoever asked may take it back by a no; their yes is nobody's.
        if decision.verdict == Verdict::Approve && !may_decide(operator, signed.fingerprint(), asked) {
            return Err(DecideError::Requester);
        }
        let vote = Vote {
            approval: asked.id,
            expires: asked.expires,
            fingerprint: signed.fingerprint().clone(),
            operator: operator.name.clone(),
            owner: part == Part::Owner,
            reason: decision.reason,
            signature: STANDARD.encode(signed.signature()).into(),
            statement: expected.digest(),
            verdict: decision.verdict,
        };
        self.ledger.submit(Command::Decide(Box::new(vote))).await?;
        let found = self.ledger.approvals().get(decision.id).cloned();
        Ok(found.unwrap_or(approval))
    }

    /// The requests, to wait for the outcome of the caller's own.
    ///
    /// # Errors
    /// [`WaitError`]; somebody else's request is not there.
    pub async fn watch_approval(
        &self,
        presented: &Presented,
        id: ApprovalId,
    ) -> Result<(AgentId, watch::Receiver<Arc<Approvals>>), WaitError> {
        let attested = self.attest(presented).await?;
        let agent = attested.agent().id.clone();
        // Subscribed before the first look, so that nothing falls between.
        let watched = self.ledger.watch_approvals();
        let own = watched.borrow().get(id).is_some_and(|one| one.asked.terms.agent == agent);
        if own { Ok((agent, watched)) } else { Err(WaitError::NotFound) }
    }
}
