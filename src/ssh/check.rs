//! The check of one signature by one key, with ring.

use ring::digest::{SHA256, SHA512, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};

use crate::domain::ssh_key::{Fields, Material, SshKey};

use super::BadSignature;

/// Somebody touched the security key (PROTOCOL.u2f; WebAuthn section 6.1, bit 0).
const USER_PRESENT: u8 = 1;

/// The text hashed as the signature says, when it is a hash that we take.
pub(super) fn hash(name: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match name {
        b"sha256" => &SHA256,
        b"sha512" => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, text).as_ref().to_vec())
}

/// Checks `blob`, a signature with its type in front, over `signed`.
pub(super) fn signature(key: &SshKey, blob: &[u8], signed: &[u8]) -> Result<(), BadSignature> {
    let mut fields = Fields(blob);
    // The type is the key's own: no other algorithm can be asked of it.
    let kind = fields.text().filter(|kind| *kind == key.kind());
    let inner = kind.and_then(|_| fields.string()).ok_or(BadSignature::Form)?;
    match key.material() {
        Material::EcdsaP256(point) => {
            end(fields)?;
            valid(&ECDSA_P256_SHA256_FIXED, point, signed, &pair(inner, 32)?)
        }
        Material::EcdsaP384(point) => {
            end(fields)?;
            valid(&ECDSA_P384_SHA384_FIXED, point, signed, &pair(inner, 48)?)
        }
        Material::Ed25519(bytes) => {
            end(fields)?;
            valid(&ED25519, bytes, signed, inner)
        }
        Material::SkEcdsaP256 { application, point } => {
            let signed = by_security_key(fields, application, signed)?;
            valid(&ECDSA_P256_SHA256_FIXED, point, &signed, &pair(inner, 32)?)
        }
        Material::SkEd25519 { application, key } => {
            valid(&ED25519, key, &by_security_key(fields, application, signed)?, inner)
        }
    }
}

fn end(fields: Fields<'_>) -> Result<(), BadSignature> {
    if fields.is_empty() { Ok(()) } else { Err(BadSignature::Form) }
}

fn valid(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    signed: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(algorithm, key).verify(signed, signature).map_err(|_| BadSignature::Forged)
}

/// What a security key signs: the application's hash, its flags and counter, the hash of the rest (PROTOCOL.u2f).
/// The counter is covered and not remembered: a statement is acted on once, whatever the key counts.
fn by_security_key(
    mut fields: Fields<'_>,
    application: &str,
    signed: &[u8],
) -> Result<Vec<u8>, BadSignature> {
    let tail = fields.0;
    let flags = fields.bytes(1).and_then(<[u8]>::first).copied().ok_or(BadSignature::Form)?;
    fields.number().ok_or(BadSignature::Form)?;
    end(fields)?;
    if flags & USER_PRESENT == 0 {
        return Err(BadSignature::Presence);
    }
    let (application, message) = (digest(&SHA256, application.as_bytes()), digest(&SHA256, signed));
    Ok([application.as_ref(), tail, message.as_ref()].concat())
}

/// `r` and `s` at their full length, from two `mpint`s (RFC 5656 section 3.1.2).
fn pair(inner: &[u8], length: usize) -> Result<Vec<u8>, BadSignature> {
    let mut fields = Fields(inner);
    let mut whole = Vec::with_capacity(2 * length);
    for _ in 0..2 {
        let number = fields.string().and_then(|number| unsigned(number, length)).ok_or(BadSignature::Form)?;
        whole.extend(number);
    }
    end(fields)?;
    Ok(whole)
}

/// A positive `mpint` in its only form (RFC 4251 section 5), filled up to `length` bytes.
fn unsigned(number: &[u8], length: usize) -> Option<Vec<u8>> {
    let magnitude = match number {
        [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => rest,
        [first, ..] if *first != 0 && first & 0x80 == 0 => number,
        _ => return None,
    };
    let zeros = length.checked_sub(magnitude.len())?;
    Some([&vec![0; zeros], magnitude].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mpint_has_one_form() {
        assert_eq!(unsigned(&[1], 3), Some(vec![0, 0, 1]));
        assert_eq!(unsigned(&[0, 0x80], 3), Some(vec![0, 0, 0x80]));
        assert_eq!(unsigned(&[0, 0xff, 1, 2], 3), Some(vec![0xff, 1, 2]));
        for bad in [&[][..], &[0], &[0, 1], &[0x80], &[0, 0, 0x80], &[1, 2, 3, 4], &[0, 0x81, 2, 3, 4]] {
            assert_eq!(unsigned(bad, 3), None, "{bad:?}");
        }
    }

    #[test]
    fn only_two_hashes_are_taken() {
        assert_eq!(hash(b"sha256", b"").map(|bytes| bytes.len()), Some(32));
        assert_eq!(hash(b"sha512", b"").map(|bytes| bytes.len()), Some(64));
        for other in [&b"sha1"[..], b"md5", b"SHA256", b"", b"sha384"] {
            assert_eq!(hash(other, b""), None);
        }
    }
}
