//! Certificate authorities: the root, and below it one for identities and one for actions.
//!
//! They are separate keys, so that a certificate for one action never verifies where an identity is asked.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyIdMethod, KeyUsagePurpose,
    SanType, SerialNumber,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};

use super::der::{BadDer, Reader, tag};
use super::jwk;
use super::mint::MintError;
use super::pem;
use super::tbs::{self, PublicBits};
use super::x509::{Signed, Tbs, oid};
use crate::domain::digest::Digest;
use crate::domain::id::Serial;
use crate::domain::limits::{CERTIFICATE_NOT_BEFORE_SLACK_SECONDS, COMMON_NAME_CHARS_MAX};
use crate::domain::name::TrustDomain;
use crate::domain::signer::{Algorithm, Signer};
use crate::domain::time::Timestamp;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// What an authority is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Certificates for one action.
    Action,
    /// SPIFFE identities.
    Identity,
    /// The other two.
    Root,
}

impl Role {
    const fn words(self) -> &'static str {
        match self {
            Self::Action => "hotwork action CA",
            Self::Identity => "hotwork identity CA",
            Self::Root => "hotwork root CA",
        }
    }

    /// Days that its certificate is good for: the root ten years, what it signs five.
    const fn days(self) -> i64 {
        match self {
            Self::Action | Self::Identity => 5 * 365,
            Self::Root => 10 * 365,
        }
    }

    /// Authorities that may stand below it.
    const fn path_length(self) -> u8 {
        match self {
            Self::Action | Self::Identity => 0,
            Self::Root => 1,
        }
    }
}

/// What minting and linting need to know of an authority.
pub(super) struct CaFacts {
    pub(super) trust_domain: TrustDomain,
    pub(super) common_name: String,
    /// Its name, whole DER.
    pub(super) subject: Vec<u8>,
    pub(super) key_id: Vec<u8>,
    /// The AlgorithmIdentifier of its signatures.
    pub(super) algorithm: Vec<u8>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// What rcgen needs to know of it, made once.
    pub(super) issuer: CertificateParams,
}

/// An authority that can sign.
pub struct Ca {
    pub(super) facts: Arc<CaFacts>,
    signer: Arc<dyn Signer>,
    der: Vec<u8>,
    pem: String,
}

/// A certificate is not that of the authority it should be.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadCa {
    /// It is malformed.
    #[error("not a certificate in strict DER")]
    Form,
    /// It is for another key.
    #[error("the certificate is not for the stored key")]
    Key,
    /// It is no authority of this trust domain and role.
    #[error("the certificate is not that of this trust domain's authority")]
    Role,
    /// Its issuer did not sign it.
    #[error("the certificate's signature does not verify")]
    Signature,
}

impl Ca {
    /// An authority from its certificate and key.
    ///
    /// # Errors
    /// When the certificate is another role's, trust domain's or key's.
    pub fn new(
        role: Role,
        trust_domain: &TrustDomain,
        der: Vec<u8>,
        signer: Arc<dyn Signer>,
    ) -> Result<Self, BadCa> {
        let signed = Signed::read(&der).map_err(|_| BadCa::Form)?;
        let tbs = Tbs::read(signed.message).map_err(|_| BadCa::Form)?;
        let key_id = tbs::key_id(signer.public_key());
        let bits = crate::signer::der::bit_string(signer.public_key());
        if !tbs.public_key.ends_with(&bits) {
            return Err(BadCa::Key);
        }
        let common_name = common_name(role, trust_domain);
        let is_role = tbs.subject.ends_with(common_name.as_bytes())
            && tbs.only_uri() == Ok(&format!("spiffe://{trust_domain}"))
            && tbs.extension(oid::BASIC_CONSTRAINTS).is_some_and(|found| found.critical);
        if !is_role {
            return Err(BadCa::Role);
        }
        let facts = CaFacts {
            trust_domain: trust_domain.clone(),
            issuer: issuer_params(&common_name, &key_id),
            common_name,
            subject: tbs.subject.to_vec(),
            key_id,
            algorithm: tbs::algorithm_identifier(&*signer),
            not_before: tbs.not_before,
            not_after: tbs.not_after,
        };
        let pem = (*pem::encode("CERTIFICATE", &der)).clone();
        Ok(Self { facts: Arc::new(facts), signer, der, pem })
    }

    /// The key's door. What it signs has been linted: see [`super::mint::Linted`].
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// The certificate, DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The first moment of the certificate.
    pub fn not_before(&self) -> Timestamp {
        Timestamp::from_seconds(self.facts.not_before)
    }

