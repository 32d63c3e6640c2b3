//! Certificates for one action (PROFILES 3): the to-be-signed part as a pure function of the record, the
//! holder's public key, the action CA and the profile.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    CrlDistributionPoint, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber,
};

use super::ca::{self, Ca, CaFacts};
use super::common_name::NameForm;
use super::csr::SubjectKey;
use super::extension::{ActionBinding, OidArc};
use super::lint;
use super::mint::{Form, LintError, MintError, Unsigned, sealed};
use super::pem;
use super::tbs::{self, PublicBits};
use crate::domain::credential::{Issuance, Kind};
use crate::domain::digest::Digest;
use crate::domain::limits::{CERTIFICATE_NOT_BEFORE_SLACK_SECONDS, CRL_INTERVAL_SECONDS};
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
    pub(super) const fn from_der(der: Vec<u8>) -> Self {
        Self(der)
    }

    /// The DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// One PEM block.
    pub fn pem(&self) -> String {
        std::mem::take(&mut *pem::encode("CERTIFICATE", &self.0))
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
    let issuer_key = PublicBits::of(form.algorithm, ca.signer().public_key());
    let message = tbs::encode(&params, &subject.public_bits(), &form.ca.issuer, issuer_key)?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
    use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::signer::csr;
    use crate::signer::fixture::{NOW, action_ca, profile, record};

    fn lasting(seconds: i64) -> Issuance {
        let mut record = record(Kind::Certificate);
        record.expires = Timestamp::from_seconds(NOW.seconds() + seconds);
        record
    }

    fn mint(record: &Issuance, profile: &CertificateProfile) -> (Certificate, Ca) {
        let (ca, _) = action_ca();
        let (subject, _) = csr::generate().unwrap();
        let linted = unsigned(record, &subject, &ca, profile).unwrap().lint().unwrap();
        (linted.sign(ca.signer()).unwrap(), ca)
    }

    fn oids(certificate: &X509Certificate<'_>) -> Vec<String> {
        certificate.extensions().iter().map(|extension| extension.oid.to_id_string()).collect()
    }

    #[test]
    fn another_parser_reads_the_profile() {
        let record = record(Kind::Certificate);
        let (certificate, ca) = mint(&record, &profile());
        let (rest, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        let (_, authority) = X509Certificate::from_der(ca.certificate_der()).unwrap();
        assert!(rest.is_empty());
        parsed.verify_signature(Some(authority.public_key())).unwrap();
        assert_eq!(parsed.issuer(), authority.subject());
        assert_eq!(parsed.subject().to_string(), "CN=acme:buyer:pay.invoice.settle");
        assert_eq!(parsed.raw_serial(), record.serial.unwrap().as_bytes());
        assert_eq!(parsed.validity().not_before.timestamp(), NOW.seconds() - 30);
        assert_eq!(parsed.validity().not_after.timestamp(), NOW.seconds() + 120);
        let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
        let uri = format!("spiffe://example.org/action/acme/buyer/{}", record.id);
        assert_eq!(*names, [GeneralName::URI(&uri)]);
        let usage = parsed.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.digital_signature() && usage.value.flags == 1);
        let extended = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && !extended.server_auth && !extended.any && extended.other.is_empty());
        assert!(!parsed.basic_constraints().unwrap().unwrap().value.ca);
    }

    #[test]
    fn an_authority_is_what_the_profile_says() {
        let (ca, root) = action_ca();
        let (_, parsed) = X509Certificate::from_der(ca.certificate_der()).unwrap();
        let (_, root) = X509Certificate::from_der(&root).unwrap();
        root.verify_signature(None).unwrap();
        parsed.verify_signature(Some(root.public_key())).unwrap();
        let constraints = parsed.basic_constraints().unwrap().unwrap();
        let bounded = (constraints.critical, constraints.value.ca, constraints.value.path_len_constraint);
        assert_eq!(bounded, (true, true, Some(0)));
        let usage = parsed.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
        assert!(!usage.value.digital_signature());
        let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(*names, [GeneralName::URI("spiffe://example.org")]);
        assert!(parsed.name_constraints().unwrap().is_none());
    }

    #[test]
    fn revocation_is_pointed_to_or_ruled_out_and_never_both() {
        const NO_REV_AVAIL: &str = "2.5.29.56";
        const POINTS: &str = "2.5.29.31";
        let with_crl = CertificateProfile { crl_url: Some("http://crl.example/a.crl".into()), ..profile() };
        let found = |seconds: i64, profile: &CertificateProfile| {
            let (certificate, _) = mint(&lasting(seconds), profile);
            let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
            let oids = oids(&parsed);
            [NO_REV_AVAIL, POINTS].map(|oid| oids.iter().any(|found| found == oid))
        };
        assert_eq!(found(60, &profile()), [true, false]);
        assert_eq!(found(60, &with_crl), [true, false]);
        assert_eq!(found(61, &profile()), [false, false]);
        assert_eq!(found(61, &with_crl), [false, true]);
    }

    #[test]
    fn no_changed_byte_gets_past_the_linter() {
        let (ca, _) = action_ca();
        let (subject, _) = csr::generate().unwrap();
        let with_crl = CertificateProfile { crl_url: Some("http://crl.example/a.crl".into()), ..profile() };
        for (record, profile) in [(lasting(60), profile()), (lasting(120), with_crl)] {
            let fresh = || unsigned(&record, &subject, &ca, &profile).unwrap();
            assert!(fresh().lint().is_ok());
            for at in 0..fresh().message().len() {
                for bit in [0x01, 0x20, 0x80] {
                    let linted = fresh().tampered(|message| message[at] ^= bit).lint();
                    assert!(linted.is_err(), "byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_certificate_never_outlives_its_authority() {
        let (ca, _) = action_ca();
        let (subject, _) = csr::generate().unwrap();
        let mut record = record(Kind::Certificate);
        let issue = |record: &Issuance| {
            let linted = unsigned(record, &subject, &ca, &profile())?.lint().unwrap();
            Ok::<_, MintError>(linted.sign(ca.signer()).unwrap())
        };
        record.issued = ca.not_after().plus_millis(-10_000);
        record.expires = record.issued.plus_millis(60_000);
        let certificate = issue(&record).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        assert_eq!(parsed.validity().not_after.timestamp(), ca.not_after().seconds());
        record.issued = ca.not_after();
        record.expires = record.issued.plus_millis(60_000);
        assert_eq!(issue(&record).err(), Some(MintError::Expired));
    }

    #[test]
    fn the_record_names_the_certified_key_or_nothing_is_signed() {
        let (ca, _) = action_ca();
        let ((mine, _), (theirs, _)) = (csr::generate().unwrap(), csr::generate().unwrap());
        let mut record = record(Kind::Certificate);
        record.cnf.jkt = Some(mine.jkt().parse().unwrap());
        assert!(unsigned(&record, &mine, &ca, &profile()).unwrap().lint().is_ok());
        let other = unsigned(&record, &theirs, &ca, &profile()).unwrap().lint();
        assert!(matches!(other.err(), Some(LintError::Rule(_))));
        record.serial = None;
        assert_eq!(unsigned(&record, &mine, &ca, &profile()).err(), Some(MintError::NoSerial));
        let token = crate::signer::fixture::record(Kind::Token);
        assert_eq!(unsigned(&token, &mine, &ca, &profile()).err(), Some(MintError::WrongKind));
    }

    proptest! {
        /// The certificate is the same whatever the request asked for.
        #[test]
        fn nothing_of_a_request_but_its_key_reaches_the_certificate(
            name in "[ -~]{0,40}",
            hosts in proptest::collection::vec("[a-z]{1,20}", 0..4),
            edwards in any::<bool>(),
        ) {
            let pair = KeyPair::generate_for(if edwards { &PKCS_ED25519 } else { &PKCS_ECDSA_P256_SHA256 }).unwrap();
            let mut params = CertificateParams::new(hosts).unwrap();
            params.distinguished_name.push(DnType::OrganizationName, name);
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let asked = params.serialize_request(&pair).unwrap();
            let plain = CertificateParams::default().serialize_request(&pair).unwrap();
            let (ca, _) = action_ca();
            let record = record(Kind::Certificate);
            let message = |csr: &[u8]| {
                let subject = SubjectKey::from_csr(csr).unwrap();
                let unsigned = unsigned(&record, &subject, &ca, &profile()).unwrap();
                let message = unsigned.message().to_vec();
                unsigned.lint().map(|_| message)
            };
            prop_assert_eq!(message(asked.der()), message(plain.der()));
        }

        /// Records of every shape pass the linter, and nothing is left out.
        #[test]
        fn every_record_gets_past_the_linter(
            agent in "[A-Za-z0-9._-]{1,63}",
            tenant in "[a-z0-9][a-z0-9-]{0,62}",
            verb in "[a-z0-9][a-z0-9_]{0,62}",
            resource in "[A-Za-z0-9@:+=~_-]{1,100}(/[A-Za-z0-9@:+=~_-]{1,100}){0,3}",
            life in 1_i64..=900,
            millis in 0_i64..1000,
            random in any::<[u8; 16]>(),
        ) {
            prop_assume!(agent != "." && agent != "..");
            let (ca, _) = action_ca();
            let (subject, _) = csr::generate().unwrap();
            let mut record = record(Kind::Certificate);
            record.agent = format!("spiffe://example.org/tenant/{tenant}/agent/{agent}").parse().unwrap();
            record.action = format!("api.{verb}").parse().unwrap();
            record.resource = resource.parse().unwrap();
            record.issued = Timestamp::from_millis(NOW.seconds() * 1000 + millis);
            record.expires = Timestamp::from_seconds(NOW.seconds() + life);
            record.serial = Some(crate::domain::id::Serial::new(random));
            let linted = unsigned(&record, &subject, &ca, &profile()).unwrap().lint();
            prop_assert!(linted.is_ok(), "{:?}", linted.err());
        }
    }
}
