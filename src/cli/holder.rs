//! The holder's keys: made here for certificates, read here for DPoP. The private part never leaves.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::Value;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

use super::failure::{Exit, Failure};
use super::files;
use crate::domain::digest::Digest;
use crate::domain::limits::CSR_BYTES_MAX;

/// A new key and the request that it signed.
pub struct LocalKey {
    /// PKCS#10 in DER.
    pub csr_der: Vec<u8>,
    /// PKCS#8 in PEM. Secret.
    pub key_pem: Zeroizing<String>,
}

/// Makes a P-256 key. The request names nothing: only its public key counts.
///
/// # Errors
/// When the system gives no randomness.
pub fn local_key() -> Result<LocalKey, Failure> {
    let made = || -> Result<LocalKey, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        let request = parameters.serialize_request(&key)?;
        Ok(LocalKey { csr_der: request.der().to_vec(), key_pem: Zeroizing::new(key.serialize_pem()) })
    };
    made().map_err(|_| {
        Failure::new(Exit::Failed, "key-generation", "cannot make a key on this machine")
            .hint("let the broker make it with --generate-key, or bring a request with --csr")
    })
}

/// Reads a signing request, PEM or DER.
///
/// # Errors
/// When the file can't be read or is not one.
pub fn read_csr(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = files::read(path, 4 * CSR_BYTES_MAX)?;
    let der = match Pem::iter_from_buffer(&bytes).next() {
        Some(Ok(pem)) if pem.label.ends_with("CERTIFICATE REQUEST") => pem.contents,
        Some(Ok(_)) => Vec::new(),
        _ => bytes.to_vec(),
    };
    if der.first() == Some(&0x30) && der.len() <= CSR_BYTES_MAX {
        return Ok(der);
    }
    Err(Failure::usage("--csr: expected a PKCS#10 request in PEM or DER, 8 KiB at most")
        .hint("make one with `openssl req -new -key key.pem -subj / -outform der`"))
}

/// The RFC 7638 thumbprint of the public key in `path`: a JWK, or PEM of a private or public key.
///
/// # Errors
/// When the file can't be read or holds no P-256 or Ed25519 key.
pub fn thumbprint(path: &Path) -> Result<String, Failure> {
    let bytes = files::read(path, CSR_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let jwk = if text.trim_start().starts_with('{') { from_jwk(text) } else { from_pem(text) };
    jwk.map(|jwk| URL_SAFE_NO_PAD.encode(Digest::of(jwk.as_bytes()).as_bytes())).ok_or_else(|| {
        Failure::usage("--dpop-key: expected a P-256 or Ed25519 key as JWK, PKCS#8 PEM or public key PEM")
            .hint("make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`")
    })
}

/// The canonical form of RFC 7638 section 3.2: the required members only, in lexical order.
fn canonical(raw: &[u8]) -> Option<String> {
    match raw {
        [4, point @ ..] if point.len() == 64 => {
            let (x, y) = point.split_at_checked(32)?;
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            Some(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#))
        }
        key if key.len() == 32 => {
            let x = URL_SAFE_NO_PAD.encode(key);
            Some(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#))
        }
        _ => None,
    }
}

fn from_jwk(text: &str) -> Option<String> {
    let jwk: Value = serde_json::from_str(text).ok()?;
    let word = |name: &str| jwk.get(name).and_then(Value::as_str);
    let member = |name: &str| word(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
    let raw = match (word("kty")?, word("crv")?) {
        ("EC", "P-256") => {
            let (x, y) = (member("x")?, member("y")?);
            (x.len() == 32 && y.len() == 32).then(|| [vec![4], x, y].concat())?
        }
        ("OKP", "Ed25519") => member("x")?,
        _ => return None,
    };
    canonical(&raw)
}

fn from_pem(text: &str) -> Option<String> {
    let pem = Pem::iter_from_buffer(text.as_bytes()).next()?.ok()?;
    if pem.label == "PUBLIC KEY" {
        let (_, key) = SubjectPublicKeyInfo::from_der(&pem.contents).ok()?;
        let algorithm = key.algorithm.algorithm.to_id_string();
        let known = ["1.2.840.10045.2.1", "1.3.101.112"].contains(&algorithm.as_str());
        return known.then(|| canonical(&key.subject_public_key.data)).flatten();
    }
    let key = KeyPair::from_pem(text).ok()?;
    let known = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519];
    known.contains(&key.algorithm()).then(|| canonical(key.public_key_raw())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_signed_and_names_nothing() {
        let made = local_key().unwrap();
        let (_, csr) =
            x509_parser::certification_request::X509CertificationRequest::from_der(&made.csr_der).unwrap();
        assert!(csr.verify_signature().is_ok());
        assert_eq!(csr.certification_request_info.subject.iter().count(), 0);
        assert!(made.key_pem.contains("BEGIN PRIVATE KEY"));
    }

    #[test]
    fn a_jwk_has_the_thumbprint_of_the_rfc_that_defines_it() {
        // RFC 8037 appendix A.3.
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.jwk");
        std::fs::write(&path, jwk).unwrap();
        assert_eq!(thumbprint(&path).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn private_key_public_key_and_jwk_have_one_thumbprint() {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let raw = key.public_key_raw();
        let jwk = canonical(raw).unwrap();
        let files = [("a", key.serialize_pem()), ("b", key.public_key_pem()), ("c", jwk)];
        let prints: Vec<String> = files
            .iter()
            .map(|(name, text)| {
                std::fs::write(dir.path().join(name), text).unwrap();
                thumbprint(&dir.path().join(name)).unwrap()
            })
            .collect();
        assert!(prints.iter().all(|print| *print == prints[0]), "{prints:?}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for bad in ["", "{}", r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, "-----BEGIN PUBLIC KEY-----"]
        {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(thumbprint(&path).unwrap_err().exit, Exit::Usage, "{bad}");
        }
        assert!(read_csr(&path).is_err());
    }
}
