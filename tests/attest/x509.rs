//! Chains that are believed, and each reason why one is not.

use std::sync::Arc;
use std::time::Duration;

use hotwork::attest::x509::{Accepts, BadBundle, BadChain, Bundle, Certified, Standing, Trust, X509Attestor};
use hotwork::attest::{Attestor, Failure, Outcome, Presented, Rejected};
use hotwork::domain::clock::{Clock, Untrustworthy};
use hotwork::domain::digest::Digest;
use hotwork::domain::enrollment::Enrolled;
use hotwork::domain::id::Serial;
use hotwork::domain::limits::CHAIN_CERTIFICATES_MAX;
use hotwork::domain::name::TrustDomain;
use hotwork::domain::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const NOW: Timestamp = Timestamp::from_seconds(1_900_000_000);

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

fn at(seconds: i64) -> rcgen::CertificateParams {
    let mut params = CertificateParams::default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(u64::try_from(NOW.seconds() - 60).unwrap());
    params.not_after = epoch + Duration::from_secs(u64::try_from(NOW.seconds() + seconds).unwrap());
    params
}

fn authority(name: &str, parent: Option<&Authority>) -> Authority {
    let mut params = at(86_400);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let der = match parent {
        Some(parent) => params.signed_by(&key, &parent.issuer).unwrap().der().clone(),
        None => params.self_signed(&key).unwrap().der().clone(),
    };
    Authority { issuer: Issuer::new(params, key), der }
}

fn svid(id: &str) -> CertificateParams {
    let mut params = at(600);
    params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    params.serial_number = Some(SerialNumber::from_slice(Serial::new([7; 16]).as_bytes()));
    params
}

fn leaf(params: &CertificateParams, authority: &Authority) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, &authority.issuer).unwrap().der().clone()
}

fn own() -> TrustDomain {
    "example.org".parse().unwrap()
}

fn workloads(authority: &Authority) -> Trust {
    let bundle = Bundle::from_der(std::slice::from_ref(&authority.der)).unwrap();
    Trust::workloads(&own(), [("prod.example".parse().unwrap(), bundle)])
}

const WEB: &str = "spiffe://prod.example/ns/web";

#[test]
fn a_workload_is_shown_with_its_id_issuer_and_key_until_its_end() {
    let root = authority("root", None);
    let below = authority("below", Some(&root));
    let chain = [leaf(&svid(WEB), &below), below.der.clone()];
    let certified = workloads(&root).verify(&chain, NOW).unwrap();
    let Standing::Workload(evidence) = &certified.standing else { panic!("{certified:?}") };
    let found: Vec<String> = evidence.selectors().map(ToString::to_string).collect();
    let (_, parsed) = X509Certificate::from_der(&chain[0]).unwrap();
    let (_, issuer) = X509Certificate::from_der(&below.der).unwrap();
    let expected = [
        format!("x509.issuer_sha256:{}", Digest::of(issuer.public_key().raw)),
        format!("x509.spiffe_id:{WEB}"),
        format!("x509.spki_sha256:{}", Digest::of(parsed.public_key().raw)),
        "x509.trust_domain:prod.example".to_owned(),
    ];
    assert_eq!(found, expected);
    assert_eq!(evidence.expires(), Some(Timestamp::from_seconds(NOW.seconds() + 600)));
    let last = Timestamp::from_seconds(NOW.seconds() + 599);
    assert!(workloads(&root).verify(&chain, last).is_ok());
    let end = Timestamp::from_seconds(NOW.seconds() + 600);
    assert!(matches!(workloads(&root).verify(&chain, end), Err(BadChain::Path(_))));
}

#[test]
fn no_authority_speaks_for_another_trust_domain() {
    let (root, other) = (authority("root", None), authority("other", None));
    let bundle = |authority: &Authority| Bundle::from_der(std::slice::from_ref(&authority.der)).unwrap();
    let trust = Trust::workloads(
        &own(),
        [("prod.example".parse().unwrap(), bundle(&root)), ("dev.example".parse().unwrap(), bundle(&other))],
    );
    assert!(trust.verify(&[leaf(&svid(WEB), &root)], NOW).is_ok());
    assert!(matches!(trust.verify(&[leaf(&svid(WEB), &other)], NOW), Err(BadChain::Path(_))));
    let unknown = leaf(&svid("spiffe://third.example/a"), &root);
    assert!(matches!(trust.verify(&[unknown], NOW), Err(BadChain::TrustDomain)));
}

#[test]
fn what_we_issue_is_no_evidence_for_us_even_when_somebody_configures_it() {
    let root = authority("root", None);
    let bundle = Bundle::from_der(std::slice::from_ref(&root.der)).unwrap();
    let trust = Trust::workloads(&own(), [(own(), bundle)]);
    let action = leaf(&svid("spiffe://example.org/action/acme/bot/1"), &root);
    assert!(matches!(trust.verify(&[action], NOW), Err(BadChain::TrustDomain)));
}

