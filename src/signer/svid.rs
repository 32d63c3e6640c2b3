//! Certificates of identities (PROFILES 2): operators, verifiers, and our own listeners, issued by the
//! identity CA. The to-be-signed part is read back and held against what was asked before it is signed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber};

use super::ca::{self, Ca};
use super::certificate::Certificate;
use super::csr::SubjectKey;
use super::der::{element, tag};
use super::mint::{LintError, MintError};
use super::minter::MintFailed;
use super::tbs::{self, PublicBits};
use super::x509::{Tbs, oid};
use crate::domain::digest::Digest;
use crate::domain::id::Serial;
use crate::domain::limits::{CERTIFICATE_NOT_BEFORE_SLACK_SECONDS, COMMON_NAME_CHARS_MAX};
use crate::domain::name::{BadName, HostName};
use crate::domain::signer::SigningFailed;
use crate::domain::time::Timestamp;

/// `[2]` and `[7]` primitive: a DNS name and an address among general names (RFC 5280 section 4.2.1.6).
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// A name that a TLS client knows a server by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// A DNS name, lowercase.
    Dns(Arc<str>),
    /// An address.
    Ip(IpAddr),
}

impl FromStr for ServerName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let bad = |_| BadName { expected: "a DNS name in lowercase, or an IP address" };
        text.parse::<HostName>().map(|name| Self::from(&name)).map_err(bad)
    }
}

