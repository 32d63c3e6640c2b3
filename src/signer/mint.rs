//! From a record to something signed, in steps that can't be skipped: unsigned, linted, signed.
//!
//! The form (token or certificate) brings what differs. This file knows neither.

use super::key::SIGNATURE_BYTES;
use crate::domain::credential::Issuance;
use crate::domain::digest::Digest;
use crate::domain::signer::{Algorithm, Signer, SigningFailed};

/// Why nothing was minted. All of them are ours: a request was valid before it came here.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MintError {
    /// The certificate could not be encoded.
    #[error("the certificate could not be encoded: `{0}`")]
    Certificate(String),
    /// The CA ends before the credential would begin.
    #[error("the action CA has expired")]
    Expired,
    /// The token could not be encoded.
    #[error("the token could not be encoded: `{0}`")]
    Json(String),
    /// The record of a certificate has no serial number.
    #[error("the record has no serial number")]
    NoSerial,
    /// The record is of the other form.
    #[error("the record is of another kind")]
    WrongKind,
}

/// What is about to be signed is not what was decided. Nothing gets a signature then.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LintError {
    /// A field differs from the record.
    #[error("differs from its record in `{0}`")]
    Differs(&'static str),
    /// It is not of the form of PROFILES.
    #[error("is not of the expected form in `{0}`")]
    Malformed(&'static str),
    /// The record itself breaks a rule.
    #[error("breaks a rule of the profile: `{0}`")]
    Rule(&'static str),
}

/// What is to be signed, made from a record.
#[must_use]
pub struct Unsigned<'r, F> {
    record: &'r Issuance,
    form: F,
    message: Vec<u8>,
}

/// What is to be signed, after it was read back and held against its record field by field. Only the linter
/// makes one, and only it can be signed.
#[must_use]
pub struct Linted<F> {
    form: F,
    message: Vec<u8>,
}

/// What a kind of credential brings to minting.
pub trait Form: sealed::Sealed {
    /// What comes out.
    type Signed;

    /// The id and algorithm of the one key that may sign it.
    fn key(&self) -> (&str, Algorithm);

    /// Reads `message` back and holds it against the record.
    ///
    /// # Errors
    /// On the first difference.
    fn lint(&self, record: &Issuance, message: &[u8]) -> Result<(), LintError>;

    /// Joins message and signature. `None` when either is not of its form.
    fn join(self, message: Vec<u8>, signature: &[u8]) -> Option<Self::Signed>;
}

pub(super) mod sealed {
    /// Only this room's forms can be minted.
    pub trait Sealed {}
}

impl<'r, F: Form> Unsigned<'r, F> {
    pub(super) const fn new(record: &'r Issuance, form: F, message: Vec<u8>) -> Self {
        Self { record, form, message }
    }

    /// SHA-256 of what will be signed, for the record's `content`.
    pub fn content(&self) -> Digest {
        Digest::of(&self.message)
    }

    /// The bytes that will be signed.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Reads the bytes back and holds them against the record.
    ///
    /// # Errors
    /// On the first difference. Then nothing may be signed, and it is a fault of ours.
    pub fn lint(self) -> Result<Linted<F>, LintError> {
        self.form.lint(self.record, &self.message)?;
        Ok(Linted { form: self.form, message: self.message })
    }

    #[cfg(test)]
    pub(super) fn tampered(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.message);
        self
    }
}

impl<F: Form> Linted<F> {
    /// SHA-256 of what will be signed, for the record's `content`.
    pub fn content(&self) -> Digest {
        Digest::of(&self.message)
    }

    /// Signs, with the key that the bytes name.
    ///
    /// # Errors
    /// When the key fails, or is another one.
    pub fn sign(self, signer: &dyn Signer) -> Result<F::Signed, SigningFailed> {
        let failed = || SigningFailed { kid: signer.kid().to_owned() };
        if self.form.key() != (signer.kid(), signer.algorithm()) {
            return Err(failed());
        }
        let signature = signer.sign(&self.message)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(failed());
        }
        self.form.join(self.message, &signature).ok_or_else(failed)
    }
}
