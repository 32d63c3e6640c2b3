//! Who is asking: evidence from the kernel, the platform or a verified token, and the agent that it is.
//!
//! This file knows attestors only by their trait. A further attestor is one file here (`pub mod name;`) and
//! one line in the wiring's vector. It knows nothing of policy, minting or the wire.

pub mod double;
pub mod unix;
pub mod x509;

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::domain::agent::Agent;
use crate::domain::evidence::Evidence;
use crate::domain::registry::{Registry, Unidentified};

/// A future on the heap, so that attestors can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Establishes facts about a caller from what it presented.
///
/// An implementer promises: every fact was proven by the kernel, the platform or a signature, never only
/// claimed by the caller; what could not be proven is absent, not guessed; being unable to look is
/// [`Failure::Unavailable`], never [`Outcome::NotMine`].
pub trait Attestor: Send + Sync {
    /// The name in metrics and messages, such as `unix`.
    fn name(&self) -> &'static str;

    /// The facts, or that nothing here is for this attestor. Called once for each request, after the
    /// whole request has been read.
    fn attest<'a>(&'a self, presented: &'a Presented) -> BoxFuture<'a, Result<Outcome, Failure>>;
}

/// What an attestor answers when it could look.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// These facts are established.
    Evidence(Arc<Evidence>),
    /// Nothing was presented that this attestor reads.
    NotMine,
}

/// Why an attestor has no facts.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// It looked, and the caller is not to be believed.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It could not look.
    #[error("can not read {what}")]
    Unavailable {
        /// What it needed.
        what: &'static str,
        /// What went wrong.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl Failure {
    /// The attestor could not look at `what`.
    pub fn unavailable(what: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Unavailable { what, source: Arc::new(source) }
    }
}

/// What the transport of one request carries for attestors. A further transport adds a field.
#[derive(Clone, Debug, Default)]
pub struct Presented {
    /// The process at the other end of a Unix socket.
    pub unix: Option<Arc<unix::Peer>>,
    /// The peer of a TLS connection, by its certificate.
    pub x509: Option<Arc<x509::Certified>>,
}

/// Why a caller has no identity. Each has a stable code for metrics; the caller learns no more than that
/// it was not attested.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Rejected {
    /// The process is no longer what it was at connect: another executable, cgroup, user or group.
    #[error("the process changed after it connected")]
    Changed,
    /// File descriptors were sent along. Nothing here takes any, and they could exhaust ours.
    #[error("the connection carried file descriptors")]
    DescriptorsPassed,
    /// The certificate has ended since the connection was made.
    #[error("the certificate has expired")]
    Expired,
    /// The process ended. Whoever holds its socket now is somebody else.
    #[error("the process has ended")]
    Gone,
    /// No attestor found anything to look at.
    #[error("the request carries no evidence")]
    NoEvidence,
    /// Bytes came from a process other than the one that connected.
    #[error("another process than the one that connected wrote to the connection")]
    OtherSender,
    /// There is more to read about the process than we take.
    #[error("the process has more attributes than can be read")]
    Oversized,
    /// The process lives in a pid namespace that ours can't see.
    #[error("the process can not be seen from this pid namespace")]
    UnknownProcess,
    /// The evidence is no registered agent, or could be several.
    #[error(transparent)]
    Unidentified(#[from] Unidentified),
    /// The user id has no meaning in our user namespace.
    #[error("the user of the process is not mapped into this user namespace")]
    UnmappedUser,
}

impl Rejected {
    /// The stable code, kebab-case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Changed => "process-changed",
            Self::DescriptorsPassed => "descriptors-passed",
            Self::Expired => "certificate-expired",
            Self::Gone => "process-gone",
            Self::NoEvidence => "no-evidence",
            Self::OtherSender => "other-sender",
            Self::Oversized => "evidence-oversized",
            Self::Unidentified(Unidentified::Ambiguous(_)) => "identity-ambiguous",
            Self::Unidentified(Unidentified::Unknown) => "identity-unknown",
            Self::UnknownProcess => "process-unknown",
            Self::UnmappedUser => "user-unmapped",
        }
    }
}

/// Why a request has no attested agent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AttestError {
    /// The caller has no identity.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// An attestor could not look. This is not "no identity": the caller should try again.
    #[error("can not attest: attestor failed `{attestor}`")]
    Unavailable {
        /// The attestor's name.
        attestor: &'static str,
        /// What went wrong.
        #[source]
        source: Failure,
    },
}

/// The agent that a request was attested to be: the proof that deciding takes. Made only by
/// [`Attestation::attest`], and good for one request.
#[derive(Debug)]
pub struct Attested {
    agent: Agent,
    evidence: Arc<Evidence>,
}

