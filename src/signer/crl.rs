//! Certificate revocation lists (RFC 5280 section 5, PROFILES 4): version 2, with authority key identifier
//! and number, without an issuing distribution point, so that every verifier takes them for the whole CA.
//!
//! It knows serials and authorities, and nothing of why a certificate ended.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::ca::{Ca, is_signed_by};
use super::der::{BadDer, Reader, element, tag, unsigned};
use super::mint::MintError;
use super::pem;
use super::tbs;
use super::x509::{Signed, Tbs, oid};
use crate::domain::credential::EndedHow;
use crate::domain::id::Serial;
use crate::domain::limits::CRL_INTERVAL_SECONDS;
use crate::domain::signer::SigningFailed;
use crate::domain::time::Timestamp;
use crate::signer::ca::BadCa;
use crate::signer::minter::MintFailed;

/// How far `thisUpdate` lies before now, in seconds: verifiers' clocks lag a little. It is part of the
/// interval, so that a list is never good for longer than that.
const THIS_UPDATE_SLACK_SECONDS: i64 = 5;

/// Bytes of an entry, about: 67 of PEM.
const ENTRY_BYTES: usize = 52;

/// A certificate that ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedSerial {
    /// Its serial number.
    pub serial: Serial,
    /// When its end was durable.
    pub time: Timestamp,
    /// Whether its holder gave it back or an operator took it.
    pub how: EndedHow,
}

/// The CRLs of the chain, DER, and all of them as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crls {
    /// The action CA's.
    pub action: Vec<u8>,
    /// The identity CA's.
    pub identity: Vec<u8>,
    /// The root's, when there is one.
    pub root: Option<Vec<u8>>,
    /// All of them. nginx and Envoy refuse every client when one of the chain's is missing.
    pub pem: String,
}

impl Crls {
    pub(super) fn new(action: Vec<u8>, identity: Vec<u8>, root: Option<Vec<u8>>) -> Self {
        let all = [Some(&action), Some(&identity), root.as_ref()];
        let pem = all.into_iter().flatten().map(|der| (*pem::encode("X509 CRL", der)).clone()).collect();
        Self { action, identity, root, pem }
    }

    /// The CRLs of the chain above an action certificate, PEM.
    pub fn action_chain_pem(&self) -> String {
        self.chain(&self.action)
    }

    /// The CRLs of the chain above an identity, PEM.
    pub fn identity_chain_pem(&self) -> String {
        self.chain(&self.identity)
    }

    fn chain(&self, issuer: &Vec<u8>) -> String {
        let both = [Some(issuer), self.root.as_ref()];
        both.into_iter().flatten().map(|der| (*pem::encode("X509 CRL", der)).clone()).collect()
    }
}

/// A CRL of `ca` with these serials, good for [`CRL_INTERVAL_SECONDS`].
pub(super) fn sign(
    ca: &Ca,
    revoked: &[RevokedSerial],
    number: u128,
    now: Timestamp,
) -> Result<Vec<u8>, MintFailed> {
    let this_update = (now.seconds() - THIS_UPDATE_SLACK_SECONDS).max(0);
    let validity = (this_update, this_update + CRL_INTERVAL_SECONDS);
    sign_for(ca, revoked, number, validity)
}

/// The root's CRL: empty, and good for as long as the root, whose key is not at hand later. A root that
/// revokes an authority signs another one, with the key, and the file is replaced.
pub(super) fn sign_root(root: &Ca) -> Result<Vec<u8>, MintFailed> {
    let validity = (root.not_before().seconds(), root.not_after().seconds());
    sign_for(root, &[], 1, validity)
}

fn sign_for(
    ca: &Ca,
    revoked: &[RevokedSerial],
    number: u128,
    (this_update, next_update): (i64, i64),
) -> Result<Vec<u8>, MintFailed> {
    let algorithm = &ca.facts.algorithm;
    let mut parts: Vec<Vec<u8>> = vec![
        // v2
        unsigned(&[1]),
        algorithm.clone(),
        ca.facts.subject.clone(),
        time(this_update)?,
        time(next_update)?,
    ];
    if !revoked.is_empty() {
        parts.push(element(tag::SEQUENCE, &[&entries(revoked)?]));
    }
    parts.push(extensions(&ca.facts.key_id, number));
    let message = element(tag::SEQUENCE, &[&parts.concat()]);
    let signer = ca.signer();
    let signature = signer.sign(&message)?;
    let joined = tbs::join(&message, signer.algorithm(), algorithm, &signature);
    joined.ok_or_else(|| SigningFailed { kid: signer.kid().to_owned() }.into())
}

