//! Private keys in memory, over ring, and public keys that verify.
//!
//! A private key has no accessor. ring keeps its own copy of the scalar for the life of the process; every
//! buffer that we hold is wiped.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, UnparsedPublicKey, VerificationAlgorithm,
};
use zeroize::Zeroizing;

use super::jwk;
use crate::domain::signer::{Algorithm, Signer, SigningFailed};

/// Bytes of a signature, for both algorithms.
pub(super) const SIGNATURE_BYTES: usize = 64;

/// A private key that signs.
pub struct LocalSigner {
    pair: Pair,
    kid: String,
    public: Vec<u8>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair, SystemRandom),
}

/// The key can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadKey {
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    NoRandomness,
    /// The bytes are no private key of that algorithm.
    #[error("not a PKCS#8 private key for `{}`", .0.jose())]
    NotAKey(Algorithm),
}

impl LocalSigner {
    /// A new private key, PKCS#8.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, BadKey> {
        let random = SystemRandom::new();
        let document = match algorithm {
            Algorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        };
        Ok(Zeroizing::new(document.map_err(|_| BadKey::NoRandomness)?.as_ref().to_vec()))
    }

    /// From PKCS#8. ring checks that private and public half belong together.
    ///
    /// # Errors
    /// When the bytes are not such a key.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, BadKey> {
        let random = SystemRandom::new();
        let refused = |_| BadKey::NotAKey(algorithm);
        let pair = match algorithm {
            Algorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(refused)?),
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random);
                Pair::Es256(pair.map_err(refused)?, random)
            }
        };
        let public = match &pair {
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Es256(pair, _) => pair.public_key().as_ref().to_vec(),
        };
        let kid = jwk::thumbprint(algorithm, &public);
        Ok(Self { pair, kid, public })
    }
}

impl Signer for LocalSigner {
    fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ed25519(_) => Algorithm::Ed25519,
            Pair::Es256(..) => Algorithm::Es256,
        }
    }

    fn kid(&self) -> &str {
        &self.kid
    }

    fn public_key(&self) -> &[u8] {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Es256(pair, random) => {
                let failed = |_| SigningFailed { kid: self.kid.clone() };
                Ok(pair.sign(random, message).map_err(failed)?.as_ref().to_vec())
            }
        }
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSigner").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A public key that a verifier trusts, for one algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    kid: String,
    public: Vec<u8>,
}

/// The signature is not of this key and message.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature does not verify")]
pub struct BadSignature;

impl VerifyingKey {
    /// The public half of a signer.
    pub fn of(signer: &dyn Signer) -> Self {
        Self::new(signer.algorithm(), signer.public_key().to_vec())
    }

    /// A raw public key: 32 bytes for Ed25519, the 65-byte uncompressed point for P-256. Its id is its thumbprint.
    pub fn new(algorithm: Algorithm, public: Vec<u8>) -> Self {
        Self { algorithm, kid: jwk::thumbprint(algorithm, &public), public }
    }

    /// The one algorithm that it is for.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The raw key.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// Checks a 64-byte signature (`r || s` for ES256).
    ///
    /// # Errors
    /// When it does not verify.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let algorithm: &'static dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::Ed25519 => &ED25519,
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        };
        UnparsedPublicKey::new(algorithm, &self.public).verify(message, signature).map_err(|_| BadSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_with_its_own_key_and_message_only() {
        for algorithm in [Algorithm::Ed25519, Algorithm::Es256] {
            let signer =
                LocalSigner::from_pkcs8(algorithm, &LocalSigner::generate(algorithm).unwrap()).unwrap();
            let other =
                LocalSigner::from_pkcs8(algorithm, &LocalSigner::generate(algorithm).unwrap()).unwrap();
            let signature = signer.sign(b"message").unwrap();
            assert_eq!(signature.len(), SIGNATURE_BYTES);
            let key = VerifyingKey::of(&signer);
            assert_eq!(key.kid(), signer.kid());
            assert_eq!(key.verify(b"message", &signature), Ok(()));
            assert_eq!(key.verify(b"massage", &signature), Err(BadSignature));
            assert_eq!(VerifyingKey::of(&other).verify(b"message", &signature), Err(BadSignature));
        }
    }

    #[test]
    fn a_key_of_one_algorithm_is_no_key_of_the_other() {
        let key = LocalSigner::generate(Algorithm::Es256).unwrap();
        assert!(LocalSigner::from_pkcs8(Algorithm::Ed25519, &key).is_err());
        let shown = format!("{:?}", LocalSigner::from_pkcs8(Algorithm::Es256, &key).unwrap());
        assert!(shown.starts_with("LocalSigner { kid: ") && shown.ends_with(", .. }"), "{shown}");
    }
}
