//! The certificate of an agent's own identity, with a key that is made here because the asker can make none: a
//! proxy that takes its certificates from a service. Attested as every agent, allowed by its registry entry,
//! recorded before it leaves, short, and made anew while the asker is still who it was.

use std::sync::Arc;

use crate::attest::{AttestError, Presented};
use crate::domain::agent::Agent;
use crate::domain::denial::Reason;
use crate::domain::digest::Digest;
use crate::domain::enrollment::{Enrolled, Enrollment};
use crate::domain::evidence::Evidence;
use crate::domain::id::Serial;
use crate::domain::ledger::Command;
use crate::domain::limits::AGENT_CERTIFICATE_SECONDS;
use crate::domain::name::{AgentId, HostName};
use crate::domain::revocation::HolderFacts;
use crate::domain::time::Timestamp;
use crate::signer::csr;
use crate::signer::secret::SecretKeyPem;
use crate::signer::svid::{ServerName, Svid};
use crate::store::LedgerError;

use super::Broker;
use super::decide::standing;
use super::enroll::EnrollError;

/// A certificate of an agent's identity, and its key.
pub struct AgentIdentity {
    /// The leaf and the authority that issued it, in PEM.
    pub chain_pem: String,
    /// Its key.
    pub key: SecretKeyPem,
    /// Its serial number.
    pub serial: Serial,
    names: Vec<HostName>,
    issued: Timestamp,
    expires: Timestamp,
}

/// Where an agent's newest certificate is kept; held while another one is made.
pub type Slot = Arc<tokio::sync::Mutex<Option<Arc<AgentIdentity>>>>;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum NoIdentity {
    /// It is not known who asks.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The agent's entry, or its state, allows none.
    #[error("the agent may not: {}", .0.code())]
    Denied(Reason),
    /// It could not be made or recorded.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// The agent's entry does not say `identity_certificate`.
    #[error("the agent's entry does not say `identity_certificate = true`")]
    NotDeclared,
}

impl From<LedgerError> for NoIdentity {
    fn from(error: LedgerError) -> Self {
        Self::Enroll(error.into())
    }
}

impl AgentIdentity {
    /// When it ends.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// One with a key of its own and without names, for tests of who keeps it.
    #[cfg(test)]
    pub(crate) fn fixture(issued: Timestamp, expires: Timestamp) -> Self {
        let (_, key) = csr::generate().unwrap();
        let serial = Serial::new([1; 16]);
        Self { chain_pem: String::new(), key, serial, names: Vec::new(), issued, expires }
    }

    /// Whether it will do for the same agent at `now`: half of its life is left, its names are those of the entry, and
    /// nothing ended it.
    fn will_do(&self, names: &[HostName], ended: bool, now: Timestamp) -> bool {
        let half = self.issued.plus_millis(self.expires.millis_since(self.issued) / 2);
        self.names == names && !ended && (self.issued..half).contains(&now)
    }
}

impl Broker {
    /// The certificate of whoever presents this: the one in the agent's `slot` while that will do, or a new one. It is
    /// attested and allowed by the registry in force either way.
    ///
    /// # Errors
    /// [`NoIdentity`]; then there is no certificate.
    pub async fn agent_identity(
        &self,
        presented: &Presented,
        slot: impl FnOnce(&AgentId) -> Slot,
    ) -> Result<Arc<AgentIdentity>, NoIdentity> {
        self.has_way_in(None, None)?;
        let attested = self.attest(presented).await?;
        let (agent, evidence) = (attested.agent(), attested.evidence());
        let declared = agent.entry.identity.as_ref().ok_or(NoIdentity::NotDeclared)?;
        let now = self.believed_time()?;
        standing(agent, now).map_err(NoIdentity::Denied)?;
        let kept = evidence.kept();
        let holder = HolderFacts {
            agent: &agent.id,
            attested: &kept,
            owner: Some(&agent.entry.owner),
            principal: Some(agent.principal()),
        };
        if self.ledger.locks().refusing_holder(&holder, now).is_some() {
            return Err(NoIdentity::Denied(Reason::Locked));
        }
        // Those who ask for the same agent wait for the first of them.
        let slot = slot(&agent.id);
        let mut current = slot.lock().await;
        if let Some(held) = &*current {
            let ended = self.has_ended(&agent.id, held, now);
            if held.will_do(&declared.names, ended, now) {
                return Ok(Arc::clone(held));
            }
        }
        let made = self.make_identity(agent, &declared.names, evidence, now).await?;
        // A lock that came in between: the record stands, and nothing leaves.
        if self.ledger.locks().refusing_holder(&holder, now).is_some() {
            return Err(NoIdentity::Denied(Reason::Locked));
        }
        Ok(Arc::clone(current.insert(Arc::new(made))))
    }