/// The entries, one after the other. There may be hundreds of thousands: what many of them share is made once.
fn entries(revoked: &[RevokedSerial]) -> Result<Vec<u8>, MintError> {
    // RFC 5280 section 5.3.1: its holder has no use for it, or it was taken away.
    let (released, taken) = (reason(5), reason(9));
    let mut times: HashMap<i64, Vec<u8>> = HashMap::new();
    let mut entries = Vec::with_capacity(revoked.len().saturating_mul(ENTRY_BYTES));
    for one in revoked {
        let seconds = one.time.seconds();
        let date = match times.entry(seconds) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(time(seconds)?),
        };
        let reason = match one.how {
            EndedHow::Released => &released,
            EndedHow::Revoked => &taken,
        };
        let serial = unsigned(one.serial.as_bytes());
        entries.extend(element(tag::SEQUENCE, &[&serial, date, reason]));
    }
    Ok(entries)
}

/// The extensions of an entry, with the reason alone.
fn reason(code: u8) -> Vec<u8> {
    let reason = element(tag::ENUMERATED, &[&[code]]);
    element(tag::SEQUENCE, &[&extension(oid::CRL_REASON, &reason)])
}

fn extensions(key_id: &[u8], number: u128) -> Vec<u8> {
    let authority = element(tag::SEQUENCE, &[&element(tag::KEY_ID, &[key_id])]);
    let authority = extension(oid::AUTHORITY_KEY_ID, &authority);
    let number = extension(oid::CRL_NUMBER, &unsigned(&number.to_be_bytes()));
    element(tag::CONTEXT_0, &[&element(tag::SEQUENCE, &[&authority, &number])])
}

/// An extension that is not critical.
fn extension(oid: &[u8], value: &[u8]) -> Vec<u8> {
    let parts = [element(tag::OID, &[oid]), element(tag::OCTET_STRING, &[value])];
    element(tag::SEQUENCE, &[&parts.concat()])
}

/// A time as RFC 5280 section 5.1.2.4 wants it: UTCTime until 2049, GeneralizedTime from 2050.
fn time(seconds: i64) -> Result<Vec<u8>, MintError> {
    let bad = |_| MintError::Certificate("time out of range".to_owned());
    let civil = jiff::Timestamp::from_second(seconds).map_err(bad)?;
    let civil = jiff::tz::Offset::UTC.to_datetime(civil);
    let year = civil.year();
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    );
    Ok(if year < 2050 {
        element(tag::UTC_TIME, &[format!("{:02}{rest}", year % 100).as_bytes()])
    } else {
        element(tag::GENERALIZED_TIME, &[format!("{year:04}{rest}").as_bytes()])
    })
}

/// Whether `crl` is a list that the authority with this certificate signed.
///
/// # Errors
/// When it is not.
pub(super) fn check(crl: &[u8], authority: &[u8]) -> Result<(), BadCa> {
    let signed = Signed::read(crl).map_err(|_| BadCa::Form)?;
    let authority = Signed::read(authority).map_err(|_| BadCa::Form)?;
    let authority = Tbs::read(authority.message).map_err(|_| BadCa::Form)?;
    let (algorithm, issuer) = algorithm_and_issuer(signed.message).map_err(|_| BadCa::Form)?;
    if issuer != authority.subject {
        return Err(BadCa::Role);
    }
    if algorithm != signed.algorithm {
        return Err(BadCa::Form);
    }
    if is_signed_by(&signed, &authority) { Ok(()) } else { Err(BadCa::Signature) }
}

