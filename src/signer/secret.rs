//! Values that must not be shown: they print as `...` and are wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

use crate::domain::limits::PASSPHRASE_BYTES_MAX;

/// A minted token. Whoever reads it can use it, unless it is bound to a key.
pub struct Secret(Zeroizing<String>);

/// A private key in PKCS#8 PEM, made on the holder's request.
pub struct SecretKeyPem(Zeroizing<String>);

/// What the key files are encrypted with.
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// The passphrase is empty or too long.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a passphrase of 1 to {PASSPHRASE_BYTES_MAX} bytes")]
pub struct BadPassphrase;

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the holder alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl SecretKeyPem {
    pub(super) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text, for the holder alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Passphrase {
    /// From the bytes of a passphrase file or a systemd credential. One line break at the end is the
    /// editor's and does not count.
    ///
    /// # Errors
    /// When nothing is left, or too much.
    pub fn new(bytes: Vec<u8>) -> Result<Self, BadPassphrase> {
        let mut bytes = Zeroizing::new(bytes);
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if bytes.is_empty() || bytes.len() > PASSPHRASE_BYTES_MAX {
            Err(BadPassphrase)
        } else {
            Ok(Self(bytes))
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

macro_rules! hidden {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("...")
            }
        }
    )*};
}

hidden!(Secret, SecretKeyPem, Passphrase);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("eyJ".to_owned())), "...");
        assert_eq!(format!("{:?}", SecretKeyPem::new(Zeroizing::new("MIG".to_owned()))), "...");
        assert_eq!(format!("{:?}", Passphrase::new(b"hunter2".to_vec()).unwrap()), "...");
    }

    #[test]
    fn a_passphrase_loses_one_line_break_and_is_bounded() {
        assert_eq!(Passphrase::new(b"a b\r\n".to_vec()).unwrap().bytes(), b"a b");
        assert_eq!(Passphrase::new(b"a\n\n".to_vec()).unwrap().bytes(), b"a\n");
        assert!(Passphrase::new(b"\n".to_vec()).is_err());
        assert!(Passphrase::new(vec![b'a'; PASSPHRASE_BYTES_MAX]).is_ok());
        assert!(Passphrase::new(vec![b'a'; PASSPHRASE_BYTES_MAX + 1]).is_err());
    }
}