impl Attested {
    /// Who is asking.
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The facts on which that rests.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}

/// The attestors, asked in their order.
pub struct Attestation {
    attestors: Vec<Box<dyn Attestor>>,
}

impl Attestation {
    /// Attestation by these attestors. The first that has evidence decides.
    pub fn new(attestors: Vec<Box<dyn Attestor>>) -> Self {
        Self { attestors }
    }

    /// The agent that sent this request. Call it once the whole request has been read: what a stranger
    /// writes into the connection later can't undo an answer.
    ///
    /// # Errors
    /// [`AttestError::Rejected`] when the caller is not to be believed, presented nothing, or is no
    /// registered agent; [`AttestError::Unavailable`] when an attestor could not look. Later attestors are
    /// not asked then: a caller must not choose its evidence by making one of them fail.
    pub async fn attest(&self, presented: &Presented, registry: &Registry) -> Result<Attested, AttestError> {
        let evidence = self.evidence(presented).await?;
        let agent = registry.identify(&evidence).map_err(Rejected::Unidentified)?;
        Ok(Attested { agent, evidence })
    }

    async fn evidence(&self, presented: &Presented) -> Result<Arc<Evidence>, AttestError> {
        for attestor in &self.attestors {
            match attestor.attest(presented).await {
                Ok(Outcome::Evidence(evidence)) => return Ok(evidence),
                Ok(Outcome::NotMine) => {}
                Err(Failure::Rejected(rejected)) => return Err(rejected.into()),
                Err(source @ Failure::Unavailable { .. }) => {
                    return Err(AttestError::Unavailable { attestor: attestor.name(), source });
                }
            }
        }
        Err(Rejected::NoEvidence.into())
    }
}

#[cfg(test)]
mod tests {
    use super::double::{DangerousFixedAttestor, FailingAttestor};
    use super::*;
    use crate::domain::agent::{AgentEntry, AgentState, Day, Rule};
    use crate::domain::digest::Digest;
    use crate::domain::evidence::Selector;
    use crate::domain::registry::Parts;

    fn registry() -> Registry {
        let rule = Rule { kind: "unix.uid".parse().unwrap(), any_of: vec!["7".into()] };
        let entry = AgentEntry {
            tenant: "acme".parse().unwrap(),
            name: "runner".parse().unwrap(),
            owner: "team".into(),
            purpose: "tests".into(),
            principal: None,
            groups: Vec::new(),
            rules: vec![rule],
            review: Day(0),
            state: AgentState::Active,
            identity: None,
        };
        Registry::new(Parts {
            trust_domain: "example.org".parse().unwrap(),
            issuer: "https://hotwork.example.org".parse().unwrap(),
            digest: Digest::of(b""),
            agents: vec![entry],
            apis: Vec::new(),
            operators: Vec::new(),
            playbooks: Vec::new(),
        })
    }

    fn fixed(uid: &str) -> Box<dyn Attestor> {
        let selectors = [Selector::new("unix.uid", uid).unwrap()];
        Box::new(DangerousFixedAttestor::new(Evidence::new(selectors, None).unwrap()))
    }

    fn attest(attestors: Vec<Box<dyn Attestor>>) -> Result<Attested, AttestError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Attestation::new(attestors).attest(&Presented::default(), &registry()))
    }

    #[test]
    fn the_first_evidence_decides_and_others_may_pass() {
        let passing: Box<dyn Attestor> = Box::new(unix::UnixAttestor::new());
        let attested = attest(vec![passing, fixed("7"), fixed("8")]).unwrap();
        assert_eq!(attested.agent().id.as_str(), "spiffe://example.org/tenant/acme/agent/runner");
        assert_eq!(attested.evidence().selectors().count(), 1);
    }

    #[test]
    fn nothing_presented_is_no_evidence() {
        let error = attest(vec![Box::new(unix::UnixAttestor::new())]).unwrap_err();
        assert!(matches!(error, AttestError::Rejected(Rejected::NoEvidence)), "{error}");
        assert!(matches!(attest(Vec::new()), Err(AttestError::Rejected(Rejected::NoEvidence))));
    }

    #[test]
    fn evidence_of_nobody_is_no_identity() {
        let error = attest(vec![fixed("8")]).unwrap_err();
        assert!(matches!(&error, AttestError::Rejected(rejected) if rejected.code() == "identity-unknown"));
    }

    #[test]
    fn an_attestor_that_fails_is_named_and_is_not_skipped() {
        let error = attest(vec![Box::new(FailingAttestor), fixed("7")]).unwrap_err();
        assert!(matches!(error, AttestError::Unavailable { attestor: "failing", .. }), "{error}");
    }
}
