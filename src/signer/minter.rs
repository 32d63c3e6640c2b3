//! The minter: keys and profile together, the one door through which use cases mint and verify.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::ca::BadCa;
use super::certificate::{self, Certificate, CertificateProfile};
use super::crl::{self, Crls, RevokedSerial};
use super::csr::SubjectKey;
use super::documents;
use super::drill;
use super::jwk;
use super::key::BadKey;
use super::keystore::Keys;
use super::mint::{LintError, MintError};
use super::secret::Secret;
use super::svid::{self, Svid};
use super::token;
use super::token_keys::TokenKey;
use super::verify::{self, Moment, NotVerified, Trust};
use crate::domain::credential::{Issuance, Kind};
use crate::domain::digest::Digest;
use crate::domain::id::CredentialId;
use crate::domain::name::{Audience, Issuer};
use crate::domain::note::VerifierKey;
use crate::domain::signer::{Signer, SigningFailed};
use crate::domain::status_list::{ListId, Status};
use crate::domain::time::Timestamp;

/// Keys and profile.
pub struct Minter {
    keys: Keys,
    issuer: Issuer,
    profile: CertificateProfile,
    trust: ArcSwap<Trust>,
}

/// What was minted of a record.
#[derive(Debug)]
pub struct Minted<M> {
    /// SHA-256 of what was signed.
    pub content: Digest,
    /// The id of the key that signed it.
    pub key: Arc<str>,
    /// What the holder gets.
    pub material: M,
}

