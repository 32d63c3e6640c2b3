//! The door to signing keys.

use serde::{Deserialize, Serialize};

/// A signature algorithm that we sign with. One key has one algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032), JOSE name `Ed25519` (RFC 9864).
    Ed25519,
    /// ECDSA with P-256 and SHA-256 (FIPS 186-5), JOSE name `ES256` (RFC 7518 section 3.4).
    Es256,
}

impl Algorithm {
    /// The JOSE `alg` name.
    pub const fn jose(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Es256 => "ES256",
        }
    }
}

/// Signs with one private key that it does not show.
///
/// An implementer promises: the signature is over exactly `message`, made with the key that `public_key`
/// and `kid` name; a failing signer answers an error and never a wrong signature.
pub trait Signer: Send + Sync {
    /// The key's algorithm.
    fn algorithm(&self) -> Algorithm;

    /// The key's id: the RFC 7638 thumbprint of its public key, base64url.
    fn kid(&self) -> &str;

    /// The raw public key: 32 bytes for Ed25519, the 65-byte uncompressed point for P-256.
    fn public_key(&self) -> &[u8];

    /// Signs `message`: 64 bytes for Ed25519; for ES256 the 64-byte `r || s` of RFC 7518 section 3.4.
    ///
    /// # Errors
    /// When the key can't be used. Then nothing may be released.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed>;
}

/// The key could not sign.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("key `{kid}` could not sign")]
pub struct SigningFailed {
    /// Which key.
    pub kid: String,
}