#[test]
fn a_leaf_is_held_to_the_form_of_an_svid() {
    let root = authority("root", None);
    let trust = workloads(&root);
    let second = SanType::URI("spiffe://prod.example/b".try_into().unwrap());
    let mut two = svid(WEB);
    two.subject_alt_names.push(second);
    let mut none = svid(WEB);
    none.subject_alt_names = vec![SanType::DnsName("prod.example".try_into().unwrap())];
    let mut authority_leaf = svid(WEB);
    authority_leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut signs = svid(WEB);
    signs.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let mut no_usage = svid(WEB);
    no_usage.key_usages.clear();
    let mut server_only = svid(WEB);
    server_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let bad_ids =
        ["spiffe://prod.example", "https://prod.example/a", "spiffe://prod.example/a/../b"].map(svid);
    let bad = [two, none, authority_leaf, signs, no_usage, server_only].into_iter().chain(bad_ids);
    for (at, params) in bad.enumerate() {
        assert!(trust.verify(&[leaf(&params, &root)], NOW).is_err(), "case {at}");
    }
    assert!(matches!(trust.verify(&[], NOW), Err(BadChain::Length(0))));
    let long = vec![leaf(&svid(WEB), &root); CHAIN_CERTIFICATES_MAX + 1];
    assert!(matches!(trust.verify(&long, NOW), Err(BadChain::Length(9))));
    assert!(trust.verify(&long[..CHAIN_CERTIFICATES_MAX], NOW).is_ok());
}

#[test]
fn operators_and_verifiers_are_kept_apart_by_their_listener() {
    let identity = authority("identity", None);
    let bundle = Bundle::from_der(std::slice::from_ref(&identity.der)).unwrap();
    let trust = |accepts| Trust::enrolled(accepts, own(), bundle.clone());
    let (operators, verifiers) = (trust(Accepts::Operators), trust(Accepts::Verifiers));
    let alice = [leaf(&svid("spiffe://example.org/operator/alice"), &identity)];
    let envoy = [leaf(&svid("spiffe://example.org/verifier/envoy"), &identity)];
    let found = operators.verify(&alice, NOW).unwrap().standing;
    let expected = Enrolled::Operator("alice".parse().unwrap());
    assert_eq!(found, Standing::Enrolled(expected, Serial::new([7; 16])));
    assert!(verifiers.verify(&envoy, NOW).is_ok());
    assert!(matches!(operators.verify(&envoy, NOW), Err(BadChain::Other)));
    assert!(matches!(verifiers.verify(&alice, NOW), Err(BadChain::Other)));
    for id in ["spiffe://example.org/action/acme/bot/1", "spiffe://example.org/broker"] {
        let other = [leaf(&svid(id), &identity)];
        assert!(matches!(operators.verify(&other, NOW), Err(BadChain::Other)), "{id}");
        assert!(matches!(verifiers.verify(&other, NOW), Err(BadChain::Other)), "{id}");
    }
    let mut foreign_serial = svid("spiffe://example.org/operator/alice");
    foreign_serial.serial_number = Some(SerialNumber::from_slice(&[5]));
    assert!(operators.verify(&[leaf(&foreign_serial, &identity)], NOW).is_err());
}

#[test]
fn another_authority_below_the_same_root_is_not_the_anchor() {
    let root = authority("root", None);
    let (identity, action) = (authority("identity", Some(&root)), authority("action", Some(&root)));
    let bundle = Bundle::from_der(std::slice::from_ref(&identity.der)).unwrap();
    let trust = Trust::enrolled(Accepts::Operators, own(), bundle);
    let forged = leaf(&svid("spiffe://example.org/operator/alice"), &action);
    let chain = [forged, action.der.clone(), root.der.clone()];
    assert!(matches!(trust.verify(&chain, NOW), Err(BadChain::Path(_))));
}

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Result<Timestamp, Untrustworthy> {
        Ok(self.0)
    }
}

/// What the attestor says of a peer at a time.
async fn attest(certified: &Certified, time: Timestamp) -> Result<Outcome, Failure> {
    let presented = Presented { x509: Some(Arc::new(certified.clone())), ..Presented::default() };
    X509Attestor::new(Arc::new(Fixed(time))).attest(&presented).await
}

#[tokio::test]
async fn evidence_ends_with_its_certificate_on_an_open_connection_too() {
    let root = authority("root", None);
    let certified = workloads(&root).verify(&[leaf(&svid(WEB), &root)], NOW).unwrap();
    let end = certified.expires;
    assert!(matches!(attest(&certified, NOW).await, Ok(Outcome::Evidence(_))));
    assert!(matches!(attest(&certified, end).await, Err(Failure::Rejected(Rejected::Expired))));
    let operator = Standing::Enrolled(Enrolled::Operator("a".parse().unwrap()), Serial::new([1; 16]));
    let operator = Certified { standing: operator, ..certified };
    assert!(matches!(attest(&operator, NOW).await, Ok(Outcome::NotMine)), "an operator is no workload");
    let nothing = X509Attestor::new(Arc::new(Fixed(NOW)));
    assert!(matches!(nothing.attest(&Presented::default()).await, Ok(Outcome::NotMine)));
}

#[test]
fn a_bundle_has_roots_and_nothing_else() {
    assert!(matches!(Bundle::from_pem(b""), Err(BadBundle::Count(0))));
    assert!(matches!(Bundle::from_pem(b"-----BEGIN CERTIFICATE-----\nMA"), Err(BadBundle::Pem(_))));
    let nonsense = CertificateDer::from(vec![0x30, 0]);
    assert!(matches!(Bundle::from_der(&[nonsense]), Err(BadBundle::Root(0, _))));
}
