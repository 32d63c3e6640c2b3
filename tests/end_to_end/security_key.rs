//! Security keys in software: byte for byte what the hardware signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA512, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

use crate::signing::{armored, strings};

/// A security key in software: it signs what the hardware signs (PROTOCOL.u2f).
pub enum SecurityKey {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SecurityKey {
    pub fn both() -> [Self; 2] {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let ecdsa = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let edwards = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        [
            Self::Ecdsa(EcdsaKeyPair::from_pkcs8(algorithm, ecdsa.as_ref(), &random).unwrap()),
            Self::Ed25519(Ed25519KeyPair::from_pkcs8(edwards.as_ref()).unwrap()),
        ]
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Ecdsa(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
            Self::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
        }
    }

    fn blob(&self, application: &str) -> Vec<u8> {
        let (kind, application) = (self.kind().as_bytes(), application.as_bytes());
        match self {
            Self::Ecdsa(key) => strings(&[kind, b"nistp256", key.public_key().as_ref(), application]),
            Self::Ed25519(key) => strings(&[kind, key.public_key().as_ref(), application]),
        }
    }

    /// The line for `ssh_keys`.
    pub fn public(&self) -> String {
        format!("{} {}", self.kind(), STANDARD.encode(self.blob("ssh:")))
    }

    fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Ecdsa(key) => {
                let pair = key.sign(&SystemRandom::new(), bytes).unwrap();
                let (r, s) = pair.as_ref().split_at(32);
                strings(&[&mpint(r), &mpint(s)])
            }
            Self::Ed25519(key) => key.sign(bytes).as_ref().to_vec(),
        }
    }

    /// The whole signature over the text with these flags, made for this application.
    pub fn sign(&self, namespace: &str, text: &str, application: &str, flags: u8) -> String {
        let (space, hashed) = (namespace.as_bytes(), digest(&SHA512, text.as_bytes()));
        let message = [&b"SSHSIG"[..], &strings(&[space, b"", b"sha512", hashed.as_ref()])].concat();
        let tail = [&[flags][..], &7_u32.to_be_bytes()].concat();
        let signed =
            [digest(&SHA256, application.as_bytes()).as_ref(), &tail, digest(&SHA256, &message).as_ref()]
                .concat();
        let signature = [strings(&[self.kind().as_bytes(), &self.raw(&signed)]), tail].concat();
        let fields: [&[u8]; 5] = [&self.blob("ssh:"), space, b"", b"sha512", &signature];
        armored(&[&b"SSHSIG"[..], &1_u32.to_be_bytes(), &strings(&fields)].concat())
    }
}

fn mpint(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap();
    let number = &number[start..];
    if number[0] & 0x80 == 0 { number.to_vec() } else { [&[0], number].concat() }
}
