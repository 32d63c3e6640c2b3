//! Enrolment: the certificates by which operators and verifiers are known over the network, and those of the
//! identities of agents that take theirs from us.
//!
//! A certificate of ours is worth something while its serial number stands here. One that is not here, for
//! whatever reason, is nobody's: a removal has nothing to hide from, and a lost state refuses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::entry::Event;
use super::id::Serial;
use super::limits::{
    AGENT_CERTIFICATES_MAX, ENROLLMENTS_MAX, ENROLLMENTS_PER_NAME_MAX, ENROLLMENTS_REMEMBERED_MAX,
};
use super::name::{AgentId, OperatorName, Reason, TrustDomain, VerifierName};
use super::time::Timestamp;

/// Who is enrolled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enrolled {
    /// An agent, whose registry entry lets it have a certificate of its identity. It is nobody to our own listeners.
    Agent(AgentId),
    /// An operator, who has the roles of the registry's entry of that name and nothing without one.
    Operator(OperatorName),
    /// A verifier, which may ask what credentials are worth.
    Verifier(VerifierName),
}

impl Enrolled {
    /// The SPIFFE ID of its certificates: `spiffe://TD/operator/NAME`, `spiffe://TD/verifier/NAME`, or the agent's.
    pub fn spiffe_id(&self, trust_domain: &TrustDomain) -> String {
        match self {
            Self::Agent(agent) => agent.to_string(),
            Self::Operator(_) | Self::Verifier(_) => format!("spiffe://{trust_domain}/{self}"),
        }
    }

    /// Who a SPIFFE ID's path is; `None` for any other path.
    pub fn from_path(path: &str) -> Option<Self> {
        match path.split_once('/')? {
            ("operator", name) => name.parse().ok().map(Self::Operator),
            ("verifier", name) => name.parse().ok().map(Self::Verifier),
            _ => None,
        }
    }

    /// The name alone; of an agent its SPIFFE ID.
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(agent) => agent.as_str(),
            Self::Operator(name) => name.as_str(),
            Self::Verifier(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "agent/{}/{}", agent.tenant(), agent.name()),
            Self::Operator(name) => write!(f, "operator/{name}"),
            Self::Verifier(name) => write!(f, "verifier/{name}"),
        }
    }
}

/// The record of one certificate. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrollment {
    /// SHA-256 of the certificate's signed part.
    pub content: Digest,
    /// Digest of the evidence that an agent was attested by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
    /// The certificate's end. Whole seconds.
    pub expires: Timestamp,
    /// When it was made.
    pub issued: Timestamp,
    /// Who enrolled; nobody, when it is an agent's and the registry's entry allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorName>,
    /// The certificate's serial number.
    pub serial: Serial,
    /// SHA-256 of the holder's public key (SubjectPublicKeyInfo).
    pub spki: Digest,
    /// Whose certificate it is.
    pub who: Enrolled,
}

/// What is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unenroll {
    /// Who removes.
    pub operator: OperatorName,
    /// Why.
    pub reason: Reason,
    /// One certificate; all of `who` when absent.
    pub serial: Option<Serial>,
    /// Whose certificates.
    pub who: Enrolled,
}

/// The record of a removal. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// How many certificates ended.
    pub ended: u64,
    /// When the last of them would have ended by itself: later the removal no longer matters.
    pub expires: Timestamp,
    /// Who removed.
    pub operator: OperatorName,
    /// Why.
    pub reason: Reason,
    /// The one certificate; all of `who` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,
    /// Whose certificates.
    pub who: Enrolled,
}

/// Why nothing is enrolled or removed.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnrollRefusal {
    /// The bound on all certificates is reached, or on those of one name.
    #[error(
        "there are too many certificates, {ENROLLMENTS_PER_NAME_MAX} for one name or {ENROLLMENTS_MAX} in all"
    )]
    Exhausted,
    /// There is no such certificate.
    #[error("there is no such certificate")]
    Unknown,
}

/// The certificates that are good, as an immutable snapshot.
#[derive(Clone, Debug, Default)]
pub struct Enrollments {
    by_serial: HashMap<Serial, Arc<Enrollment>>,
    /// Those that were removed and have not expired: for the CRL.
    removed: BTreeMap<Serial, Removed>,
    /// How often `removed` changed.
    changes: u64,
}

/// A certificate that was removed before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// When it would have ended by itself.
    pub expires: Timestamp,
    /// When the removal was durable.
    pub time: Timestamp,
}

impl Enrollments {
    /// Whether the certificate `serial` is good for `who` at `now`.
    pub fn holds(&self, serial: &Serial, who: &Enrolled, now: Timestamp) -> bool {
        self.by_serial.get(serial).is_some_and(|found| found.who == *who && now < found.expires)
    }

    /// Those that have not ended at `now`, by name, then by their end.
    pub fn live(&self, now: Timestamp) -> Vec<Arc<Enrollment>> {
        let mut found: Vec<_> = self.by_serial.values().filter(|one| now < one.expires).cloned().collect();
        found.sort_by(|a, b| (&a.who, a.expires, a.serial).cmp(&(&b.who, b.expires, b.serial)));
        found
    }

