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
    #[error("expected a key of kind P-256 or Ed25519; RSA keys are not accepted here")]
    RsaOff,
    /// The RSA key is weak or odd.
    #[error("expected an RSA key of 2048 to 4096 bits with exponent 65537, got `{0}` bits")]
    RsaWeak(usize),
    /// The signature does not verify with the key in the request, or the key is no point of its curve.
    #[error("expected a signature that verifies with the request's own key")]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
        PKCS_ECDSA_P384_SHA384, SignatureAlgorithm as RcgenAlgorithm,
    };

    use super::*;

    fn pair(algorithm: &'static RcgenAlgorithm) -> KeyPair {
        KeyPair::generate_for(algorithm).unwrap()
    }

    fn request(pair: &KeyPair) -> Vec<u8> {
        CertificateParams::default().serialize_request(pair).unwrap().der().to_vec()
    }

    #[test]
    fn the_key_of_a_signed_request_is_taken() {
        for (algorithm, kind) in [(&PKCS_ECDSA_P256_SHA256, KeyKind::P256), (&PKCS_ED25519, KeyKind::Ed25519)]
        {
            let pair = pair(algorithm);
            let key = SubjectKey::from_csr(&request(&pair)).unwrap();
            assert_eq!(key.kind(), kind);
            assert_eq!(&*key.bits, pair.public_key_raw());
            assert_eq!(key.spki(), rcgen::PublicKeyData::subject_public_key_info(&pair));
        }
    }

    #[test]
    fn every_changed_byte_of_a_request_is_refused() {
        let good = request(&pair(&PKCS_ED25519));
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 0x01;
            assert!(SubjectKey::from_csr(&changed).is_err(), "byte {at}");
            assert!(SubjectKey::from_csr(&good[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(SubjectKey::from_csr(&[&*good, &[0]].concat()).err(), Some(BadCsr::Form));
    }

    #[test]
    fn a_request_is_held_to_its_length() {
        assert_eq!(SubjectKey::from_csr(&[0; CSR_BYTES_MAX]).err(), Some(BadCsr::Form));
        let long = SubjectKey::from_csr(&[0; CSR_BYTES_MAX + 1]);
        assert_eq!(long.err(), Some(BadCsr::TooLong(CSR_BYTES_MAX + 1)));
    }

    #[test]
    fn other_curves_and_points_off_the_curve_are_refused() {
        assert_eq!(SubjectKey::from_csr(&request(&pair(&PKCS_ECDSA_P384_SHA384))).err(), Some(BadCsr::Kind));
        let pair = pair(&PKCS_ECDSA_P256_SHA256);
        let mut csr = request(&pair);
        let at = csr.windows(65).position(|window| window == pair.public_key_raw()).unwrap();
        csr[at + 64] ^= 1;
        assert_eq!(SubjectKey::from_csr(&csr).err(), Some(BadCsr::Signature));
        csr[at] = 2;
        assert_eq!(SubjectKey::from_csr(&csr).err(), Some(BadCsr::Kind));
    }

    #[test]
    fn a_key_of_another_can_not_be_claimed() {
        let (mine, theirs) = (pair(&PKCS_ED25519), pair(&PKCS_ED25519));
        let mut csr = request(&mine);
        let at = csr.windows(32).position(|window| window == mine.public_key_raw()).unwrap();
        csr[at..at + 32].copy_from_slice(theirs.public_key_raw());
        assert_eq!(SubjectKey::from_csr(&csr).err(), Some(BadCsr::Signature));
    }

    /// An RSA key's SubjectPublicKeyInfo with a modulus of that many bits.
    fn rsa_spki(bits: usize, exponent: &[u8]) -> Vec<u8> {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= modulus.len() * 8 - bits;
        let key = element(tag::SEQUENCE, &[&der::unsigned(&modulus), &der::unsigned(exponent)]);
        SubjectKey::with(KeyKind::Rsa, &key, String::new()).spki.to_vec()
    }

    #[test]
    fn rsa_is_off_unless_switched_on_and_then_held_to_its_size() {
        let read = |spki: Vec<u8>, rsa| SubjectKey::from_spki(&spki, KeyRule { rsa }).map(|key| key.kind());
        assert_eq!(read(rsa_spki(2048, &[1, 0, 1]), false), Err(BadCsr::RsaOff));
        for good in [2048, 3072, 4096] {
            assert_eq!(read(rsa_spki(good, &[1, 0, 1]), true), Ok(KeyKind::Rsa));
        }
        for bad in [1024, 2047, 4097] {
            assert_eq!(read(rsa_spki(bad, &[1, 0, 1]), true), Err(BadCsr::RsaWeak(bad)));
        }
        assert_eq!(read(rsa_spki(2048, &[3]), true), Err(BadCsr::RsaWeak(2048)));
    }

    #[test]
    fn a_key_that_we_make_is_kept_in_its_pem_alone() {
        let (key, pem) = generate().unwrap();
        let pkcs8 = pem::decode("PRIVATE KEY", pem.expose()).unwrap();
        let signer = LocalSigner::from_pkcs8(Algorithm::Es256, &pkcs8).unwrap();
        assert_eq!(signer.kid(), key.jkt());
        assert_eq!(format!("{pem:?}"), "...");
    }

    proptest! {
        /// Whatever a caller writes into a request, what we take from it is the key.
        #[test]
        fn nothing_but_the_key_is_taken_from_a_request(
            name in "[ -~]{0,40}",
            hosts in proptest::collection::vec("[a-z]{1,20}", 0..4),
            authority in any::<bool>(),
            ext in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
            let mut params = CertificateParams::new(hosts).unwrap();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
            if authority {
                params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            }
            let octets = element(tag::OCTET_STRING, &[&ext]);
            params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], octets)];
            let csr = params.serialize_request(&pair).unwrap();
            let taken = SubjectKey::from_csr(csr.der()).unwrap();
            let plain = SubjectKey::from_csr(&request(&pair)).unwrap();
            prop_assert_eq!(&taken.spki, &plain.spki);
            prop_assert_eq!(taken.jkt(), plain.jkt());
        }

        /// No input, however malformed, panics.
        #[test]
        fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(SubjectKey::from_csr(&bytes).is_err());
        }
    }
}
