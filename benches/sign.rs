//! What minting costs: `cargo bench --bench sign`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark, not a library")]

use criterion::{Criterion, criterion_group, criterion_main};
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
use hotwork::signer::certificate::{self, CertificateProfile};
use hotwork::signer::csr::{self, SubjectKey};
use hotwork::signer::extension::OidArc;
use hotwork::signer::keystore::{Identity, KeyStore, Keys};
use hotwork::signer::{jwk, token, verify};

const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_250);

fn keys() -> Keys {
    let dir = tempfile::tempdir().unwrap();
    let trust_domain: TrustDomain = "example.org".parse().unwrap();
    let identity = Identity { trust_domain: trust_domain.clone(), token_algorithm: Algorithm::Es256 };
    KeyStore::create(dir.path(), &identity, None, NOW).unwrap();
    KeyStore::open(dir.path(), &trust_domain, None).unwrap()
}

fn record(kind: Kind) -> Issuance {
    let amount = Value::Integer(250.try_into().unwrap());
    Issuance {
        action: "repo.pull.open".parse().unwrap(),
        agent: "spiffe://example.org/tenant/acme/agent/coder".parse().unwrap(),
        approval: None,
        args: None,
        attested: Vec::new(),
        audience: "https://git.example".parse().unwrap(),
        cnf: Confirmation {
            jkt: Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap()),
            x5t_s256: None,
        },
        content: Digest::of(b""),
        drill: false,
        evidence: Digest::of(b"evidence"),
        expires: Timestamp::from_seconds(NOW.seconds() + 120),
        id: CredentialId::new(NOW, &[1; 10]),
        idempotency: None,
        issued: NOW,
        key: None,
        kind,
        lineage: Lineage::new(NOW, &[2; 10]),
        max_calls: None,
        owner: None,
        parameters: vec![Parameter { name: "amount".parse().unwrap(), value: amount }],
        policies: vec![],
        principal: "spiffe://example.org/tenant/acme/agent/coder".into(),
        purpose: None,
        registry: Digest::of(b"registry"),
        resource: "repo/acme/site".parse().unwrap(),
        serial: (kind == Kind::Certificate).then(|| Serial::new([3; 16])),
        single_use: false,
        status: (kind == Kind::Token).then_some(StatusRef { index: 7, list: 1 }),
        tier: Tier::Auto,
    }
}

fn tokens(c: &mut Criterion, keys: &Keys) {
    let issuer: Issuer = "https://broker.example.org".parse().unwrap();
    let (record, signer) = (record(Kind::Token), keys.token());
    let key = &*signer;
    c.bench_function("raw P-256 signature", |b| b.iter(|| key.sign(b"message").unwrap()));
    c.bench_function("token: mint", |b| {
        b.iter(|| token::unsigned(&record, &issuer, key).unwrap().message().len());
    });
    c.bench_function("token: mint, lint", |b| {
        b.iter(|| token::unsigned(&record, &issuer, key).unwrap().lint().unwrap().content());
    });
    let minted = || token::unsigned(&record, &issuer, key).unwrap().lint().unwrap().sign(key).unwrap();
    c.bench_function("token: mint, lint, sign", |b| b.iter(minted));
    let trusted = jwk::parse_jwks(&jwk::jwks(&[key])).unwrap();
    let (text, moment) = (minted(), verify::Moment { now: NOW, leeway_seconds: 0 });
    c.bench_function("token: verify", |b| {
        b.iter(|| verify::token(text.expose(), &trusted, &issuer, moment).unwrap());
    });
}

fn certificates(c: &mut Criterion, keys: &Keys) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&pair).unwrap().der().to_vec();
    let ca = keys.action_ca();
    let profile = CertificateProfile {
        oid_arc: OidArc::EXAMPLE.parse().unwrap(),
        common_name: Default::default(),
        crl_url: None,
    };
    let mut record = record(Kind::Certificate);
    let subject = SubjectKey::from_csr(&csr).unwrap();
    record.cnf.jkt = Some(subject.jkt().parse().unwrap());
    c.bench_function("csr: check", |b| b.iter(|| SubjectKey::from_csr(&csr).unwrap()));
    c.bench_function("key: generate", |b| b.iter(|| csr::generate().unwrap()));
    c.bench_function("certificate: mint", |b| {
        b.iter(|| certificate::unsigned(&record, &subject, ca, &profile).unwrap().message().len());
    });
    c.bench_function("certificate: mint, lint", |b| {
        b.iter(|| certificate::unsigned(&record, &subject, ca, &profile).unwrap().lint().unwrap().content());
    });
    let from = |subject: &SubjectKey| {
        let linted = certificate::unsigned(&record, subject, ca, &profile).unwrap().lint().unwrap();
        linted.sign(ca.signer()).unwrap()
    };
    c.bench_function("certificate: mint, lint, sign", |b| b.iter(|| from(&subject)));
    c.bench_function("certificate: csr, mint, lint, sign", |b| {
        b.iter(|| from(&SubjectKey::from_csr(&csr).unwrap()));
    });
}

fn all(c: &mut Criterion) {
    let keys = keys();
    tokens(c, &keys);
    certificates(c, &keys);
}

criterion_group!(benches, all);
criterion_main!(benches);