    /// The verifiers that have a certificate, as they are shown.
    pub fn verifiers(&self) -> BTreeSet<Arc<str>> {
        let who = self.by_serial.values().map(|one| &one.who);
        who.filter(|who| matches!(who, Enrolled::Verifier(_))).map(|who| who.to_string().into()).collect()
    }

    /// Those of agents that have not ended at `now`, in no order.
    pub fn agents(&self, now: Timestamp) -> impl Iterator<Item = (&AgentId, &Enrollment)> {
        self.by_serial.values().filter(move |one| now < one.expires).filter_map(|one| match &one.who {
            Enrolled::Agent(agent) => Some((agent, &**one)),
            Enrolled::Operator(_) | Enrolled::Verifier(_) => None,
        })
    }

    /// Whether one more may be added.
    ///
    /// # Errors
    /// [`EnrollRefusal::Exhausted`].
    pub fn admit(&self, enrollment: &Enrollment, now: Timestamp) -> Result<(), EnrollRefusal> {
        let live = || self.by_serial.values().filter(|one| now < one.expires);
        let own = live().filter(|one| one.who == enrollment.who).count();
        // Serial numbers are random; a second one of the same would make two certificates one.
        let serial = &enrollment.serial;
        let taken = self.by_serial.contains_key(serial) || self.removed.contains_key(serial);
        let all = live().count();
        // Whatever is good now may be removed, and is remembered then: a removal is never refused for want of room.
        let remembered = all.saturating_add(self.removed.len()) >= ENROLLMENTS_REMEMBERED_MAX;
        let is_agent = |who: &Enrolled| matches!(who, Enrolled::Agent(_));
        let agents = || live().filter(|one| is_agent(&one.who)).count();
        let crowded = is_agent(&enrollment.who) && agents() >= AGENT_CERTIFICATES_MAX;
        let full = own >= ENROLLMENTS_PER_NAME_MAX || all >= ENROLLMENTS_MAX || remembered || crowded;
        if full || taken { Err(EnrollRefusal::Exhausted) } else { Ok(()) }
    }

    /// What a removal would end at `now`.
    ///
    /// # Errors
    /// [`EnrollRefusal::Unknown`] when that is nothing.
    pub fn removal(&self, asked: Unenroll, now: Timestamp) -> Result<Removal, EnrollRefusal> {
        let Unenroll { operator, reason, serial, who } = asked;
        let named = |one: &&Arc<Enrollment>| {
            now < one.expires && one.who == who && serial.is_none_or(|serial| one.serial == serial)
        };
        let ends: Vec<Timestamp> = self.by_serial.values().filter(named).map(|one| one.expires).collect();
        let expires = ends.iter().max().copied().ok_or(EnrollRefusal::Unknown)?;
        let ended = u64::try_from(ends.len()).unwrap_or(u64::MAX);
        Ok(Removal { ended, expires, operator, reason, serial, who })
    }

    /// Those that were removed and had not expired when [`Self::forget`] was called last.
    pub const fn removed(&self) -> &BTreeMap<Serial, Removed> {
        &self.removed
    }

    /// A count that grows whenever [`Self::removed`] changes.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Applies an entry of the log that is durable at `time`; one of another kind changes nothing.
    pub fn apply(&mut self, event: &Event, time: Timestamp) {
        match event {
            Event::Enroll(enrollment) => {
                self.by_serial.insert(enrollment.serial, Arc::new(enrollment.clone()));
            }
            Event::Remove(Removal { serial, who, .. }) => {
                let stays =
                    |one: &Enrollment| one.who != *who || serial.is_some_and(|serial| one.serial != serial);
                for (serial, one) in self.by_serial.extract_if(|_, one| !stays(one)) {
                    self.removed.insert(serial, Removed { expires: one.expires, time });
                    self.changes = self.changes.saturating_add(1);
                }
            }
            Event::Ask(_)
            | Event::BreakGlass(_)
            | Event::Call(_)
            | Event::Decide(_)
            | Event::Consume(_)
            | Event::Deny(_)
            | Event::Issue(_)
            | Event::Emergency(_)
            | Event::Load(_)
            | Event::Merge(_)
            | Event::Lock(_)
            | Event::Release(_)
            | Event::Revoke(_)
            | Event::Rotate(_)
            | Event::Start(_)
            | Event::Unlock(_) => {}
        }
    }

    /// Whether one has ended at `now`, so that [`Self::forget`] has something to do.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.by_serial.values().any(|one| one.expires <= now)
            || self.removed.values().any(|one| one.expires <= now)
    }

    /// Drops those that have ended by themselves.
    pub fn forget(&mut self, now: Timestamp) {
        self.by_serial.retain(|_, one| one.expires > now);
        let before = self.removed.len();
        self.removed.retain(|_, one| one.expires > now);
        self.changes = self.changes.saturating_add(u64::from(self.removed.len() != before));
    }
}

#[cfg(test)]
mod tests;
