//! Public keys as JSON Web Keys: thumbprints (RFC 7638) and sets (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::key::VerifyingKey;
use crate::domain::digest::Digest;
use crate::domain::limits::JWKS_KEYS_MAX;
use crate::domain::signer::{Algorithm, Signer};

/// The text is no set of keys that we know.
#[derive(Debug, thiserror::Error)]
pub enum BadJwks {
    /// It is no JWKS.
    #[error("not a JWKS")]
    Form(#[source] serde_json::Error),
    /// A key is not a public key for its algorithm.
    #[error("not a public key for its algorithm: `{0}`")]
    Key(String),
    /// It has no key, or too many.
    #[error("expected 1 to {JWKS_KEYS_MAX} keys, got `{0}`")]
    Number(usize),
}

/// The base64url SHA-256 of the key's canonical JWK: our `kid`, and the `jkt` of a DPoP key.
pub fn thumbprint(algorithm: Algorithm, public: &[u8]) -> String {
    digest_of(&format!("{{{}}}", members(algorithm, public)))
}

/// The thumbprint of an RSA key from modulus and exponent, big endian without leading zeros.
pub(super) fn thumbprint_rsa(modulus: &[u8], exponent: &[u8]) -> String {
    let (e, n) = (URL_SAFE_NO_PAD.encode(exponent), URL_SAFE_NO_PAD.encode(modulus));
    digest_of(&format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#))
}

/// The public keys of the signers as a JWKS. Each says what it is for, and that is signing only.
pub fn jwks(signers: &[&dyn Signer]) -> String {
    let one = |signer: &&dyn Signer| {
        let members = members(signer.algorithm(), signer.public_key());
        let (alg, kid) = (signer.algorithm().jose(), signer.kid());
        format!(r#"{{"alg":"{alg}",{members},"kid":"{kid}","use":"sig"}}"#)
    };
    let keys: Vec<String> = signers.iter().map(one).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// Reads a JWKS such as [`jwks`] writes. A key's id is recomputed, never believed.
///
/// # Errors
/// When it is no JWKS, or holds a key of another kind.
pub fn parse_jwks(text: &str) -> Result<Vec<VerifyingKey>, BadJwks> {
    let set: Set = serde_json::from_str(text).map_err(BadJwks::Form)?;
    if set.keys.is_empty() || set.keys.len() > JWKS_KEYS_MAX {
        return Err(BadJwks::Number(set.keys.len()));
    }
    set.keys.iter().map(|key| key.read().ok_or_else(|| BadJwks::Key(key.kid.clone()))).collect()
}

/// The members that a thumbprint covers, in its order.
fn members(algorithm: Algorithm, public: &[u8]) -> String {
    match algorithm {
        Algorithm::Ed25519 => {
            format!(r#""crv":"Ed25519","kty":"OKP","x":"{}""#, URL_SAFE_NO_PAD.encode(public))
        }
        Algorithm::Es256 => {
            let (x, y) = coordinates(public);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            format!(r#""crv":"P-256","kty":"EC","x":"{x}","y":"{y}""#)
        }
    }
}

/// The halves of an uncompressed point `04 || x || y`.
fn coordinates(point: &[u8]) -> (&[u8], &[u8]) {
    point.get(1..).and_then(|xy| xy.split_at_checked(32)).unwrap_or_default()
}

fn digest_of(canonical: &str) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(canonical.as_bytes()).as_bytes())
}

/// The public key of a DPoP proof's header (RFC 9449 section 4.2). It may carry what says less than the key;
/// a private half, or anything unknown, is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofJwk {
    #[serde(default)]
    alg: Option<String>,
    crv: String,
    #[serde(default, rename = "key_ops")]
    _operations: IgnoredAny,
    #[serde(default, rename = "kid")]
    _kid: IgnoredAny,
    kty: String,
    #[serde(default, rename = "use")]
    _use: IgnoredAny,
    x: String,
    #[serde(default)]
    y: Option<String>,
}

impl ProofJwk {
    /// The key, when it is one for `alg`.
    pub(super) fn read(self, alg: &str) -> Option<VerifyingKey> {
        if self.alg.is_some_and(|own| own != alg) {
            return None;
        }
        let Self { crv, kty, x, y, .. } = self;
        Jwk { alg: alg.to_owned(), crv, kid: String::new(), kty, x, y }.read()
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    alg: String,
    crv: String,
    #[serde(default)]
    kid: String,
    kty: String,
    x: String,
    y: Option<String>,
}

impl Jwk {
    fn read(&self) -> Option<VerifyingKey> {
        let octets = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|octets| octets.len() == 32);
        match (&*self.kty, &*self.crv, &*self.alg, &self.y) {
            ("OKP", "Ed25519", "Ed25519", None) => {
                Some(VerifyingKey::new(Algorithm::Ed25519, octets(&self.x)?))
            }
            ("EC", "P-256", "ES256", Some(y)) => {
                let point = [&[4_u8][..], &octets(&self.x)?, &octets(y)?].concat();
                Some(VerifyingKey::new(Algorithm::Es256, point))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::key::LocalSigner;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(thumbprint(Algorithm::Ed25519, &x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_thumbprint_of_an_rsa_key_is_that_of_rfc_7638() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
                 FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb\
                 9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls\
                 1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let n = URL_SAFE_NO_PAD.decode(n).unwrap();
        assert_eq!(thumbprint_rsa(&n, &[1, 0, 1]), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_set_round_trips_with_the_private_halves_absent() {
        let made = |algorithm| {
            LocalSigner::from_pkcs8(algorithm, &LocalSigner::generate(algorithm).unwrap()).unwrap()
        };
        let (token, other) = (made(Algorithm::Es256), made(Algorithm::Ed25519));
        let text = jwks(&[&token, &other]);
        assert_eq!(parse_jwks(&text).unwrap(), [VerifyingKey::of(&token), VerifyingKey::of(&other)]);
        assert!(!text.contains("\"d\""));
    }

    #[test]
    fn keys_of_another_kind_are_refused() {
        let token =
            LocalSigner::from_pkcs8(Algorithm::Es256, &LocalSigner::generate(Algorithm::Es256).unwrap());
        let text = jwks(&[&token.unwrap()]);
        for (from, to) in [("ES256", "none"), ("ES256", "HS256"), ("P-256", "P-384"), ("\"EC\"", "\"OKP\"")] {
            assert!(parse_jwks(&text.replace(from, to)).is_err(), "{to}");
        }
        assert!(parse_jwks(r#"{"keys":[]}"#).is_err());
    }
}
