//! Issue: attest, decide, seal, record, release. The road that every credential takes.

use std::sync::Arc;

use crate::attest::{AttestError, Attested, Presented};
use crate::domain::approval::Approval;
use crate::domain::credential::{Credential, Kind};
use crate::domain::denial::{Denial, Reason};
use crate::domain::id::CredentialId;
use crate::domain::ledger::{Command, Refusal};
use crate::domain::parameter::ParameterName;
use crate::domain::request::{ActionRequest, Confirmation, Justification};
use crate::domain::revocation::InForce;
use crate::domain::time::Timestamp;
use crate::signer::certificate::Certificate;
use crate::signer::csr::SubjectKey;
use crate::signer::secret::Secret;
use crate::store::LedgerError;

use super::announce::NotPut;
use super::approve::reason;
use super::decide::{Denied, Holder, Standing, Undecided, decide, signable};
use super::entropy::EntropyFailed;
use super::limit::TooMany;
use super::record::record;
use super::seal::{CertificateForm, Form, SealError, TokenForm, seal};
use super::{Broker, Rules};

/// An issued credential: its record and what the holder gets.
#[derive(Debug)]
pub struct Issued<M> {
    /// The record.
    pub credential: Credential,
    /// The token, or the signed leaf.
    pub material: M,
}

