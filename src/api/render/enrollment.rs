//! Certificates of operators and verifiers.

use std::sync::Arc;

use crate::api::convert::enroll::Kind;
use crate::broker::enroll::Admitted;
use crate::domain::enrollment::{Enrolled, Enrollment};
use crate::domain::name::TrustDomain;
use crate::proto::v1;
use crate::signer::keystore::Keys;

use super::timestamp;

/// A record.
pub fn enrollment(one: &Enrollment, trust_domain: &TrustDomain) -> v1::Enrollment {
    let enrolled_as = match one.who {
        Enrolled::Agent(_) => v1::EnrolledAs::Agent,
        Enrolled::Operator(_) => v1::EnrolledAs::Operator,
        Enrolled::Verifier(_) => v1::EnrolledAs::Verifier,
    };
    v1::Enrollment {
        enrolled_as: enrolled_as.into(),
        name: one.who.name().to_owned(),
        spiffe_id: one.who.spiffe_id(trust_domain),
        serial: one.serial.to_string(),
        issue_time: Some(timestamp(one.issued)),
        expire_time: Some(timestamp(one.expires)),
        enrolled_by: one.operator.as_ref().map(ToString::to_string).unwrap_or_default(),
        public_key_sha256: one.spki.to_string(),
    }
}

/// What an enrolment gives.
pub fn admitted(done: &Admitted, keys: &Keys) -> v1::EnrollResponse {
    let identity = keys.identity_ca();
    v1::EnrollResponse {
        enrollment: Some(enrollment(&done.enrollment, identity.trust_domain())),
        certificate_pem: format!("{}{}", done.certificate.pem(), identity.certificate_pem()),
        ca_pem: keys.root_pem().to_owned(),
        log_index: done.index,
    }
}

/// Records with the keys that pages are cut by, sorted.
pub fn list(
    all: &[Arc<Enrollment>],
    wanted: Option<Kind>,
    trust_domain: &TrustDomain,
) -> Vec<(String, v1::Enrollment)> {
    let shown = all.iter().filter(|one| wanted.is_none_or(|kind| kind.is_of(&one.who)));
    let mut keyed: Vec<_> =
        shown.map(|one| (format!("{}/{}", one.who, one.serial), enrollment(one, trust_domain))).collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    keyed
}
