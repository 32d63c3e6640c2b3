//! Enrol: certificates for operators and verifiers, and for our own listeners. The record is durable
//! before a certificate leaves.

use std::sync::Arc;

use crate::domain::clock::Untrustworthy;
use crate::domain::digest::Digest;
use crate::domain::enrollment::{Enrolled, Enrollment, Unenroll};
use crate::domain::id::Serial;
use crate::domain::ledger::Command;
use crate::domain::limits::SERVER_CERTIFICATE_SECONDS;
use crate::domain::name::Reason;
use crate::domain::time::Timestamp;
use crate::signer::certificate::Certificate;
use crate::signer::csr::{self, SubjectKey};
use crate::signer::key::BadKey;
use crate::signer::minter::MintFailed;
use crate::signer::secret::SecretKeyPem;
use crate::signer::svid::{ServerName, Svid};
use crate::store::LedgerError;

use super::Broker;
use super::entropy::EntropyFailed;
use super::operate::Authorized;
use super::verifiers::VerifierView;

/// Why nobody was enrolled, or nothing removed.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The clock can't be trusted.
    #[error(transparent)]
    Clock(#[from] Untrustworthy),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The record could not be made.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The certificate could not be made.
    #[error(transparent)]
    Mint(#[from] MintFailed),
    /// The registry has no operator of that name.
    #[error("no operator of that name")]
    NoOperator,
    /// An operator of some tenants could enrol one of all.
    #[error("certificates are for all tenants; this needs an operator of all tenants")]
    Scope,
}

/// What an enrolment gives.
#[derive(Debug)]
pub struct Admitted {
    /// The record.
    pub enrollment: Enrollment,
    /// The certificate.
    pub certificate: Certificate,
    /// The record's index in the log.
    pub index: u64,
}

/// What a removal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// How many certificates ended.
    pub ended: u64,
    /// When it was durable.
    pub time: Timestamp,
    /// The record's index in the log.
    pub index: u64,
}

/// A certificate for one of our own listeners.
pub struct ServerIdentity {
    /// The leaf.
    pub certificate: Certificate,
    /// Its key.
    pub key: SecretKeyPem,
    /// When it ends.
    pub expires: Timestamp,
}

impl Broker {
    /// Makes a certificate for `who` over `key`, good for `seconds`.
    ///
    /// # Errors
    /// [`EnrollError`]; then there is no certificate.
    pub async fn enroll(
        &self,
        by: &Authorized,
        who: Enrolled,
        key: &SubjectKey,
        seconds: u32,
    ) -> Result<Admitted, EnrollError> {
        every_tenant(by)?;
        if let Enrolled::Operator(name) = &who {
            self.rules().registry.operator_by_name(name).ok_or(EnrollError::NoOperator)?;
        }
        let issued = self.believed_time()?;
        let longest = self.minter.keys().identity_ca().not_after();
        let expires = Timestamp::from_seconds(issued.seconds().saturating_add(i64::from(seconds)));
        let expires = expires.min(longest);
        let svid = Svid {
            id: who.spiffe_id(self.rules().registry.trust_domain()),
            common_name: who.name().to_owned(),
            names: Vec::new(),
            serial: self.serial()?,
            issued,
            expires,
        };
        let (content, certificate) = self.minter.identity(&svid, key)?;
        let enrollment = Enrollment {
            content,
            evidence: None,
            expires,
            issued,
            operator: Some(by.operator().name.clone()),
            serial: svid.serial,
            spki: Digest::of(key.spki()),
            who,
        };
        let recorded = self.ledger.submit(Command::Enroll(enrollment.clone())).await?;
        Ok(Admitted { enrollment, certificate, index: recorded.index() })
    }

    /// Ends the certificates of `who`, or the one with this serial number. When this returns `Ok`, the
    /// removal is durable and in force, on open connections too.
    ///
    /// # Errors
    /// [`EnrollError`]; never a silent success.
    pub async fn unenroll(
        &self,
        by: &Authorized,
        who: Enrolled,
        serial: Option<Serial>,
        reason: Reason,
    ) -> Result<Removed, EnrollError> {
        every_tenant(by)?;
        let operator = by.operator().name.clone();
        let asked = Unenroll { operator, reason, serial, who };
        let recorded = self.ledger.submit(Command::Remove(asked)).await?;
        Ok(Removed {
            ended: recorded.live_ended().unwrap_or_default(),
            time: recorded.time(),
            index: recorded.index(),
        })
    }

    /// The certificates that are good now.
    pub fn enrollments(&self) -> Vec<Arc<Enrollment>> {
        self.ledger.enrollments().live(self.time())
    }

    /// Who follows the revocations, did, or is enrolled and may.
    pub fn followers(&self) -> Vec<VerifierView> {
        let now = self.time();
        self.verifiers.list(self.ledger.enrollments().verifiers(), now)
    }

    /// A certificate with a new key for a listener of ours that clients know by `names`. It stands in no
    /// record: it gives nobody anything.
    ///
    /// # Errors
    /// [`EnrollError`].
    pub fn server_identity(&self, names: &[ServerName]) -> Result<ServerIdentity, EnrollError> {
        let issued = self.clock.now()?;
        let (key, secret) = csr::generate()?;
        let expires = Timestamp::from_seconds(issued.seconds() + SERVER_CERTIFICATE_SECONDS);
        let expires = expires.min(self.minter.keys().identity_ca().not_after());
        let svid = Svid {
            id: format!("spiffe://{}/broker", self.rules().registry.trust_domain()),
            common_name: names.first().map_or_else(|| "hotworkd".to_owned(), ToString::to_string),
            names: names.to_vec(),
            serial: self.serial()?,
            issued,
            expires,
        };
        let (_, certificate) = self.minter.identity(&svid, &key)?;
        Ok(ServerIdentity { certificate, key: secret, expires })
    }

    pub(super) fn serial(&self) -> Result<Serial, EntropyFailed> {
        let mut random = [0; 16];
        self.entropy.fill(&mut random)?;
        Ok(Serial::new(random))
    }
}

fn every_tenant(by: &Authorized) -> Result<(), EnrollError> {
    if by.operator().tenants.is_empty() { Ok(()) } else { Err(EnrollError::Scope) }
}