/// Why nothing was minted. Always a fault of ours, never of the request.
#[derive(Debug, thiserror::Error)]
pub enum MintFailed {
    /// The authority of a drill could not be made.
    #[error(transparent)]
    Authority(#[from] BadCa),
    /// The key of a drill could not be made.
    #[error(transparent)]
    Drill(BadKey),
    /// What was about to be signed is not what was decided.
    #[error("the credential {0}")]
    Lint(#[from] LintError),
    /// It could not be encoded.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The key could not sign.
    #[error(transparent)]
    Sign(#[from] SigningFailed),
}

impl Minter {
    /// A minter with these keys.
    pub fn new(keys: Keys, issuer: Issuer, profile: CertificateProfile) -> Self {
        // Nobody is trusted until somebody asks, and says when.
        let trust = ArcSwap::from_pointee(Trust::new(issuer.clone(), Vec::new(), None));
        Self { keys, issuer, profile, trust }
    }

    /// The token of this record.
    ///
    /// # Errors
    /// [`MintFailed`].
    pub fn token(&self, record: &Issuance) -> Result<Minted<Secret>, MintFailed> {
        let keys = self.keys.token_ring().keys();
        // The record says when, so it says with which key.
        let signer = &**keys.signing(record.issued).signer();
        if record.drill {
            return drill::token(record, &self.issuer, signer.algorithm());
        }
        let linted = token::unsigned(record, &self.issuer, signer)?.lint()?;
        Ok(Minted { content: linted.content(), key: signer.kid().into(), material: linted.sign(signer)? })
    }

    /// The id of the key that signs what is minted at `time`.
    pub fn signing_key(&self, kind: Kind, time: Timestamp) -> String {
        match kind {
            Kind::Certificate => self.keys.action_ca().signer().kid().to_owned(),
            Kind::Token => self.keys.token_ring().keys().signing(time).kid().to_owned(),
        }
    }

    /// The token of a record that was minted before, when a key is still there that makes what was signed.
    ///
    /// # Errors
    /// [`MintFailed`].
    pub fn token_again(&self, record: &Issuance) -> Result<Option<Secret>, MintFailed> {
        for key in self.keys.token_ring().keys().all() {
            let signer = &**key.signer();
            let linted = token::unsigned(record, &self.issuer, signer)?.lint()?;
            if linted.content() == record.content {
                return Ok(Some(linted.sign(signer)?));
            }
        }
        Ok(None)
    }

    /// The signed status list `list`, in which all places are valid but these.
    ///
    /// # Errors
    /// When the key fails.
    pub fn status_list(
        &self,
        list: ListId,
        statuses: impl IntoIterator<Item = (u32, Status)>,
        now: Timestamp,
    ) -> Result<String, SigningFailed> {
        let keys = self.keys.token_ring().keys();
        documents::status_list(&self.issuer, list, statuses, now, &**keys.signing(now).signer())
    }

    /// An answer to introspection as a signed document for `audience` (RFC 9701).
    ///
    /// # Errors
    /// When the key fails.
    pub fn introspection(
        &self,
        answer: &serde_json::Value,
        audience: &Audience,
        now: Timestamp,
    ) -> Result<String, SigningFailed> {
        let keys = self.keys.token_ring().keys();
        documents::introspection(&self.issuer, answer, audience, now, &**keys.signing(now).signer())
    }

    /// The CRLs of the chain, with these certificates of the action CA and of the identity CA on theirs.
    ///
    /// # Errors
    /// [`MintFailed`].
    pub fn crls(
        &self,
        actions: &[RevokedSerial],
        identities: &[RevokedSerial],
        number: u128,
        now: Timestamp,
    ) -> Result<Crls, MintFailed> {
        let action = crl::sign(self.keys.action_ca(), actions, number, now)?;
        let identity = crl::sign(self.keys.identity_ca(), identities, number, now)?;
        Ok(Crls::new(action, identity, self.keys.root_crl().map(<[u8]>::to_vec)))
    }

    /// The certificate of this record over `key`.
    ///
    /// # Errors
    /// [`MintFailed`].
    pub fn certificate(
        &self,
        record: &Issuance,
        key: &SubjectKey,
    ) -> Result<Minted<Certificate>, MintFailed> {
        let ca = self.keys.action_ca();
        if record.drill {
            return drill::certificate(record, key, ca.trust_domain(), &self.profile);
        }
        let linted = certificate::unsigned(record, key, ca, &self.profile)?.lint()?;
        let key = ca.signer().kid().into();
        Ok(Minted { content: linted.content(), key, material: linted.sign(ca.signer())? })
    }

    /// The certificate of an identity over `key`, by the identity CA, and the digest of what was signed.
    ///
    /// # Errors
    /// [`MintFailed`].
    pub fn identity(&self, svid: &Svid, key: &SubjectKey) -> Result<(Digest, Certificate), MintFailed> {
        svid::mint(svid, key, self.keys.identity_ca())
    }

    /// The id of a token of ours that is in its lifetime, and the digest of what was signed. Whether it is the
    /// one that was recorded, and was not ended, is not known here.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn verify_token(&self, text: &str, now: Timestamp) -> Result<(CredentialId, Digest), NotVerified> {
        let keys = self.keys.token_ring().keys().verifying(now);
        verify::token(text, &keys, &self.issuer, exactly(now)).map(|claims| (claims.id, claims.content))
    }

    /// The same for a certificate (DER).
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn verify_certificate(
        &self,
        der: &[u8],
        now: Timestamp,
    ) -> Result<(CredentialId, Digest), NotVerified> {
        let ca = self.keys.action_ca().certificate_der();
        let claims = verify::certificate(der, ca, &self.profile.oid_arc, exactly(now))?;
        Ok((claims.binding.id, claims.content))
    }

    /// Whom those trust at `now` who verify what this mints. The same value until the keys change.
    pub fn trust(&self, now: Timestamp) -> Arc<Trust> {
        let keys = self.keys.token_ring().keys();
        let held = self.trust.load_full();
        if keys.trusted(now).map(TokenKey::kid).eq(held.kids()) {
            return held;
        }
        let authority = (self.keys.action_ca().certificate_der().to_vec(), self.profile.oid_arc.clone());
        let fresh = Arc::new(Trust::new(self.issuer.clone(), keys.verifying(now), Some(authority)));
        self.trust.store(Arc::clone(&fresh));
        fresh
    }

    /// The keys, for their public parts.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The issuer of tokens.
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The public keys of tokens at `now` as a JSON Web Key Set (RFC 7517): those that may sign or have signed
    /// what is live, and those that will sign.
    pub fn jwks(&self, now: Timestamp) -> String {
        let keys = self.keys.token_ring().keys();
        let signers: Vec<&dyn Signer> = keys.trusted(now).map(|key| &**key.signer()).collect();
        jwk::jwks(&signers)
    }

    /// The chain above an action certificate in PEM: issuer first, root last.
    pub fn action_chain_pem(&self) -> String {
        format!("{}{}", self.keys.action_ca().certificate_pem(), self.keys.root_pem())
    }

    /// The chain above an identity in PEM: issuer first, root last.
    pub fn identity_chain_pem(&self) -> String {
        format!("{}{}", self.keys.identity_ca().certificate_pem(), self.keys.root_pem())
    }

    /// What the log's checkpoints are signed with.
    pub fn log_signer(&self) -> Arc<dyn Signer> {
        Arc::clone(self.keys.log())
    }

    /// What they are verified with.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.keys.verifier_key()
    }
}

/// Our own clock minted it, so nothing is forgiven.
const fn exactly(now: Timestamp) -> Moment {
    Moment { now, leeway_seconds: 0 }
}
