//! Certificates for one action (PROFILES 3): the to-be-signed part as a pure function of the record, the
//! holder's public key, the action CA and the profile.

use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    CrlDistributionPoint, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber,
};

use super::ca::{self, Ca, CaFacts};
use super::csr::SubjectKey;
use super::extension::{ActionBinding, OidArc};
use super::lint;
use super::mint::{Form, LintError, MintError, Unsigned, sealed};
use super::pem;
use super::tbs::{self, PublicBits};
use crate::domain::credential::{Issuance, Kind};
use crate::domain::digest::Digest;
use crate::domain::limits::{
    CERTIFICATE_NOT_BEFORE_SLACK_SECONDS, COMMON_NAME_CHARS_MAX, CRL_INTERVAL_SECONDS,
};
use crate::domain::signer::Algorithm;

/// What a deployment chooses of its certificates.
#[derive(Clone, Debug)]
pub struct CertificateProfile {
    /// Where our private extension's identifier stands.
    pub oid_arc: OidArc,
    /// How the common name is made.
    pub common_name: NameForm,
    /// Where the CRL is served, once one is. Without it a certificate that outlives the CRL interval says
    /// nothing of revocation: `noRevAvail` would promise that it can't be revoked, and it can, by us.
    pub crl_url: Option<Arc<str>>,
}

/// A template of common names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameForm(Arc<str>);

/// The text is no template of common names.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "expected printable ASCII with `{{id}}`, or with `{{tenant}}` and `{{agent}}`, and `{{action}}` if wanted"
)]
pub struct BadNameForm;

impl NameForm {
    /// The common name for a record; `sha256:` and 56 hex digits of its digest when it would be too long.
    pub fn fill(&self, record: &Issuance) -> String {
        // No value can hold a brace, so one replacement can't make another.
        let name = self.0.replace("{tenant}", record.agent.tenant().as_str());
        let name = name.replace("{agent}", record.agent.name().as_str());
        let name = name.replace("{action}", record.action.as_str());
        let name = name.replace("{id}", &record.id.to_string());
        if name.len() <= COMMON_NAME_CHARS_MAX {
            return name;
        }
        let digest = Digest::of(name.as_bytes()).to_string();
        format!("sha256:{}", digest.get(..56).unwrap_or(&digest))
    }
}

impl Default for NameForm {
    /// No part can hold a colon, so two agents never share a name.
    fn default() -> Self {
        Self("{tenant}:{agent}:{action}".into())
    }
}

impl FromStr for NameForm {
    type Err = BadNameForm;

    fn from_str(text: &str) -> Result<Self, BadNameForm> {
        let unique = text.contains("{id}") || (text.contains("{tenant}") && text.contains("{agent}"));
        let known = ["{tenant}", "{agent}", "{action}", "{id}"];
        let fixed = known.iter().fold(text.to_owned(), |rest, word| rest.replace(word, ""));
        let plain = fixed.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let sized = text.len() <= 2 * COMMON_NAME_CHARS_MAX;
        let good = unique && plain && sized && !fixed.contains(['{', '}']);
        if good { Ok(Self(text.into())) } else { Err(BadNameForm) }
    }
}

/// The form of a certificate: for whose key, under which authority.
pub struct CertificateForm {
    pub(super) subject: SubjectKey,
    pub(super) ca: Arc<CaFacts>,
    pub(super) common_name: String,
    pub(super) oid_arc: OidArc,
    pub(super) crl_url: Option<Arc<str>>,
    kid: String,
    algorithm: Algorithm,
}

/// A signed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate(Vec<u8>);

impl Certificate {
    /// The DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// One PEM block.
    pub fn pem(&self) -> String {
        (*pem::encode("CERTIFICATE", &self.0)).clone()
    }

    /// Its thumbprint for `cnf` (`x5t#S256`, RFC 8705 section 3.1).
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Digest::of(&self.0).as_bytes())
    }
}

/// The certificate of this record before its signature.
///
/// # Errors
/// When the record is not a certificate's, or the authority has expired.
pub fn unsigned<'r>(
    record: &'r Issuance,
    subject: &SubjectKey,
    ca: &Ca,
    profile: &CertificateProfile,
) -> Result<Unsigned<'r, CertificateForm>, MintError> {
    if record.kind != Kind::Certificate {
        return Err(MintError::WrongKind);
    }
    let form = CertificateForm {
        subject: subject.clone(),
        ca: Arc::clone(&ca.facts),
        common_name: profile.common_name.fill(record),
        oid_arc: profile.oid_arc.clone(),
        crl_url: profile.crl_url.clone(),
        kid: ca.signer().kid().to_owned(),
        algorithm: ca.signer().algorithm(),
    };
    let params = params(record, &form)?;
    let issuer = ca::issuer_params(&form.ca.common_name, &form.ca.key_id);
    let issuer_key = PublicBits::of(form.algorithm, ca.signer().public_key());
    let message = tbs::encode(&params, &subject.public_bits(), &issuer, issuer_key)?;
    Ok(Unsigned::new(record, form, message))
}

fn params(record: &Issuance, form: &CertificateForm) -> Result<rcgen::CertificateParams, MintError> {
    let serial = record.serial.ok_or(MintError::NoSerial)?;
    let issued = record.issued.seconds();
    if form.ca.not_after <= issued {
        return Err(MintError::Expired);
    }
    let mut params = ca::issuer_params(&form.common_name, &form.subject.key_id());
    let not_before = issued - i64::from(CERTIFICATE_NOT_BEFORE_SLACK_SECONDS);
    tbs::set_validity(&mut params, not_before, record.expires.seconds().min(form.ca.not_after))?;
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let (tenant, agent) = (record.agent.tenant(), record.agent.name());
    let uri = format!("spiffe://{}/action/{tenant}/{agent}/{}", form.ca.trust_domain, record.id);
    let uri = uri.try_into().map_err(|error: rcgen::Error| MintError::Certificate(error.to_string()))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    let binding = ActionBinding::of(record)?.to_der();
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&form.oid_arc.binding_numbers(), binding)];
    // PROFILES 3: either it dies before a CRL could name it, and says so, or it points to the CRL.
    if record.expires.seconds() - issued <= CRL_INTERVAL_SECONDS {
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 56], vec![0x05, 0x00]));
    } else if let Some(url) = &form.crl_url {
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![url.to_string()] }];
    }
    Ok(params)
}

impl sealed::Sealed for CertificateForm {}

impl Form for CertificateForm {
    type Signed = Certificate;

    fn key(&self) -> (&str, Algorithm) {
        (&self.kid, self.algorithm)
    }

    fn lint(&self, record: &Issuance, message: &[u8]) -> Result<(), LintError> {
        lint::certificate(self, record, message)
    }

    fn join(self, message: Vec<u8>, signature: &[u8]) -> Option<Certificate> {
        tbs::join(&message, self.algorithm, &self.ca.algorithm, signature).map(Certificate)
    }
}
