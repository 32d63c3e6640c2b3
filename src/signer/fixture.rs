//! Records and keys for this room's tests.

use std::sync::Arc;

use super::ca::{self, Ca, Parent, Role};
use super::certificate::CertificateProfile;
use super::extension::OidArc;
use super::key::LocalSigner;
use crate::domain::catalogue::Tier;
use crate::domain::credential::{Issuance, Kind};
use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, Lineage, Serial};
use crate::domain::name::{Issuer, TrustDomain};
use crate::domain::parameter::{Parameter, Value};
use crate::domain::request::Confirmation;
use crate::domain::signer::{Algorithm, Signer};
use crate::domain::status_list::StatusRef;
use crate::domain::time::Timestamp;

/// 2026-11-23T12:00:00.250Z.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_250);

pub(super) fn trust_domain() -> TrustDomain {
    "example.org".parse().unwrap()
}

pub(super) fn issuer() -> Issuer {
    "https://broker.example.org".parse().unwrap()
}

pub(super) fn signer(algorithm: Algorithm) -> Arc<dyn Signer> {
    Arc::new(LocalSigner::from_pkcs8(algorithm, &LocalSigner::generate(algorithm).unwrap()).unwrap())
}

fn parameter(name: &str, value: Value) -> Parameter {
    Parameter { name: name.parse().unwrap(), value }
}

/// A record with everything in it, without a holder's key.
pub(super) fn record(kind: Kind) -> Issuance {
    Issuance {
        action: "pay.invoice.settle".parse().unwrap(),
        agent: "spiffe://example.org/tenant/acme/agent/buyer".parse().unwrap(),
        approval: None,
        args: Some(Digest::of(b"arguments")),
        attested: Vec::new(),
        audience: "https://pay.example".parse().unwrap(),
        cnf: Confirmation::default(),
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
        parameters: vec![
            parameter("amount", Value::Integer(250.try_into().unwrap())),
            parameter("currency", Value::Text("EUR".parse().unwrap())),
            parameter("urgent", Value::Flag(false)),
        ],
        policies: vec!["pay/settle".parse().unwrap()],
        principal: "spiffe://example.org/tenant/acme/agent/buyer".into(),
        purpose: None,
        registry: Digest::of(b"registry"),
        resource: "invoice/2026-0042".parse().unwrap(),
        serial: (kind == Kind::Certificate).then(|| Serial::new([3; 16])),
        single_use: true,
        status: (kind == Kind::Token).then_some(StatusRef { index: 7, list: 1 }),
        tier: Tier::Auto,
    }
}

/// An action CA and its root's certificate.
pub(super) fn action_ca() -> (Ca, Vec<u8>) {
    let (root, key) = (signer(Algorithm::Es256), signer(Algorithm::Es256));
    let parent = Parent { role: Role::Root, signer: &*root };
    let serial = Serial::new([9; 16]);
    let root_der = ca::issue(Role::Root, &trust_domain(), &*root, &parent, serial, NOW).unwrap();
    let der = ca::issue(Role::Action, &trust_domain(), &*key, &parent, serial, NOW).unwrap();
    (Ca::new(Role::Action, &trust_domain(), der, key).unwrap(), root_der)
}

pub(super) fn profile() -> CertificateProfile {
    CertificateProfile {
        oid_arc: OidArc::EXAMPLE.parse().unwrap(),
        common_name: Default::default(),
        crl_url: None,
    }
}
