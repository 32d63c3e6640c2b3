//! What a check at the resource costs: `cargo bench --bench verify`. One thread, from memory.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark, not a library"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hotwork::domain::catalogue::Tier;
use hotwork::domain::credential::{Issuance, Kind};
use hotwork::domain::digest::Digest;
use hotwork::domain::id::{CredentialId, Lineage};
use hotwork::domain::name::{ActionName, Audience, Issuer};
use hotwork::domain::request::Confirmation;
use hotwork::domain::resource::Resource;
use hotwork::domain::signer::{Algorithm, Signer};
use hotwork::domain::status_list::StatusRef;
use hotwork::domain::time::Timestamp;
use hotwork::signer::key::{LocalSigner, VerifyingKey};
use hotwork::signer::token;
use hotwork::signer::verify::Trust;
use hotwork::verify::{
    Asked, Call, End, Ends, Followed, Presented, Scheme, Settings, Subject, Verifier, WhenLost,
};

const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_250);
const URL: &str = "https://git.example/repos/acme/site/pulls";

fn key(algorithm: Algorithm) -> LocalSigner {
    LocalSigner::from_pkcs8(algorithm, &LocalSigner::generate(algorithm).unwrap()).unwrap()
}

fn mint(broker: &LocalSigner, issuer: &Issuer, jkt: Option<&str>, n: u64) -> String {
    let agent = "spiffe://example.org/tenant/acme/agent/coder";
    let mut random = [0; 10];
    random[..8].copy_from_slice(&n.to_be_bytes());
    let record = Issuance {
        action: "repo.pull.open".parse().unwrap(),
        agent: agent.parse().unwrap(),
        approval: None,
        args: None,
        attested: Vec::new(),
        key: None,
        owner: None,
        audience: "https://git.example".parse().unwrap(),
        cnf: Confirmation { jkt: jkt.map(|jkt| jkt.parse().unwrap()), x5t_s256: None },
        content: Digest::of(b""),
        drill: false,
        evidence: Digest::of(b"evidence"),
        expires: Timestamp::from_seconds(NOW.seconds() + 120),
        id: CredentialId::new(NOW, &random),
        idempotency: None,
        issued: NOW,
        kind: Kind::Token,
        lineage: Lineage::new(NOW, &[2; 10]),
        parameters: Vec::new(),
        policies: Vec::new(),
        principal: agent.into(),
        purpose: None,
        registry: Digest::of(b"registry"),
        resource: "repo/acme/site".parse().unwrap(),
        serial: None,
        max_calls: None,
        single_use: false,
        status: Some(StatusRef { index: 7, list: 1 }),
        tier: Tier::Auto,
    };
    let linted = token::unsigned(&record, issuer, broker).unwrap().lint().unwrap();
    linted.sign(broker).unwrap().expose().to_owned()
}

fn proof(agent: &LocalSigner, token: &str, jti: u64) -> String {
    let (ath, seconds) = (URL_SAFE_NO_PAD.encode(Digest::of(token.as_bytes()).as_bytes()), NOW.seconds());
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = match agent.algorithm() {
        Algorithm::Ed25519 => {
            let x = encode(agent.public_key());
            format!(r#"{{"typ":"dpop+jwt","alg":"Ed25519","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#)
        }
        Algorithm::Es256 => {
            let (x, y) = (encode(&agent.public_key()[1..33]), encode(&agent.public_key()[33..]));
            format!(
                r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}}}"#
            )
        }
    };
    let payload = format!(r#"{{"jti":"{jti}","htm":"POST","htu":"{URL}","iat":{seconds},"ath":"{ath}"}}"#);
    let input = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
    let signature = encode(&agent.sign(input.as_bytes()).unwrap());
    format!("{input}.{signature}")
}

/// A verifier that knows of 100,000 ends, and what it is asked.
struct Scene {
    verifier: Verifier,
    broker: LocalSigner,
    issuer: Issuer,
    audience: Audience,
    action: ActionName,
    resource: Resource,
}

fn scene() -> Scene {
    let (broker, issuer): (_, Issuer) =
        (key(Algorithm::Es256), "https://broker.example.org".parse().unwrap());
    let trust = Trust::new(issuer.clone(), vec![VerifyingKey::of(&broker)], None);
    let followed = Followed::new(5, WhenLost::Strict);
    let mut ends = Ends::default();
    for n in 0..100_000_u64 {
        let mut random = [9; 10];
        random[..8].copy_from_slice(&n.to_be_bytes());
        let subject = Subject::Credential(CredentialId::new(NOW, &random));
        ends.add(End { subject, tenants: vec![], until: None, time: NOW, forget: None });
    }
    followed.begin(ends, 1, NOW);
    Scene {
        verifier: Verifier::new(Arc::new(trust), Arc::new(followed), Settings::default()),
        broker,
        issuer,
        audience: "https://git.example".parse().unwrap(),
        action: "repo.pull.open".parse().unwrap(),
        resource: "repo/acme/site".parse().unwrap(),
    }
}

impl Scene {
    fn verify(&self, scheme: Scheme, token: &str, proof: Option<&str>) {
        let presented = Presented { token: Some((scheme, token)), proof, certificate: None };
        let call = Call {
            method: "POST",
            url: Some(URL),
            audience: &self.audience,
            dangerous_bearer: scheme == Scheme::Bearer,
            asked: Some(Asked { action: &self.action, resource: &self.resource, parameters: &[] }),
            args: None,
        };
        self.verifier.verify(&presented, &call, NOW).unwrap();
    }
}

/// Distribution of single calls, which an average hides.
fn spread(name: &str, mut one: impl FnMut()) {
    let mut times: Vec<Duration> = (0..20_000)
        .map(|_| {
            let start = Instant::now();
            one();
            start.elapsed()
        })
        .collect();
    let sum: Duration = times.iter().sum();
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 1000];
    let rate = times.len() as f64 / sum.as_secs_f64();
    println!("{name}: {rate:.0}/s, p50 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(990), at(999));
}

fn all(c: &mut Criterion) {
    let scene = scene();
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let (agent, name) = (key(algorithm), algorithm.jose());
        let token = mint(&scene.broker, &scene.issuer, Some(agent.kid()), 0);
        let mut jti = 0;
        let mut fresh = || {
            jti += 1;
            proof(&agent, &token, jti)
        };
        c.bench_function(&format!("token in use and a fresh {name} proof"), |b| {
            b.iter_batched(
                &mut fresh,
                |proof| scene.verify(Scheme::Dpop, &token, Some(&proof)),
                BatchSize::SmallInput,
            );
        });
        let mut proofs: Vec<String> = (0..20_000).map(|_| fresh()).collect();
        spread(&format!("token in use and a fresh {name} proof"), || {
            scene.verify(Scheme::Dpop, &token, Some(&proofs.pop().unwrap()));
        });
    }
    let bearer = mint(&scene.broker, &scene.issuer, None, 1);
    c.bench_function("bearer token in use", |b| b.iter(|| scene.verify(Scheme::Bearer, &bearer, None)));
    let mut n = 1;
    let mut new = || {
        n += 1;
        mint(&scene.broker, &scene.issuer, None, n)
    };
    c.bench_function("bearer token for the first time", |b| {
        b.iter_batched(&mut new, |token| scene.verify(Scheme::Bearer, &token, None), BatchSize::SmallInput);
    });
}

criterion_group!(benches, all);
criterion_main!(benches);