/// The key that a certificate is to be for.
#[derive(Clone)]
pub enum CertifiedKey {
    /// The holder has it.
    Brought(SubjectKey),
    /// It was made for this one request.
    Made(SubjectKey),
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The caller is nobody we know, or can't be attested now.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The decision was no. It is recorded.
    #[error("denied: {}", .reason.code())]
    Denied {
        /// The decision's id.
        id: CredentialId,
        /// The stable reason.
        reason: Reason,
        /// The parameter it is about.
        parameter: Option<ParameterName>,
        /// The lock that refused it.
        lock: Option<Arc<InForce>>,
    },
    /// The record could not be made.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It is not certain that somebody hears of the session.
    #[error(transparent)]
    NotPut(#[from] NotPut),
    /// Operators have to approve it first. The request is recorded, or was before.
    #[error("operators have to approve it first")]
    Pending(Arc<Approval>),
    /// Keys or profile changed since the request that this one repeats.
    #[error("the request was recorded before and can't be repeated: keys have changed")]
    NotRepeatable,
    /// Minting failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Too many requests.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

impl From<EntropyFailed> for IssueError {
    fn from(error: EntropyFailed) -> Self {
        Self::Seal(error.into())
    }
}

impl Broker {
    /// Issues a token.
    ///
    /// # Errors
    /// [`IssueError`] says at which step it ended. A denial is recorded before it is answered.
    pub async fn issue_token(
        &self,
        presented: &Presented,
        request: ActionRequest,
        confirmation: Confirmation,
        words: Option<Justification>,
    ) -> Result<Issued<Secret>, IssueError> {
        let form = TokenForm(confirmation.clone());
        let key = Some(form.holder_digest());
        let holder = Holder { kind: Kind::Token, confirmation, key, lasting: true };
        self.issue(presented, request, holder, &form, words).await
    }

    /// Issues a certificate over `key`; the material is the signed leaf.
    ///
    /// # Errors
    /// [`IssueError`] says at which step it ended. A denial is recorded before it is answered.
    pub async fn issue_certificate(
        &self,
        presented: &Presented,
        request: ActionRequest,
        key: CertifiedKey,
        words: Option<Justification>,
    ) -> Result<Issued<Certificate>, IssueError> {
        let (key, lasting) = match key {
            CertifiedKey::Brought(key) => (key, true),
            CertifiedKey::Made(key) => (key, false),
        };
        let form = CertificateForm(key);
        let (kind, confirmation) = (Kind::Certificate, Confirmation::default());
        let holder = Holder { kind, confirmation, key: Some(form.holder_digest()), lasting };
        self.issue(presented, request, holder, &form, words).await
    }

    async fn issue<F: Form>(
        &self,
        presented: &Presented,
        request: ActionRequest,
        holder: Holder,
        form: &F,
        words: Option<Justification>,
    ) -> Result<Issued<F::Material>, IssueError> {
        self.has_way_in(request.session, None)?;
        let rules = self.rules();
        let attested = self.attest_with(presented, &rules).await?;
        self.has_way_in(request.session, Some(&attested.agent().id))?;
        self.count(&rules, &attested, &request)?;
        let now = self.believed_time()?;
        let (locks, approvals) = (self.ledger.locks(), self.ledger.approvals());
        let session = request.session.map(|id| self.announced(id)).transpose()?.flatten();
        let standing = Standing { approvals: &approvals, locks: &locks, session: session.as_ref() };
        let kind = holder.kind;
        let permitted = decide(&rules, standing, &attested, request.clone(), holder, now);
        let kid = self.minter.signing_key(kind, now);
        let signable = |permitted| signable(&locks, permitted, &kid, now).map_err(Undecided::from);
        let signable = match permitted.and_then(signable) {
            Ok(signable) => signable,
            Err(Undecided::Denied(denied)) => {
                return Err(self.deny(&rules, &attested, request, kind, denied, now).await);
            }
            Err(Undecided::Pending(proposal)) => {
                return match self.ask(&rules, &attested, *proposal, words, now).await? {
                    Ok(approval) => Err(IssueError::Pending(approval)),
                    Err(reason) => Err(self.deny(&rules, &attested, request, kind, reason.into(), now).await),
                };
            }
        };
        let sealed = seal(signable, form, &self.minter, &*self.entropy, &self.places)?;
        let recorded = match record(&self.ledger, sealed, form, &self.minter).await {
            // A lock came in between.
            Err(IssueError::Ledger(LedgerError::Refused(Refusal::Locked(held)))) => {
                return Err(self.deny(&rules, &attested, request, kind, held.into(), now).await);
            }
            // Another request used the approval, or it ended.
            Err(IssueError::Ledger(LedgerError::Refused(Refusal::Approval(refusal)))) => {
                let denied = reason(refusal).into();
                return Err(self.deny(&rules, &attested, request, kind, denied, now).await);
            }
            // The session was closed in between, or ended.
            Err(IssueError::Ledger(LedgerError::Refused(Refusal::SessionOver))) => {
                let denied = Reason::SessionNotOpen.into();
                return Err(self.deny(&rules, &attested, request, kind, denied, now).await);
            }
            recorded => recorded?,
        };
        let (issuance, index, material) = recorded.release();
        Ok(Issued { credential: Credential { issuance: *issuance, index, ended: None }, material })
    }

    fn count(&self, rules: &Rules, attested: &Attested, request: &ActionRequest) -> Result<(), TooMany> {
        let agent = &attested.agent().id;
        let action = rules.registry.action(agent.tenant(), &request.action);
        self.limits.check(agent, action.map(|(_, action)| (&action.name, action.rate)))
    }

    /// Records a denial, and gives the error that says so. When even that can't be recorded, the answer is
    /// the ledger's error: no decision leaves without its record.
    async fn deny(
        &self,
        rules: &Rules,
        attested: &Attested,
        request: ActionRequest,
        kind: Kind,
        denied: Denied,
        now: Timestamp,
    ) -> IssueError {
        let id = match self.new_id(now) {
            Ok(id) => id,
            Err(error) => return error.into(),
        };
        let Denied { reason, parameter, policies, lock } = denied;
        let denial = Denial {
            action: request.action,
            agent: attested.agent().id.clone(),
            evidence: attested.evidence().digest(),
            id,
            kind,
            lock: lock.as_ref().map(|held| held.index),
            parameter: parameter.clone(),
            parameters: request.parameters,
            policies,
            principal: attested.agent().principal().into(),
            purpose: request.purpose,
            reason,
            registry: rules.registry.digest(),
            resource: request.resource,
            session: request.session,
            ttl: request.ttl,
        };
        match self.ledger.submit(Command::Deny(denial)).await {
            Ok(_) => IssueError::Denied { id, reason, parameter, lock },
            Err(error) => error.into(),
        }
    }

    pub(super) fn new_id(&self, now: Timestamp) -> Result<CredentialId, EntropyFailed> {
        let mut random = [0; 10];
        self.entropy.fill(&mut random)?;
        Ok(CredentialId::new(now, &random))
    }
}
