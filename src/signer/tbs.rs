//! The bytes of a certificate: its to-be-signed part by rcgen, its frame by us.
//!
//! rcgen signs what it encodes. We want the bytes first, to lint them, so rcgen gets a key that keeps the
//! message and signs nothing.

use std::cell::RefCell;
use std::time::Duration;

use rcgen::{
    CertificateParams, Issuer, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SignatureAlgorithm,
    SigningKey,
};

use super::der::{bit_string, element, tag, unsigned};
use super::mint::MintError;
use super::x509::oid;
use crate::domain::digest::Digest;
use crate::domain::signer::{Algorithm, Signer};

/// The last second that X.509 can name: 9999-12-31T23:59:59Z.
const TIME_SECONDS_MAX: i64 = 253_402_300_799;

/// A public key as rcgen wants it.
pub(super) struct PublicBits<'a> {
    pub(super) algorithm: &'static SignatureAlgorithm,
    pub(super) bits: &'a [u8],
}

impl<'a> PublicBits<'a> {
    pub(super) fn of(algorithm: Algorithm, bits: &'a [u8]) -> Self {
        let algorithm = match algorithm {
            Algorithm::Ed25519 => &PKCS_ED25519,
            Algorithm::Es256 => &PKCS_ECDSA_P256_SHA256,
        };
        Self { algorithm, bits }
    }
}

impl PublicKeyData for PublicBits<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// Keeps what it should sign.
struct Capture<'a> {
    key: PublicBits<'a>,
    message: RefCell<Vec<u8>>,
}

impl PublicKeyData for Capture<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.key.algorithm
    }
}

impl SigningKey for Capture<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        *self.message.borrow_mut() = message.to_vec();
        Ok(Vec::new())
    }
}

/// The to-be-signed certificate of `params` for `subject`, issued under `issuer` by the key `issuer_key`.
pub(super) fn encode(
    params: &CertificateParams,
    subject: &PublicBits<'_>,
    issuer: &CertificateParams,
    issuer_key: PublicBits<'_>,
) -> Result<Vec<u8>, MintError> {
    let capture = Capture { key: issuer_key, message: RefCell::default() };
    let unsigned = params.signed_by(subject, &Issuer::from_params(issuer, &capture));
    unsigned.map_err(|error| MintError::Certificate(error.to_string()))?;
    Ok(capture.message.into_inner())
}

/// Sets both ends of the validity, in seconds since the epoch.
pub(super) fn set_validity(
    params: &mut CertificateParams,
    not_before: i64,
    not_after: i64,
) -> Result<(), MintError> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |seconds: i64| {
        let seconds = u64::try_from(seconds).ok().filter(|_| seconds <= TIME_SECONDS_MAX);
        seconds.map(Duration::from_secs).ok_or(MintError::Certificate("time out of range".to_owned()))
    };
    params.not_before = epoch + since(not_before)?;
    params.not_after = epoch + since(not_after)?;
    Ok(())
}

/// The key identifier of a public key: the first 160 bits of the SHA-256 of its BIT STRING's octets
/// (RFC 7093 section 2, method 1).
pub(super) fn key_id(bits: &[u8]) -> Vec<u8> {
    Digest::of(bits).as_bytes().iter().take(20).copied().collect()
}

/// The AlgorithmIdentifier of certificates that `signer` signs.
pub(super) fn algorithm_identifier(signer: &dyn Signer) -> Vec<u8> {
    let oid = match signer.algorithm() {
        Algorithm::Ed25519 => oid::ED25519,
        Algorithm::Es256 => oid::ECDSA_SHA256,
    };
    element(tag::SEQUENCE, &[&element(tag::OID, &[oid])])
}

/// A whole certificate from its to-be-signed part, the AlgorithmIdentifier and a signature of 64 octets.
pub(super) fn join(tbs: &[u8], algorithm: Algorithm, identifier: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let signature = match algorithm {
        Algorithm::Ed25519 => bit_string(signature),
        Algorithm::Es256 => {
            // X.509 has the pair as a SEQUENCE of INTEGERs (RFC 3279 section 2.2.3).
            let (r, s) = signature.split_at_checked(32)?;
            bit_string(&element(tag::SEQUENCE, &[&unsigned(r), &unsigned(s)]))
        }
    };
    Some(element(tag::SEQUENCE, &[tbs, identifier, &signature]))
}
