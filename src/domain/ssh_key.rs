//! SSH public keys of operators as values: the wire form of RFC 4253 section 6.6, read strictly.
//!
//! It knows how a key is written, and nothing of signatures. The types are those that `ssh-keygen -Y sign` signs
//! with and that are strong enough: no RSA, no DSA, no certificates.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::digest::Digest;
use super::limits::{SSH_APPLICATION_BYTES_MAX, SSH_KEY_LINE_BYTES_MAX};
use super::name::{BadName, name};

/// The key types, as they are written.
pub const KEY_TYPES: [&str; 5] = [
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-ed25519",
];

/// A public key. Two are equal when their key data is, whatever their comments say.
#[derive(Clone)]
pub struct SshKey {
    blob: Arc<[u8]>,
    material: Material,
}

/// What a key is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// NIST P-256: the uncompressed point (RFC 5656 section 3.1).
    EcdsaP256(Vec<u8>),
    /// NIST P-384: the uncompressed point.
    EcdsaP384(Vec<u8>),
    /// Ed25519: the 32 bytes (RFC 8709 section 4).
    Ed25519(Vec<u8>),
    /// P-256 in a security key (OpenSSH PROTOCOL.u2f).
    SkEcdsaP256 {
        /// What the security key made it for.
        application: String,
        /// The uncompressed point.
        point: Vec<u8>,
    },
    /// Ed25519 in a security key.
    SkEd25519 {
        /// What the security key made it for.
        application: String,
        /// The 32 bytes.
        key: Vec<u8>,
    },
}

impl Material {
    /// The curve and the public point, whatever type wraps them. Whoever has the private half of a key can have it in
    /// a file and sign as a security key would: type and application don't make it another one.
    pub const fn bare(&self) -> (&'static str, &[u8]) {
        match self {
            Self::EcdsaP256(point) | Self::SkEcdsaP256 { point, .. } => ("P-256", point.as_slice()),
            Self::EcdsaP384(point) => ("P-384", point.as_slice()),
            Self::Ed25519(key) | Self::SkEd25519 { key, .. } => ("Ed25519", key.as_slice()),
        }
    }
}

name!(
    /// A key's fingerprint as `ssh-keygen -l` shows it: `SHA256:` and 43 characters of base64.
    Fingerprint, is_fingerprint, "`SHA256:` and a SHA-256 in base64 without padding"
);

fn is_fingerprint(text: &str) -> bool {
    let decoded = text.strip_prefix("SHA256:").and_then(|base64| STANDARD_NO_PAD.decode(base64).ok());
    decoded.is_some_and(|bytes| bytes.len() == 32)
}

/// The text or the bytes are no key that we take.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAKey {
    /// The security key made it for something that is not SSH.
    #[error("expected a security key made for `ssh:`")]
    Application,
    /// It is not what its type says, or goes on after its end.
    #[error("expected a public key as in `authorized_keys`, of type {}", KEY_TYPES.join(", "))]
    Form,
    /// Another type.
    #[error("expected a key of type {}", KEY_TYPES.join(", "))]
    Type,
}

impl SshKey {
    /// Reads the wire form.
    ///
    /// # Errors
    /// When it is of another type, truncated, or longer than its fields.
    pub fn from_blob(blob: &[u8]) -> Result<Self, NotAKey> {
        let mut fields = Fields(blob);
        let material = match fields.text().ok_or(NotAKey::Form)? {
            "ecdsa-sha2-nistp256" => point(&mut fields, "nistp256", 65).map(Material::EcdsaP256),
            "ecdsa-sha2-nistp384" => point(&mut fields, "nistp384", 97).map(Material::EcdsaP384),
            "ssh-ed25519" => sized(&mut fields, 32).map(Material::Ed25519),
            "sk-ecdsa-sha2-nistp256@openssh.com" => {
                let point = point(&mut fields, "nistp256", 65).ok_or(NotAKey::Form)?;
                Some(Material::SkEcdsaP256 { application: application(&mut fields)?, point })
            }
            "sk-ssh-ed25519@openssh.com" => {
                let key = sized(&mut fields, 32).ok_or(NotAKey::Form)?;
                Some(Material::SkEd25519 { application: application(&mut fields)?, key })
            }
            _ => return Err(NotAKey::Type),
        };
        // Nothing may follow: one key has one form, so that two operators can't hide the same one.
        let material = material.filter(|_| fields.is_empty()).ok_or(NotAKey::Form)?;
        Ok(Self { blob: blob.into(), material })
    }

    /// The wire form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What it is made of.
    pub const fn material(&self) -> &Material {
        &self.material
    }

    /// The name of its type.
    pub const fn kind(&self) -> &'static str {
        match self.material {
            Material::EcdsaP256(_) => "ecdsa-sha2-nistp256",
            Material::EcdsaP384(_) => "ecdsa-sha2-nistp384",
            Material::Ed25519(_) => "ssh-ed25519",
            Material::SkEcdsaP256 { .. } => "sk-ecdsa-sha2-nistp256@openssh.com",
            Material::SkEd25519 { .. } => "sk-ssh-ed25519@openssh.com",
        }
    }

    /// Its fingerprint.
    ///
    /// # Errors
    /// Never: 32 bytes in base64 have the form of one.
    pub fn fingerprint(&self) -> Result<Fingerprint, BadName> {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Digest::of(&self.blob).as_bytes())).parse()
    }
}

/// A line of `authorized_keys` without options: type, base64, and a comment that counts for nothing.
impl FromStr for SshKey {
    type Err = NotAKey;

