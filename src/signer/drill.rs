//! Drill credentials: the whole form of a real one, signed with a key that nobody trusts.
//!
//! The key is made for one credential and is gone when it was signed. No JWKS, trust bundle or CA ever had its public
//! half, so a verifier refuses the credential by its signature, whatever it thinks of clocks, audiences and tiers.

use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::ca::{self, Ca, Parent, Role};
use super::certificate::{self, Certificate, CertificateProfile};
use super::csr::SubjectKey;
use super::key::{BadKey, LocalSigner};
use super::minter::{MintFailed, Minted};
use super::secret::Secret;
use super::token;
use crate::domain::credential::Issuance;
use crate::domain::id::Serial;
use crate::domain::name::{Issuer, TrustDomain};
use crate::domain::signer::{Algorithm, Signer};

/// The token of a drill's record.
pub(super) fn token(
    record: &Issuance,
    issuer: &Issuer,
    algorithm: Algorithm,
) -> Result<Minted<Secret>, MintFailed> {
    let signer = signer(algorithm)?;
    let linted = token::unsigned(record, issuer, &*signer)?.lint()?;
    Ok(Minted { content: linted.content(), key: signer.kid().into(), material: linted.sign(&*signer)? })
}

/// The certificate of a drill's record over `key`.
pub(super) fn certificate(
    record: &Issuance,
    key: &SubjectKey,
    trust_domain: &TrustDomain,
    profile: &CertificateProfile,
) -> Result<Minted<Certificate>, MintFailed> {
    let (root, signer) = (signer(ca::ALGORITHM)?, signer(ca::ALGORITHM)?);
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).map_err(|_| MintFailed::Drill(BadKey::NoRandomness))?;
    let parent = Parent { role: Role::Root, signer: &*root };
    let serial = Serial::new(random);
    let der = ca::issue(Role::Action, trust_domain, &*signer, &parent, serial, record.issued)?;
    let ca = Ca::new(Role::Action, trust_domain, der, signer)?;
    let linted = certificate::unsigned(record, key, &ca, profile)?.lint()?;
    let kid = ca.signer().kid().into();
    Ok(Minted { content: linted.content(), key: kid, material: linted.sign(ca.signer())? })
}

fn signer(algorithm: Algorithm) -> Result<Arc<dyn Signer>, MintFailed> {
    let made = LocalSigner::generate(algorithm).and_then(|pkcs8| LocalSigner::from_pkcs8(algorithm, &pkcs8));
    made.map(|signer| Arc::new(signer) as Arc<dyn Signer>).map_err(MintFailed::Drill)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::Kind;
    use crate::signer::fixture::{NOW, issuer, profile, record, signer as real, trust_domain};
    use crate::signer::key::VerifyingKey;
    use crate::signer::verify::{self, Moment, NotVerified};

    #[test]
    fn no_verifier_takes_a_drill_s_token_even_under_the_same_algorithm() {
        for algorithm in [Algorithm::Ed25519, Algorithm::Es256] {
            let drill = Issuance { drill: true, ..record(Kind::Token) };
            let minted = token(&drill, &issuer(), algorithm).unwrap();
            let keys = [VerifyingKey::of(&*real(algorithm))];
            let moment = Moment { now: NOW, leeway_seconds: 30 };
            let refused = verify::token(minted.material.expose(), &keys, &issuer(), moment);
            assert_eq!(refused.unwrap_err(), NotVerified::Key);
            let again = token(&drill, &issuer(), algorithm).unwrap();
            assert_ne!(minted.key, again.key, "each has its own key");
        }
    }

    #[test]
    fn no_verifier_takes_a_drill_s_certificate() {
        let drill = Issuance { drill: true, ..record(Kind::Certificate) };
        let (key, _) = crate::signer::csr::generate().unwrap();
        let minted = certificate(&drill, &key, &trust_domain(), &profile()).unwrap();
        let (ca, _) = crate::signer::fixture::action_ca();
        let moment = Moment { now: NOW, leeway_seconds: 30 };
        let der = minted.material.der();
        assert!(verify::certificate(der, ca.certificate_der(), &profile().oid_arc, moment).is_err());
    }
}
