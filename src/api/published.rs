//! What anybody may know: public keys, certificates and the names they go by.

use crate::domain::name::{Issuer, TrustDomain};
use crate::domain::time::Timestamp;

/// The public facts of this broker. Texts are made once, where the keys are.
#[derive(Clone, Debug)]
pub struct Published {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// The issuer of tokens.
    pub issuer: Issuer,
    /// JSON Web Key Set of the token keys (RFC 7517).
    pub jwks: String,
    /// The chain that issues action certificates in PEM, issuing CA first, root last.
    pub action_ca_pem: String,
    /// The SPIFFE bundle (SPIFFE Trust Domain and Bundle section 4), when the identity CA issues.
    pub spiffe_bundle: Option<String>,
    /// The log's verifier key, C2SP signed-note form.
    pub log_verifier_key: String,
    /// The signing keys, sorted by use.
    pub keys: Vec<PublishedKey>,
    /// When the daemon started.
    pub started: Timestamp,
}

/// A signing key's public facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKey {
    /// Its id.
    pub kid: String,
    /// `token`, `action-ca`, `identity-ca`, `root-ca` or `log`.
    pub usage: &'static str,
    /// `ES256` or `Ed25519`.
    pub algorithm: &'static str,
    /// When its certificate ends; `None` for bare keys.
    pub expires: Option<Timestamp>,
}