    /// The last moment of the certificate; nothing it signs outlives it.
    pub fn not_after(&self) -> Timestamp {
        Timestamp::from_seconds(self.facts.not_after)
    }

    /// The trust domain that it speaks for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.facts.trust_domain
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("name", &self.facts.common_name).finish_non_exhaustive()
    }
}

/// Who issues an authority's certificate.
pub(super) struct Parent<'a> {
    pub(super) role: Role,
    pub(super) signer: &'a dyn Signer,
}

/// A new certificate for the authority `role`, whose key is `key`.
///
/// # Errors
/// When it can't be encoded or signed.
pub(super) fn issue(
    role: Role,
    trust_domain: &TrustDomain,
    key: &dyn Signer,
    parent: &Parent<'_>,
    serial: Serial,
    now: Timestamp,
) -> Result<Vec<u8>, MintError> {
    let start = now.seconds() - i64::from(CERTIFICATE_NOT_BEFORE_SLACK_SECONDS);
    let mut params = issuer_params(&common_name(role, trust_domain), &tbs::key_id(key.public_key()));
    tbs::set_validity(&mut params, start.max(0), now.seconds() + role.days() * DAY_SECONDS)?;
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(role.path_length()));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let uri = format!("spiffe://{trust_domain}");
    let uri = uri.try_into().map_err(|error: rcgen::Error| MintError::Certificate(error.to_string()))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    // A self-signed certificate needs no pointer to its own key (RFC 5280 section 4.2.1.1).
    params.use_authority_key_identifier_extension = role != parent.role;
    let name = common_name(parent.role, trust_domain);
    let issuer = issuer_params(&name, &tbs::key_id(parent.signer.public_key()));
    let bits = |signer: &dyn Signer| signer.algorithm();
    let subject = PublicBits::of(bits(key), key.public_key());
    let issuer_key = PublicBits::of(bits(parent.signer), parent.signer.public_key());
    let message = tbs::encode(&params, &subject, &issuer, issuer_key)?;
    let failed = |error: String| MintError::Certificate(error);
    let signature = parent.signer.sign(&message).map_err(|error| failed(error.to_string()))?;
    let identifier = tbs::algorithm_identifier(parent.signer);
    tbs::join(&message, parent.signer.algorithm(), &identifier, &signature)
        .ok_or_else(|| failed("the signature has a wrong length".to_owned()))
}

/// What rcgen needs to know of an issuer: its name and key id. Everything else is left empty.
pub(super) fn issuer_params(common_name: &str, key_id: &[u8]) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.to_vec());
    params
}

/// Whether `parent` (a certificate) signed `child`.
pub(super) fn is_signed_by(child: &Signed<'_>, parent: &Tbs<'_>) -> bool {
    let Ok(bits) = key_bits(parent) else { return false };
    let (algorithm, named): (&'static dyn VerificationAlgorithm, _) = match bits.len() {
        32 => (&ED25519, oid::ED25519),
        _ => (&ECDSA_P256_SHA256_ASN1, oid::ECDSA_SHA256),
    };
    let identified = child.algorithm.ends_with(named);
    identified && UnparsedPublicKey::new(algorithm, bits).verify(child.message, child.signature).is_ok()
}

/// The id of an authority's key, as the records of what it signed have it.
pub(super) fn kid(authority: &Tbs<'_>) -> Result<String, BadDer> {
    let bits = key_bits(authority)?;
    let algorithm = if bits.len() == 32 { Algorithm::Ed25519 } else { Algorithm::Es256 };
    Ok(jwk::thumbprint(algorithm, bits))
}

/// The public key's bits.
fn key_bits<'a>(certificate: &Tbs<'a>) -> Result<&'a [u8], BadDer> {
    let mut inner = Reader::new(certificate.public_key).enter(tag::SEQUENCE)?;
    inner.expect(tag::SEQUENCE)?;
    inner.bit_string()
}

/// An authority's name: its role and the trust domain, or a digest of it when that is too long.
fn common_name(role: Role, trust_domain: &TrustDomain) -> String {
    let name = format!("{} {trust_domain}", role.words());
    if name.len() <= COMMON_NAME_CHARS_MAX {
        return name;
    }
    let digest = Digest::of(trust_domain.as_str().as_bytes()).to_string();
    format!("{} {}", role.words(), digest.get(..32).unwrap_or_default())
}

/// Whether a key can be an authority's: P-256 for now, which every client verifies.
pub(super) const ALGORITHM: Algorithm = Algorithm::Es256;