    fn from_str(line: &str) -> Result<Self, NotAKey> {
        if line.len() > SSH_KEY_LINE_BYTES_MAX || line.chars().any(char::is_control) {
            return Err(NotAKey::Form);
        }
        let mut words = line.split(' ');
        let kind = words.next().ok_or(NotAKey::Form)?;
        let blob = words.next().and_then(|base64| STANDARD.decode(base64).ok()).ok_or(NotAKey::Form)?;
        let key = Self::from_blob(&blob)?;
        if key.kind() == kind { Ok(key) } else { Err(NotAKey::Form) }
    }
}

impl PartialEq for SshKey {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

impl Eq for SshKey {}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the length-prefixed fields of SSH's wire form (RFC 4251 section 5), front to back.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `uint32`.
    pub fn number(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// The next `string`, as bytes.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.bytes(length)
    }

    /// The next `string`, as a text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    /// Whether there is nothing more.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn sized(fields: &mut Fields<'_>, length: usize) -> Option<Vec<u8>> {
    fields.string().filter(|bytes| bytes.len() == length).map(<[u8]>::to_vec)
}

/// An uncompressed point on the curve of this name. That it is on the curve, the signature's check sees.
fn point(fields: &mut Fields<'_>, curve: &str, length: usize) -> Option<Vec<u8>> {
    (fields.text()? == curve).then_some(())?;
    sized(fields, length).filter(|point| point.first() == Some(&4))
}

/// A key that a security key made for a web site could be made to sign by that site.
fn application(fields: &mut Fields<'_>) -> Result<String, NotAKey> {
    let text = fields.text().ok_or(NotAKey::Form)?;
    let plain = text.len() <= SSH_APPLICATION_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic());
    if plain && text.starts_with("ssh:") { Ok(text.to_owned()) } else { Err(NotAKey::Application) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn blob(parts: &[&[u8]]) -> Vec<u8> {
        parts.iter().flat_map(|part| string(part)).collect()
    }

    #[test]
    fn each_type_reads_back_and_shows_its_fingerprint() {
        let point = [&[4_u8][..], &[7; 64]].concat();
        let long = [&[4_u8][..], &[7; 96]].concat();
        for good in [
            blob(&[b"ssh-ed25519", &[1; 32]]),
            blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &point]),
            blob(&[b"ecdsa-sha2-nistp384", b"nistp384", &long]),
            blob(&[b"sk-ssh-ed25519@openssh.com", &[1; 32], b"ssh:"]),
            blob(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", &point, b"ssh:work"]),
        ] {
            let key = SshKey::from_blob(&good).unwrap();
            assert_eq!(key.to_string().parse::<SshKey>().as_ref(), Ok(&key));
            assert_eq!(format!("{key} alice at work").parse::<SshKey>().as_ref(), Ok(&key));
            assert!(key.fingerprint().unwrap().as_str().starts_with("SHA256:"));
            for cut in 0..good.len() {
                assert!(SshKey::from_blob(&good[..cut]).is_err(), "{cut}");
            }
            assert_eq!(SshKey::from_blob(&[&good[..], &[0]].concat()), Err(NotAKey::Form));
        }
    }

    #[test]
    fn a_key_is_the_same_one_as_another_type_and_for_another_application() {
        let point = [&[4_u8][..], &[7; 64]].concat();
        let bare = |parts: &[&[u8]]| {
            let key = SshKey::from_blob(&blob(parts)).unwrap();
            let (curve, bytes) = key.material().bare();
            (curve, bytes.to_vec())
        };
        let plain = bare(&[b"ssh-ed25519", &[1; 32]]);
        assert_eq!(plain, bare(&[b"sk-ssh-ed25519@openssh.com", &[1; 32], b"ssh:"]));
        assert_eq!(plain, bare(&[b"sk-ssh-ed25519@openssh.com", &[1; 32], b"ssh:work"]));
        assert_ne!(plain, bare(&[b"ssh-ed25519", &[2; 32]]));
        let plain = bare(&[b"ecdsa-sha2-nistp256", b"nistp256", &point]);
        assert_eq!(plain, bare(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", &point, b"ssh:"]));
    }

    #[test]
    fn weak_foreign_and_mangled_keys_are_refused() {
        let point = [&[4_u8][..], &[7; 64]].concat();
        for (bad, why) in [
            (blob(&[b"ssh-rsa", &[1, 0, 1], &[1; 512]]), NotAKey::Type),
            (blob(&[b"ssh-dss", &[1; 128]]), NotAKey::Type),
            (blob(&[b"ssh-ed25519-cert-v01@openssh.com", &[1; 32]]), NotAKey::Type),
            (blob(&[b"ssh-ed25519", &[1; 31]]), NotAKey::Form),
            (blob(&[b"ecdsa-sha2-nistp256", b"nistp384", &point]), NotAKey::Form),
            (blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &[2; 65]]), NotAKey::Form),
            (blob(&[b"sk-ssh-ed25519@openssh.com", &[1; 32], b"https://evil.example"]), NotAKey::Application),
        ] {
            assert_eq!(SshKey::from_blob(&bad), Err(why));
        }
        let key = SshKey::from_blob(&blob(&[b"ssh-ed25519", &[1; 32]])).unwrap();
        for bad in [
            String::new(),
            key.to_string().replace("ssh-ed25519", "ecdsa-sha2-nistp256"),
            format!("no-pty {key}"),
            format!("{key}\n"),
            format!("{key} {}", "x".repeat(SSH_KEY_LINE_BYTES_MAX)),
        ] {
            assert_eq!(bad.parse::<SshKey>(), Err(NotAKey::Form), "{bad}");
        }
    }
}
