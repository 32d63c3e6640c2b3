//! The holder's key: from a certificate request (PKCS#10, RFC 2986) whose signature proves possession, or
//! made here when the holder asks.
//!
//! Only the public key is taken from a request. Subject, extensions and attributes are passed over, so that
//! nothing a caller writes there can reach a certificate.

use std::fmt;
use std::sync::Arc;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};

use super::der::{self, BadDer, Reader, element, tag};
use super::jwk;
use super::key::{BadKey, LocalSigner};
use super::pem;
use super::secret::SecretKeyPem;
use super::tbs::{self, PublicBits};
use super::x509::{Signed, oid};
use crate::domain::limits::CSR_BYTES_MAX;
use crate::domain::signer::{Algorithm, Signer as _};

/// Bits of an RSA modulus: below, it can be factored; above, checking it is a burden.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A public key that a certificate is to be for, whose holder proved to have the private half.
#[derive(Clone)]
pub struct SubjectKey {
    kind: KeyKind,
    bits: Arc<[u8]>,
    spki: Arc<[u8]>,
    jkt: Arc<str>,
}

/// The kinds of key that we certify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519.
    Ed25519,
    /// ECDSA over P-256.
    P256,
    /// RSA of 2048 to 4096 bits.
    Rsa,
}

/// Which kinds of key are accepted. P-256 and Ed25519 always are.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyRule {
    /// RSA as well, for clients that have nothing else.
    pub rsa: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadCsr {
    /// It is not the strict DER of a PKCS#10 request.
    #[error("expected a PKCS#10 request in strict DER")]
    Form,
    /// The key is not of a kind that we certify.
    #[error("expected a key of kind P-256 or Ed25519")]
    Kind,
    /// RSA is not switched on.
    #[error("RSA keys are not accepted here, expected P-256 or Ed25519")]
    RsaOff,
    /// The RSA key is weak or odd.
    #[error("expected an RSA key of 2048 to 4096 bits with exponent 65537, got `{0}` bits")]
    RsaWeak(usize),
    /// The signature does not verify with the key in the request, or the key is no point of its curve.
    #[error("the request's signature does not verify with its own key")]
    Signature,
    /// The request is signed in a way that does not belong to its key, or with a weak hash.
    #[error("expected a signature with SHA-256 or stronger that belongs to the key")]
    SignatureAlgorithm,
    /// The request is too long.
    #[error("expected at most {CSR_BYTES_MAX} bytes, got `{0}`")]
    TooLong(usize),
}

impl From<BadDer> for BadCsr {
    fn from(_: BadDer) -> Self {
        Self::Form
    }
}

impl SubjectKey {
    /// The key of a request, P-256 or Ed25519.
    ///
    /// # Errors
    /// When the request is malformed, its key is of another kind, or its signature does not verify.
    pub fn from_csr(csr: &[u8]) -> Result<Self, BadCsr> {
        Self::from_csr_under(csr, KeyRule::default())
    }

    /// The key of a request, of a kind that the rule accepts.
    ///
    /// # Errors
    /// When the request is malformed, its key is of another kind, or its signature does not verify.
    pub fn from_csr_under(csr: &[u8], rule: KeyRule) -> Result<Self, BadCsr> {
        if csr.len() > CSR_BYTES_MAX {
            return Err(BadCsr::TooLong(csr.len()));
        }
        der::check(csr)?;
        let signed = Signed::read(csr)?;
        let mut outer = Reader::new(signed.message);
        let mut info = outer.enter(tag::SEQUENCE)?;
        if info.expect(tag::INTEGER)? != [0] {
            return Err(BadCsr::Form);
        }
        info.expect(tag::SEQUENCE)?;
        let key = Self::from_spki(info.expect_whole(tag::SEQUENCE)?, rule)?;
        // Attributes, if any. Some clients leave the empty set out.
        info.optional(tag::CONTEXT_0)?;
        info.finish()?;
        let algorithm = key.verification(signed.algorithm)?;
        let verified = UnparsedPublicKey::new(algorithm, &key.bits).verify(signed.message, signed.signature);
        verified.map_err(|_| BadCsr::Signature)?;
        Ok(key)
    }

    /// What kind it is.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Its RFC 7638 thumbprint, for the record's `cnf`: it names the key that a certificate is for.
    pub fn jkt(&self) -> &str {
        &self.jkt
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(super) fn key_id(&self) -> Vec<u8> {
        tbs::key_id(&self.bits)
    }

    pub(super) fn public_bits(&self) -> PublicBits<'_> {
        let algorithm = match self.kind {
            KeyKind::Ed25519 => &PKCS_ED25519,
            KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyKind::Rsa => &PKCS_RSA_SHA256,
        };
        PublicBits { algorithm, bits: &self.bits }
    }

    fn from_raw(algorithm: Algorithm, public: &[u8]) -> Self {
        let kind = match algorithm {
            Algorithm::Ed25519 => KeyKind::Ed25519,
            Algorithm::Es256 => KeyKind::P256,
        };
        Self::with(kind, public, jwk::thumbprint(algorithm, public))
    }