    /// Whether nobody may use this certificate of the agent any more at `now`: it ended, or a lock or the registry in force
    /// gives the agent none. Nothing is attested here.
    pub fn identity_is_over(&self, agent: &AgentId, identity: &AgentIdentity, now: Timestamp) -> bool {
        if now >= identity.expires || self.has_ended(agent, identity, now) {
            return true;
        }
        let rules = self.rules();
        let Some(agent) = rules.registry.agent_by_id(agent) else { return true };
        let holder = HolderFacts {
            agent: &agent.id,
            attested: &[],
            owner: Some(&agent.entry.owner),
            principal: Some(agent.principal()),
        };
        let may = agent.entry.identity.is_some() && standing(&agent, now).is_ok();
        !may || self.ledger.locks().refusing_holder(&holder, now).is_some()
    }

    fn has_ended(&self, agent: &AgentId, identity: &AgentIdentity, now: Timestamp) -> bool {
        let who = Enrolled::Agent(agent.clone());
        self.ledger.revocations().ended_of(agent, identity.issued).is_some()
            || !self.ledger.enrollments().holds(&identity.serial, &who, now)
    }

    async fn make_identity(
        &self,
        agent: &Agent,
        names: &[HostName],
        evidence: &Evidence,
        issued: Timestamp,
    ) -> Result<AgentIdentity, EnrollError> {
        let (subject, key) = csr::generate()?;
        let authority = self.minter.keys().identity_ca();
        let expires = Timestamp::from_seconds(issued.seconds().saturating_add(AGENT_CERTIFICATE_SECONDS));
        let expires = expires.min(authority.not_after());
        let expires =
            evidence.expires().map_or(expires, |end| expires.min(Timestamp::from_seconds(end.seconds())));
        let svid = Svid {
            id: agent.id.to_string(),
            common_name: names.first().map_or_else(|| agent.id.name().to_string(), ToString::to_string),
            names: names.iter().map(ServerName::from).collect(),
            serial: self.serial()?,
            issued,
            expires,
        };
        let (content, certificate) = self.minter.identity(&svid, &subject)?;
        let enrollment = Enrollment {
            content,
            evidence: Some(evidence.digest()),
            expires,
            issued,
            operator: None,
            serial: svid.serial,
            spki: Digest::of(subject.spki()),
            who: Enrolled::Agent(agent.id.clone()),
        };
        self.ledger.submit(Command::Enroll(enrollment)).await?;
        let chain_pem = format!("{}{}", certificate.pem(), authority.certificate_pem());
        Ok(AgentIdentity { chain_pem, key, serial: svid.serial, names: names.to_vec(), issued, expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_will_do_for_half_of_its_life_and_for_the_same_names() {
        let at = Timestamp::from_seconds;
        let names: Vec<HostName> = vec!["git.example.org".parse().unwrap()];
        let identity = AgentIdentity { names: names.clone(), ..AgentIdentity::fixture(at(1_000), at(1_900)) };
        assert!(identity.will_do(&names, false, at(1_000)) && identity.will_do(&names, false, at(1_449)));
        assert!(!identity.will_do(&names, false, at(1_450)), "half of it is over");
        assert!(!identity.will_do(&names, false, at(999)), "the clock was set back");
        assert!(!identity.will_do(&names, true, at(1_001)), "it was ended");
        assert!(!identity.will_do(&[], false, at(1_001)), "the entry changed");
    }
}
