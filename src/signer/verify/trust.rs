//! Whom a verifier trusts, as one value that is replaced as a whole.

use super::{CertificateClaims, Claims, Moment, NotVerified, certificate, token};
use crate::domain::digest::Digest;
use crate::domain::name::Issuer;
use crate::signer::extension::OidArc;
use crate::signer::key::VerifyingKey;

/// Whom a verifier trusts: from configuration or from the broker, never from a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    issuer: Issuer,
    keys: Vec<VerifyingKey>,
    action_ca: Option<(Vec<u8>, OidArc)>,
    digest: Digest,
}

impl Trust {
    /// Tokens of `issuer` under `keys`; certificates under the action CA (DER) whose bindings stand below the
    /// arc, or none.
    pub fn new(issuer: Issuer, keys: Vec<VerifyingKey>, action_ca: Option<(Vec<u8>, OidArc)>) -> Self {
        let mut text = issuer.to_string();
        for key in &keys {
            text.push('\0');
            text.push_str(key.kid());
        }
        let ca = action_ca.as_ref().map_or(&[][..], |(ca, _)| ca);
        let digest = Digest::of_parts(&[Digest::of(text.as_bytes()).as_bytes(), ca]);
        Self { issuer, keys, action_ca, digest }
    }

    /// The names of the keys.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(VerifyingKey::kid)
    }

    /// Identifies issuer, keys and authority.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Verifies a token: [`token`].
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn token(&self, text: &str, moment: Moment) -> Result<Claims, NotVerified> {
        token(text, &self.keys, &self.issuer, moment)
    }

    /// Verifies a certificate (DER): [`certificate`].
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn certificate(&self, der: &[u8], moment: Moment) -> Result<CertificateClaims, NotVerified> {
        let (ca, arc) = self.action_ca.as_ref().ok_or(NotVerified::Issuer)?;
        certificate(der, ca, arc, moment)
    }
}