    fn with(kind: KeyKind, bits: &[u8], jkt: String) -> Self {
        let algorithm = match kind {
            KeyKind::Ed25519 => element(tag::OID, &[oid::ED25519]),
            KeyKind::P256 => {
                [element(tag::OID, &[oid::EC_PUBLIC_KEY]), element(tag::OID, &[oid::P256])].concat()
            }
            KeyKind::Rsa => [element(tag::OID, &[oid::RSA]), vec![0x05, 0x00]].concat(),
        };
        let spki = element(tag::SEQUENCE, &[&element(tag::SEQUENCE, &[&algorithm]), &der::bit_string(bits)]);
        Self { kind, bits: bits.into(), spki: spki.into(), jkt: jkt.into() }
    }

    fn from_spki(spki: &[u8], rule: KeyRule) -> Result<Self, BadCsr> {
        let mut outer = Reader::new(spki);
        let mut inner = outer.enter(tag::SEQUENCE)?;
        let mut algorithm = inner.enter(tag::SEQUENCE)?;
        let (kind, bits) = (algorithm.expect(tag::OID)?, inner.bit_string()?);
        inner.finish()?;
        let key = match kind {
            oid::ED25519 if bits.len() == 32 => Self::from_raw(Algorithm::Ed25519, bits),
            oid::EC_PUBLIC_KEY => p256(algorithm, bits)?,
            oid::RSA if rule.rsa => rsa(bits)?,
            oid::RSA => return Err(BadCsr::RsaOff),
            _ => return Err(BadCsr::Kind),
        };
        // What we would write is what was sent: no odd parameters hide in the algorithm.
        if *key.spki == *spki { Ok(key) } else { Err(BadCsr::Form) }
    }

    /// How the request must be signed: by its own key, with SHA-256 or stronger.
    fn verification(&self, identifier: &[u8]) -> Result<&'static dyn VerificationAlgorithm, BadCsr> {
        let mut outer = Reader::new(identifier);
        let named = outer.enter(tag::SEQUENCE)?.expect(tag::OID)?;
        match (self.kind, named) {
            (KeyKind::Ed25519, oid::ED25519) => Ok(&ED25519),
            (KeyKind::P256, oid::ECDSA_SHA256) => Ok(&ECDSA_P256_SHA256_ASN1),
            (KeyKind::Rsa, oid::RSA_SHA256) => Ok(&RSA_PKCS1_2048_8192_SHA256),
            (KeyKind::Rsa, oid::RSA_SHA384) => Ok(&RSA_PKCS1_2048_8192_SHA384),
            (KeyKind::Rsa, oid::RSA_SHA512) => Ok(&RSA_PKCS1_2048_8192_SHA512),
            (KeyKind::Ed25519 | KeyKind::P256 | KeyKind::Rsa, _) => Err(BadCsr::SignatureAlgorithm),
        }
    }
}

/// An uncompressed point of P-256. That it lies on the curve is checked with the signature.
fn p256(mut algorithm: Reader<'_>, bits: &[u8]) -> Result<SubjectKey, BadCsr> {
    let named = algorithm.any()?;
    let curve = named.tag == tag::OID && named.content == oid::P256;
    if curve && bits.len() == 65 && bits.first() == Some(&4) {
        Ok(SubjectKey::from_raw(Algorithm::Es256, bits))
    } else {
        Err(BadCsr::Kind)
    }
}

fn rsa(bits: &[u8]) -> Result<SubjectKey, BadCsr> {
    let mut outer = Reader::new(bits);
    let mut inner = outer.enter(tag::SEQUENCE)?;
    outer.finish()?;
    let (modulus, exponent) = (inner.expect(tag::INTEGER)?, inner.expect(tag::INTEGER)?);
    inner.finish()?;
    // A modulus of whole octets starts with a 1 bit, so DER puts a zero octet before it.
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let first = modulus.first().copied().unwrap_or(0);
    let size = (modulus.len() * 8).saturating_sub(usize::try_from(first.leading_zeros()).unwrap_or(8));
    if !RSA_BITS.contains(&size) || exponent != [1, 0, 1] {
        return Err(BadCsr::RsaWeak(size));
    }
    Ok(SubjectKey::with(KeyKind::Rsa, bits, jwk::thumbprint_rsa(modulus, exponent)))
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectKey").field("kind", &self.kind).field("jkt", &self.jkt).finish_non_exhaustive()
    }
}

/// A new P-256 key for a holder that asked us to make it. The private half leaves with the answer and is
/// kept nowhere.
///
/// # Errors
/// When the system gives no randomness.
pub fn generate() -> Result<(SubjectKey, SecretKeyPem), BadKey> {
    let pkcs8 = LocalSigner::generate(Algorithm::Es256)?;
    let signer = LocalSigner::from_pkcs8(Algorithm::Es256, &pkcs8)?;
    let key = SubjectKey::from_raw(Algorithm::Es256, signer.public_key());
    Ok((key, SecretKeyPem::new(pem::encode("PRIVATE KEY", &pkcs8))))
}