fn algorithm_and_issuer(tbs: &[u8]) -> Result<(&[u8], &[u8]), BadDer> {
    let mut outer = Reader::new(tbs);
    let mut list = outer.enter(tag::SEQUENCE)?;
    outer.finish()?;
    list.expect(tag::INTEGER)?;
    Ok((list.expect_whole(tag::SEQUENCE)?, list.expect_whole(tag::SEQUENCE)?))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{CertificateRevocationList, FromDer as _, ParsedExtension, X509Certificate};

    use super::*;
    use crate::domain::limits::SECRETS_BYTES_MAX;
    use crate::signer::fixture::{NOW, action_ca};

    #[test]
    fn each_entry_has_its_own_time_and_reason() {
        let (ca, _) = action_ca();
        let of = |at: u8| {
            let how = if at.is_multiple_of(3) { EndedHow::Released } else { EndedHow::Revoked };
            RevokedSerial { time: NOW.plus_millis(i64::from(at % 5) * 1_500), ..revoked(at, how) }
        };
        let list: Vec<RevokedSerial> = (1..100).map(of).collect();
        let der = sign(&ca, &list, 1, NOW).unwrap();
        let (_, crl) = CertificateRevocationList::from_der(&der).unwrap();
        let read: Vec<_> = crl
            .iter_revoked_certificates()
            .map(|entry| (entry.raw_serial().to_vec(), entry.revocation_date.timestamp(), reason_of(entry)))
            .collect();
        let given = list.iter().map(|one| {
            let code = if one.how == EndedHow::Released { 5 } else { 9 };
            (one.serial.as_bytes().to_vec(), one.time.seconds(), code)
        });
        assert_eq!(read, given.collect::<Vec<_>>());
    }

    fn revoked(byte: u8, how: EndedHow) -> RevokedSerial {
        RevokedSerial { serial: Serial::new([byte; 16]), time: NOW, how }
    }

    #[test]
    fn another_parser_reads_the_profile() {
        let (ca, _) = action_ca();
        let list = [revoked(1, EndedHow::Revoked), revoked(2, EndedHow::Released)];
        let number = 7_u128 << 64 | 3;
        let der = sign(&ca, &list, number, NOW).unwrap();
        let (rest, crl) = CertificateRevocationList::from_der(&der).unwrap();
        assert!(rest.is_empty());
        let (_, authority) = X509Certificate::from_der(ca.certificate_der()).unwrap();
        crl.verify_signature(authority.public_key()).unwrap();
        assert_eq!(crl.version().map(|version| version.0), Some(1));
        assert_eq!(crl.issuer(), authority.subject());
        assert_eq!(crl.last_update().timestamp(), NOW.seconds() - 5);
        assert_eq!(crl.next_update().unwrap().timestamp(), NOW.seconds() + 55);
        assert_eq!(crl.crl_number().unwrap().to_bytes_be(), 7_u128.to_be_bytes_trimmed(3));
        let oids: Vec<String> =
            crl.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
        assert_eq!(oids, ["2.5.29.35", "2.5.29.20"], "no issuing distribution point");
        let reasons: Vec<u8> = crl.iter_revoked_certificates().map(reason_of).collect();
        assert_eq!(reasons, [9, 5]);
        let serials: Vec<&[u8]> = crl.iter_revoked_certificates().map(|entry| entry.raw_serial()).collect();
        assert_eq!(serials, list.iter().map(|one| &one.serial.as_bytes()[..]).collect::<Vec<_>>());
    }

    fn reason_of(entry: &x509_parser::prelude::RevokedCertificate<'_>) -> u8 {
        entry.reason_code().unwrap().1.0
    }

    trait Trimmed {
        fn to_be_bytes_trimmed(self, count: u64) -> Vec<u8>;
    }

    impl Trimmed for u128 {
        fn to_be_bytes_trimmed(self, count: u64) -> Vec<u8> {
            let bytes = (self << 64 | u128::from(count)).to_be_bytes();
            bytes.into_iter().skip_while(|byte| *byte == 0).collect()
        }
    }

    #[test]
    fn half_a_million_revoked_certificates_find_room_in_an_answer_for_proxies() {
        const COUNT: usize = 5_000;
        let (ca, _) = action_ca();
        let pem = |count| {
            let list = vec![revoked(1, EndedHow::Revoked); count];
            pem::encode("X509 CRL", &sign(&ca, &list, 1, NOW).unwrap()).len()
        };
        let each = (pem(2 * COUNT) - pem(COUNT)).div_ceil(COUNT);
        assert_eq!(each, 67, "the figure of docs/recipes/envoy.md");
        assert!((500_000..510_000).contains(&(SECRETS_BYTES_MAX / each)));
    }

    #[test]
    fn an_empty_list_has_no_list_of_certificates() {
        let (ca, _) = action_ca();
        let der = sign(&ca, &[], 1, NOW).unwrap();
        let (_, crl) = CertificateRevocationList::from_der(&der).unwrap();
        assert_eq!(crl.iter_revoked_certificates().count(), 0);
        assert!(
            !crl.extensions()
                .iter()
                .any(|one| matches!(one.parsed_extension(), ParsedExtension::IssuingDistributionPoint(_)))
        );
        assert!(crl.tbs_cert_list.revoked_certificates.is_empty());
    }

    #[test]
    fn a_list_of_another_authority_or_a_changed_one_is_refused() {
        let ((ca, _), (other, _)) = (action_ca(), action_ca());
        let der = sign(&ca, &[], 1, NOW).unwrap();
        assert_eq!(check(&der, ca.certificate_der()), Ok(()));
        assert!(check(&der, other.certificate_der()).is_err());
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 1;
            assert!(check(&changed, ca.certificate_der()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn times_change_their_form_in_2050() {
        assert_eq!(time(2_524_607_999).unwrap(), element(tag::UTC_TIME, &[b"491231235959Z"]));
        assert_eq!(time(2_524_608_000).unwrap(), element(tag::GENERALIZED_TIME, &[b"20500101000000Z"]));
    }
}
