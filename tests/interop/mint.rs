//! Keys, records and credentials as the broker would have them, at the machine's time.

use std::path::Path;
use std::time::SystemTime;

use hotwork::domain::catalogue::Tier;
use hotwork::domain::credential::{Issuance, Kind};
use hotwork::domain::digest::Digest;
use hotwork::domain::id::{CredentialId, Lineage, Serial};
use hotwork::domain::name::{Issuer, TrustDomain};
use hotwork::domain::parameter::{Parameter, Value};
use hotwork::domain::request::Confirmation;
use hotwork::domain::signer::Algorithm;
use hotwork::domain::status_list::StatusRef;
use hotwork::domain::time::Timestamp;
use hotwork::signer::certificate::{self, Certificate, CertificateProfile};
use hotwork::signer::csr::{self, SubjectKey};
use hotwork::signer::extension::OidArc;
use hotwork::signer::jwk;
use hotwork::signer::keystore::{Identity, KeyStore, Keys};
use hotwork::signer::token;

pub const ISSUER: &str = "https://broker.example.org";
pub const AUDIENCE: &str = "https://pay.example";
pub const PRINCIPAL: &str = "finance@example.org";

pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(elapsed.as_millis().try_into().unwrap())
}

/// A fresh key store in `dir`.
pub fn keys(dir: &Path, token_algorithm: Algorithm) -> Keys {
    let trust_domain: TrustDomain = "example.org".parse().unwrap();
    let identity = Identity { trust_domain: trust_domain.clone(), token_algorithm };
    KeyStore::create(dir, &identity, None, now()).unwrap();
    KeyStore::open(dir, &trust_domain, None).unwrap()
}

pub fn record(kind: Kind, life: i64) -> Issuance {
    let now = now();
    let amount = Value::Integer(250.try_into().unwrap());
    Issuance {
        action: "pay.invoice.settle".parse().unwrap(),
        agent: "spiffe://example.org/tenant/acme/agent/buyer".parse().unwrap(),
        approval: None,
        args: None,
        attested: Vec::new(),
        audience: AUDIENCE.parse().unwrap(),
        cnf: Confirmation::default(),
        content: Digest::of(b""),
        drill: false,
        evidence: Digest::of(b"evidence"),
        expires: Timestamp::from_seconds(now.seconds() + life),
        id: CredentialId::new(now, &[1; 10]),
        idempotency: None,
        issued: now,
        key: None,
        kind,
        lineage: Lineage::new(now, &[2; 10]),
        max_calls: None,
        owner: None,
        parameters: vec![Parameter { name: "amount".parse().unwrap(), value: amount }],
        policies: vec![],
        principal: PRINCIPAL.into(),
        purpose: None,
        registry: Digest::of(b"registry"),
        resource: "invoice/2026-0042".parse().unwrap(),
        serial: (kind == Kind::Certificate).then(|| Serial::new([3; 16])),
        single_use: true,
        status: (kind == Kind::Token && life > 60).then_some(StatusRef { index: 7, list: 1 }),
        tier: Tier::Auto,
    }
}

/// A token and the JWKS that verifies it, as files `token` and `jwks` in `dir`; its record.
pub fn token_files(dir: &Path, algorithm: Algorithm) -> Issuance {
    let keys = keys(dir, algorithm);
    let (record, signer) = (record(Kind::Token, 120), keys.token());
    let key = &*signer;
    let issuer: Issuer = ISSUER.parse().unwrap();
    let linted = token::unsigned(&record, &issuer, key).unwrap().lint().unwrap();
    std::fs::write(dir.join("token"), linted.sign(key).unwrap().expose()).unwrap();
    std::fs::write(dir.join("jwks"), jwk::jwks(&[key])).unwrap();
    record
}

pub fn certificate(keys: &Keys, subject: &SubjectKey, life: i64) -> Certificate {
    let profile = CertificateProfile {
        oid_arc: OidArc::EXAMPLE.parse().unwrap(),
        common_name: Default::default(),
        crl_url: None,
    };
    let (record, ca) = (record(Kind::Certificate, life), keys.action_ca());
    let linted = certificate::unsigned(&record, subject, ca, &profile).unwrap().lint().unwrap();
    linted.sign(ca.signer()).unwrap()
}

/// A certificate with its key, as files `cert.pem`, `key.pem`, `chain.pem` (leaf and action CA), `action.pem`,
/// `identity.pem` and `root.pem` in `dir`.
pub fn certificate_files(dir: &Path, life: i64) {
    let keys = keys(dir, Algorithm::Es256);
    let (subject, key) = csr::generate().unwrap();
    let leaf = certificate(&keys, &subject, life).pem();
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write("cert.pem", &leaf);
    write("key.pem", key.expose());
    write("chain.pem", &format!("{leaf}{}", keys.action_ca().certificate_pem()));
    write("action.pem", keys.action_ca().certificate_pem());
    write("identity.pem", keys.identity_ca().certificate_pem());
    write("root.pem", keys.root_pem());
}