impl From<&HostName> for ServerName {
    fn from(name: &HostName) -> Self {
        Self::Dns(name.as_str().into())
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// What a certificate of an identity says.
#[derive(Clone, Debug)]
pub struct Svid {
    /// The SPIFFE ID, of our trust domain.
    pub id: String,
    /// A name for people, cut at 64 characters.
    pub common_name: String,
    /// What TLS clients know it by; empty for all but servers.
    pub names: Vec<ServerName>,
    /// Its serial number.
    pub serial: Serial,
    /// From when on, less a slack.
    pub issued: Timestamp,
    /// Until when, at most as long as the authority.
    pub expires: Timestamp,
}

impl Svid {
    fn common_name(&self) -> String {
        self.common_name.chars().take(COMMON_NAME_CHARS_MAX).collect()
    }

    fn not_before(&self) -> i64 {
        self.issued.seconds() - i64::from(CERTIFICATE_NOT_BEFORE_SLACK_SECONDS)
    }
}

/// The certificate for `subject`, and the digest of what was signed.
///
/// # Errors
/// [`MintFailed`].
pub(super) fn mint(svid: &Svid, subject: &SubjectKey, ca: &Ca) -> Result<(Digest, Certificate), MintFailed> {
    let message = unsigned(svid, subject, ca)?;
    lint(svid, subject, ca, &message)?;
    let signer = ca.signer();
    let signature = signer.sign(&message)?;
    let certificate = tbs::join(&message, signer.algorithm(), &ca.facts.algorithm, &signature);
    let der = certificate.ok_or_else(|| SigningFailed { kid: signer.kid().to_owned() })?;
    Ok((Digest::of(&message), Certificate::from_der(der)))
}

fn unsigned(svid: &Svid, subject: &SubjectKey, ca: &Ca) -> Result<Vec<u8>, MintError> {
    if ca.facts.not_after <= svid.issued.seconds() {
        return Err(MintError::Expired);
    }
    let mut params = ca::issuer_params(&svid.common_name(), &subject.key_id());
    let not_after = svid.expires.seconds().min(ca.facts.not_after);
    tbs::set_validity(&mut params, svid.not_before(), not_after)?;
    params.serial_number = Some(SerialNumber::from_slice(svid.serial.as_bytes()));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = names(svid)?;
    let issuer_key = PublicBits::of(ca.signer().algorithm(), ca.signer().public_key());
    tbs::encode(&params, &subject.public_bits(), &ca.facts.issuer, issuer_key)
}

fn names(svid: &Svid) -> Result<Vec<SanType>, MintError> {
    let failed = |error: rcgen::Error| MintError::Certificate(error.to_string());
    let uri = svid.id.as_str().try_into().map_err(failed)?;
    let mut names = vec![SanType::URI(uri)];
    for name in &svid.names {
        names.push(match name {
            ServerName::Dns(name) => SanType::DnsName((&**name).try_into().map_err(failed)?),
            ServerName::Ip(address) => SanType::IpAddress(*address),
        });
    }
    Ok(names)
}

/// Fails with the field's name unless the two are the same.
fn same<T: PartialEq + Copy>(field: &'static str, found: T, expected: T) -> Result<(), LintError> {
    if found == expected { Ok(()) } else { Err(LintError::Differs(field)) }
}

/// The to-be-signed part against what was asked, every field and no extension more.
fn lint(svid: &Svid, subject: &SubjectKey, ca: &Ca, message: &[u8]) -> Result<(), LintError> {
    let tbs = Tbs::read(message).map_err(|_| LintError::Malformed("certificate"))?;
    same("serial", tbs.serial, svid.serial.as_bytes())?;
    same("signature algorithm", tbs.algorithm, &*ca.facts.algorithm)?;
    same("issuer", tbs.issuer, &*ca.facts.subject)?;
    same("notBefore", tbs.not_before, svid.not_before())?;
    same("notAfter", tbs.not_after, svid.expires.seconds().min(ca.facts.not_after))?;
    same("subjectPublicKeyInfo", tbs.public_key, subject.spki())?;
    let mut general = vec![element(tag::URI, &[svid.id.as_bytes()])];
    general.extend(svid.names.iter().map(|name| match name {
        ServerName::Dns(name) => element(DNS_NAME, &[name.as_bytes()]),
        ServerName::Ip(IpAddr::V4(address)) => element(IP_ADDRESS, &[&address.octets()]),
        ServerName::Ip(IpAddr::V6(address)) => element(IP_ADDRESS, &[&address.octets()]),
    }));
    let names = element(tag::SEQUENCE, &[&general.concat()]);
    let authority = element(tag::SEQUENCE, &[&element(tag::KEY_ID, &[&ca.facts.key_id])]);
    let key_id = element(tag::OCTET_STRING, &[&subject.key_id()]);
    let usage = [oid::SERVER_AUTH, oid::CLIENT_AUTH].map(|oid| element(tag::OID, &[oid])).concat();
    let usage = element(tag::SEQUENCE, &[&usage]);
    let expected: [(&'static str, &[u8], bool, &[u8]); 6] = [
        ("authorityKeyIdentifier", oid::AUTHORITY_KEY_ID, false, &authority),
        ("subjectAltName", oid::SUBJECT_ALT_NAME, false, &names),
        ("keyUsage", oid::KEY_USAGE, true, &[0x03, 0x02, 0x07, 0x80]),
        ("extKeyUsage", oid::EXT_KEY_USAGE, false, &usage),
        ("subjectKeyIdentifier", oid::SUBJECT_KEY_ID, false, &key_id),
        ("basicConstraints", oid::BASIC_CONSTRAINTS, true, &[0x30, 0x00]),
    ];
    same("number of extensions", tbs.extensions.len(), expected.len())?;
    for (field, oid, critical, value) in expected {
        let found = tbs.extension(oid).ok_or(LintError::Differs(field))?;
        same(field, (found.critical, found.value), (critical, value))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

    use super::*;
    use crate::signer::csr;
    use crate::signer::fixture::{NOW, action_ca};

    fn svid() -> Svid {
        Svid {
            id: "spiffe://example.org/operator/alice".to_owned(),
            common_name: "alice".to_owned(),
            names: Vec::new(),
            serial: Serial::new([9; 16]),
            issued: NOW,
            expires: Timestamp::from_seconds(NOW.seconds() + 3600),
        }
    }

    #[test]
    fn another_parser_reads_the_profile() {
        let (ca, _) = action_ca();
        let (key, _) = csr::generate().unwrap();
        let names = ["broker.example.org", "127.0.0.1", "::1"].map(|name| name.parse().unwrap()).to_vec();
        let svid = Svid { names, ..svid() };
        let (_, certificate) = mint(&svid, &key, &ca).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        assert_eq!(parsed.subject().to_string(), "CN=alice");
        let found = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(found[0], GeneralName::URI("spiffe://example.org/operator/alice"));
        assert_eq!(found[1], GeneralName::DNSName("broker.example.org"));
        assert_eq!(found[2], GeneralName::IPAddress(&[127, 0, 0, 1]));
        assert_eq!(found.len(), 4);
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && usage.server_auth && usage.other.is_empty());
        assert!(!parsed.is_ca());
        assert_eq!(parsed.validity().not_after.timestamp(), NOW.seconds() + 3600);
    }

    #[test]
    fn every_field_that_differs_is_found_before_the_signature() {
        let (ca, _) = action_ca();
        let (key, _) = csr::generate().unwrap();
        let (other, _) = csr::generate().unwrap();
        let message = unsigned(&svid(), &key, &ca).unwrap();
        assert_eq!(lint(&svid(), &key, &ca, &message), Ok(()));
        let later = Timestamp::from_seconds(NOW.seconds() + 3601);
        for wrong in [
            Svid { id: "spiffe://example.org/operator/bob".to_owned(), ..svid() },
            Svid { names: vec!["x".parse().unwrap()], ..svid() },
            Svid { serial: Serial::new([8; 16]), ..svid() },
            Svid { issued: later, ..svid() },
            Svid { expires: later, ..svid() },
        ] {
            assert!(lint(&wrong, &key, &ca, &message).is_err(), "{wrong:?}");
        }
        assert_eq!(lint(&svid(), &other, &ca, &message), Err(LintError::Differs("subjectPublicKeyInfo")));
    }

    #[test]
    fn server_names_are_lowercase_names_or_addresses() {
        for good in ["localhost", "a.b-c.example", "10.0.0.1", "fe80::1"] {
            assert_eq!(good.parse::<ServerName>().unwrap().to_string(), good);
        }
        for bad in ["", "A.example", "*.example", "a..b", "-a", "a-", "a b", "a/b", "a:1", &"a.".repeat(130)]
        {
            assert!(bad.parse::<ServerName>().is_err(), "{bad}");
        }
    }
}
