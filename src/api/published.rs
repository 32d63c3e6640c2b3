//! What anybody may know: public keys, certificates and the names they go by.

use crate::domain::name::{Issuer, TrustDomain};
use crate::domain::signer::Signer;
use crate::domain::time::Timestamp;
use crate::signer::ca::Ca;
use crate::signer::minter::Minter;

/// The public facts of this broker. Texts are made once, where the keys are.
#[derive(Clone, Debug)]
pub struct Published {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// The issuer of tokens.
    pub issuer: Issuer,
    /// The chain that issues action certificates in PEM, issuing CA first, root last.
    pub action_ca_pem: String,
    /// The SPIFFE bundle (SPIFFE Trust Domain and Bundle section 4), when the identity CA issues.
    pub spiffe_bundle: Option<String>,
    /// The log's verifier key, C2SP signed-note form.
    pub log_verifier_key: String,
    /// The signing keys at the start, sorted by use. Token keys change; the minter has those in force.
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

impl Published {
    /// The public facts of what this minter mints with.
    pub fn of(minter: &Minter, trust_domain: &TrustDomain, started: Timestamp) -> Self {
        Self {
            trust_domain: trust_domain.clone(),
            issuer: minter.issuer().clone(),
            action_ca_pem: minter.action_chain_pem(),
            // It issues no identities of workloads yet.
            spiffe_bundle: None,
            log_verifier_key: minter.verifier_key().to_text(),
            keys: keys(minter),
            started,
        }
    }
}

fn keys(minter: &Minter) -> Vec<PublishedKey> {
    let keys = minter.keys();
    let key = |usage, signer: &dyn Signer, expires| PublishedKey {
        kid: signer.kid().to_owned(),
        usage,
        algorithm: signer.algorithm().jose(),
        expires,
    };
    let authority = |usage, ca: &Ca| key(usage, ca.signer(), Some(ca.not_after()));
    vec![
        authority("action-ca", keys.action_ca()),
        authority("identity-ca", keys.identity_ca()),
        key("log", &**keys.log(), None),
        key("token", &*keys.token(), None),
    ]
}
