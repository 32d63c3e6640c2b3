//! Verifies a certificate that the action CA issued, and reads what it is for.

use super::{Moment, NotVerified};
use crate::domain::digest::Digest;
use crate::domain::id::Serial;
use crate::domain::limits::CSR_BYTES_MAX;
use crate::domain::name::AgentId;
use crate::domain::time::Timestamp;
use crate::signer::ca;
use crate::signer::extension::{ActionBinding, OidArc};
use crate::signer::x509::{Signed, Tbs, oid};

/// Longest certificate that is read, in bytes: ours take some 900.
const CERTIFICATE_BYTES_MAX: usize = 2 * CSR_BYTES_MAX;

/// What a verified certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateClaims {
    /// What it is for; `binding.id` is the credential's id.
    pub binding: ActionBinding,
    /// Who holds it.
    pub agent: AgentId,
    /// The authority's key that signed it, by its id.
    pub kid: String,
    /// Its serial number.
    pub serial: Serial,
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// SHA-256 of what was signed, as the record has it.
    pub content: Digest,
}

/// Verifies a certificate (DER) that the action CA (DER) issued, and reads what it is for.
///
/// # Errors
/// The first reason to refuse it.
pub fn certificate(
    der: &[u8],
    action_ca: &[u8],
    oid_arc: &OidArc,
    moment: Moment,
) -> Result<CertificateClaims, NotVerified> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(NotVerified::TooLong);
    }
    let form = |_| NotVerified::Form;
    let signed = Signed::read(der).map_err(form)?;
    let leaf = Tbs::read(signed.message).map_err(form)?;
    let authority =
        Signed::read(action_ca).and_then(|authority| Tbs::read(authority.message)).map_err(form)?;
    if leaf.issuer != authority.subject {
        return Err(NotVerified::Issuer);
    }
    if leaf.algorithm != signed.algorithm {
        return Err(NotVerified::Algorithm);
    }
    if !ca::is_signed_by(&signed, &authority) {
        return Err(NotVerified::Signature);
    }
    let content = Digest::of(signed.message);
    let claims = certificate_claims(&leaf, &authority, oid_arc, content).ok_or(NotVerified::Form)?;
    moment.within(claims.not_before.seconds(), claims.expires.seconds())?;
    Ok(claims)
}

/// `None` when the name and the binding disagree, or it is an authority.
fn certificate_claims(
    leaf: &Tbs<'_>,
    authority: &Tbs<'_>,
    oid_arc: &OidArc,
    content: Digest,
) -> Option<CertificateClaims> {
    let constraints = leaf.extension(oid::BASIC_CONSTRAINTS)?;
    let usage = leaf.extension(oid::KEY_USAGE)?;
    let binding = leaf.extension(oid_arc.binding())?;
    let known = leaf.extensions.iter().filter(|extension| extension.critical).count() == 2;
    if constraints.value != [0x30, 0x00] || usage.value != [0x03, 0x02, 0x07, 0x80] || !known {
        return None;
    }
    let binding = ActionBinding::from_der(binding.value).ok()?;
    let domain = authority.only_uri().ok()?;
    let mut name = leaf.only_uri().ok()?.strip_prefix(domain)?.strip_prefix("/action/")?.split('/');
    let (tenant, agent, id) = (name.next()?, name.next()?, name.next()?);
    if name.next().is_some() || id.parse() != Ok(binding.id) {
        return None;
    }
    let trust_domain = domain.strip_prefix("spiffe://")?.parse().ok()?;
    Some(CertificateClaims {
        content,
        binding,
        agent: AgentId::new(&trust_domain, tenant.parse().ok()?, agent.parse().ok()?),
        kid: ca::kid(authority).ok()?,
        serial: hex::encode(leaf.serial).parse().ok()?,
        not_before: Timestamp::from_seconds(leaf.not_before.max(authority.not_before)),
        expires: Timestamp::from_seconds(leaf.not_after.min(authority.not_after)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::credential::Kind;
    use crate::signer::ca::Ca;
    use crate::signer::certificate::Certificate;
    use crate::signer::csr;
    use crate::signer::fixture::{NOW, action_ca, profile, record};

    fn at(seconds: i64) -> Moment {
        Moment { now: Timestamp::from_seconds(NOW.seconds() + seconds), leeway_seconds: 0 }
    }

    fn minted_certificate() -> (Certificate, Ca) {
        let (ca, _) = action_ca();
        let (subject, _) = csr::generate().unwrap();
        let record = record(Kind::Certificate);
        let unsigned = crate::signer::certificate::unsigned(&record, &subject, &ca, &profile()).unwrap();
        (unsigned.lint().unwrap().sign(ca.signer()).unwrap(), ca)
    }

    #[test]
    fn a_certificate_verifies_under_its_authority_and_says_what_it_is_for() {
        let (minted, ca) = minted_certificate();
        let arc = profile().oid_arc;
        let check = |moment| certificate(minted.der(), ca.certificate_der(), &arc, moment);
        let claims = check(at(0)).unwrap();
        let record = record(Kind::Certificate);
        assert_eq!((claims.binding.id, Some(claims.serial)), (record.id, record.serial));
        assert_eq!(
            (claims.binding.action, claims.binding.resource),
            (record.action.clone(), record.resource.clone())
        );
        assert_eq!(claims.agent, record.agent);
        assert_eq!((claims.kid.as_str(), claims.binding.lineage), (ca.signer().kid(), record.lineage));
        assert_eq!(claims.binding.principal, Digest::of(record.principal.as_bytes()));
        assert!(check(at(119)).is_ok());
        assert_eq!(check(at(120)).err(), Some(NotVerified::Expired));
        assert_eq!(check(at(-31)).err(), Some(NotVerified::NotYet));
        let (other, _) = action_ca();
        let other = certificate(minted.der(), other.certificate_der(), &arc, at(0));
        assert_eq!(other.err(), Some(NotVerified::Signature));
        let itself = certificate(ca.certificate_der(), ca.certificate_der(), &arc, at(0));
        assert!(itself.is_err());
    }

    #[test]
    fn every_changed_byte_of_a_certificate_is_noticed() {
        let (minted, ca) = minted_certificate();
        let arc = profile().oid_arc;
        for at_byte in 0..minted.der().len() {
            let mut der = minted.der().to_vec();
            der[at_byte] ^= 0x01;
            assert!(certificate(&der, ca.certificate_der(), &arc, at(0)).is_err(), "byte {at_byte}");
        }
    }

    proptest! {
        /// No input, however malformed, panics or verifies.
        #[test]
        fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(certificate(&bytes, &bytes, &profile().oid_arc, at(0)).is_err());
        }
    }
}
