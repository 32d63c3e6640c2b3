//! Keys, credentials and proofs for this room's tests.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Authority, Standing, Status};
use crate::domain::catalogue::Tier;
use crate::domain::credential::{Issuance, Kind};
use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, Lineage};
use crate::domain::name::Issuer;
use crate::domain::parameter::{Parameter, Value};
use crate::domain::request::Confirmation;
use crate::domain::signer::{Algorithm, Signer};
use crate::domain::status_list::StatusRef;
use crate::domain::time::Timestamp;
use crate::signer::key::{LocalSigner, VerifyingKey};
use crate::signer::token;
use crate::signer::verify::{Moment, Trust};

/// 2026-11-23T12:00:00.250Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_250);

pub(crate) fn signer(algorithm: Algorithm) -> Arc<LocalSigner> {
    Arc::new(LocalSigner::from_pkcs8(algorithm, &LocalSigner::generate(algorithm).unwrap()).unwrap())
}

pub(crate) fn issuer() -> Issuer {
    "https://broker.example.org".parse().unwrap()
}

/// The agent's key as a confirmation.
pub(crate) fn bound_to(key: &dyn Signer) -> Confirmation {
    Confirmation { jkt: Some(key.kid().parse().unwrap()), x5t_s256: None }
}

/// A plain record: no parameters, no arguments, any number of calls.
pub(crate) fn record(cnf: Confirmation) -> Issuance {
    let agent = "spiffe://example.org/tenant/acme/agent/coder";
    Issuance {
        action: "repo.pull.open".parse().unwrap(),
        agent: agent.parse().unwrap(),
        approval: None,
        args: None,
        attested: Vec::new(),
        audience: "https://git.example".parse().unwrap(),
        cnf,
        content: Digest::of(b""),
        drill: false,
        evidence: Digest::of(b"evidence"),
        expires: Timestamp::from_seconds(NOW.seconds() + 120),
        id: CredentialId::new(NOW, &[1; 10]),
        idempotency: None,
        issued: NOW,
        key: None,
        kind: Kind::Token,
        lineage: Lineage::new(NOW, &[2; 10]),
        owner: None,
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
    }
}

pub(crate) fn amount(value: i64) -> Parameter {
    Parameter { name: "amount".parse().unwrap(), value: Value::Integer(value.try_into().unwrap()) }
}

pub(crate) fn mint(record: &Issuance, key: &dyn Signer) -> String {
    let linted = token::unsigned(record, &issuer(), key).unwrap().lint().unwrap();
    linted.sign(key).unwrap().expose().to_owned()
}

/// A verified authority.
pub(crate) fn authority() -> Authority {
    let key = signer(Algorithm::Ed25519);
    let trust = Trust::new(issuer(), vec![VerifyingKey::of(&*key)], None);
    let moment = Moment { now: NOW, leeway_seconds: 0 };
    trust.token(&mint(&record(Confirmation::default()), &*key), moment).unwrap().into()
}

/// A DPoP proof by `key`.
pub(crate) fn proof(key: &dyn Signer, token: &str, iat: i64, jti: &str, more: &str) -> String {
    let ath = URL_SAFE_NO_PAD.encode(Digest::of(token.as_bytes()).as_bytes());
    let payload = format!(
        r#"{{"ath":"{ath}","htm":"POST","htu":"https://git.example/repos/acme/site/pulls","iat":{iat},"jti":"{jti}"{more}}}"#
    );
    sign_proof(key, &payload)
}

pub(crate) fn sign_proof(key: &dyn Signer, payload: &str) -> String {
    let x = URL_SAFE_NO_PAD.encode(key.public_key());
    let header =
        format!(r#"{{"typ":"dpop+jwt","alg":"Ed25519","jwk":{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}}}"#);
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).unwrap());
    format!("{input}.{signature}")
}

/// Answers the same of every credential.
pub(crate) struct Fixed(pub(crate) Status);

impl Standing for Fixed {
    fn standing(&self, _: &Authority, _: Timestamp) -> Status {
        self.0
    }
}
