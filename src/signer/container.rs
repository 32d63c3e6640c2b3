//! One key in one file: a versioned frame around PKCS#8, encrypted when there is a passphrase.
//!
//! ```text
//! magic      12 octets  "hotwork-key\n"
//! version     1         1
//! use         1         what the key is for: see KeyUse
//! algorithm   1         1 Ed25519, 2 P-256
//! protection  1         0 none, 1 Argon2id and ChaCha20-Poly1305
//! if 1: memory (KiB) 4, passes 4, lanes 4, salt 16, nonce 12, big endian
//! the rest              PKCS#8, or its ciphertext and tag
//! ```
//! Everything before the rest is authenticated with the ciphertext, so a file that was renamed to serve
//! another use, or made cheaper to guess, does not open.

use argon2::{Argon2, Params, Version};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::secret::Passphrase;
use crate::domain::limits::{KEY_DERIVATION_KIB_MAX, KEY_DERIVATION_PASSES_MAX};
use crate::domain::signer::Algorithm;

const MAGIC: &[u8; 12] = b"hotwork-key\n";
const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const LOCKED: u8 = 1;

/// What a key is for. A key has one use, and its file says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Signs certificates for one action.
    ActionCa,
    /// Signs certificates of identities.
    IdentityCa,
    /// Signs the log's checkpoints.
    Log,
    /// Signs the authorities.
    RootCa,
    /// Signs tokens.
    Token,
}

impl KeyUse {
    /// The file's stem.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ActionCa => "action-ca",
            Self::IdentityCa => "identity-ca",
            Self::Log => "log",
            Self::RootCa => "root-ca",
            Self::Token => "token",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::ActionCa => 4,
            Self::IdentityCa => 3,
            Self::Log => 2,
            Self::RootCa => 5,
            Self::Token => 1,
        }
    }
}

/// What guessing a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Cost {
    /// 64 MiB, three passes (RFC 9106 section 4, the second recommended option, on one lane).
    pub(super) const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
}

/// Why a key file is not opened or written.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadContainer {
    /// The parameters of the key derivation are out of bounds.
    #[error("the file asks for an unreasonable key derivation")]
    Cost,
    /// It is no key file that this version knows.
    #[error("not a key file of a version that is known here")]
    Form,
    /// It is encrypted, and no passphrase was given.
    #[error("the file is encrypted: a passphrase is needed")]
    NeedsPassphrase,
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    NoRandomness,
    /// It is not encrypted although a passphrase was given: somebody may have replaced it.
    #[error("a passphrase was given, but the file is not encrypted")]
    NotEncrypted,
    /// It is the key of another use.
    #[error("the file holds a key for another use, expected `{}`", .0.as_str())]
    OtherUse(KeyUse),
    /// It does not open.
    #[error("the passphrase is wrong, or the file was changed")]
    WrongPassphrase,
}

/// A derived key with what it was derived with; deriving is slow, so all files of a store share one.
pub(super) struct Lock {
    cost: Cost,
    salt: [u8; 16],
    key: Zeroizing<[u8; 32]>,
}

impl Lock {
    /// A lock with a new salt.
    pub(super) fn new(passphrase: &Passphrase, cost: Cost) -> Result<Self, BadContainer> {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| BadContainer::NoRandomness)?;
        Self::derive(passphrase, cost, salt)
    }

    fn derive(passphrase: &Passphrase, cost: Cost, salt: [u8; 16]) -> Result<Self, BadContainer> {
        let bounded = cost.memory_kib <= KEY_DERIVATION_KIB_MAX && cost.passes <= KEY_DERIVATION_PASSES_MAX;
        if !bounded || cost.lanes > 16 {
            return Err(BadContainer::Cost);
        }
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32));
        let params = params.map_err(|_| BadContainer::Cost)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.bytes(), &salt, &mut *key)
            .map_err(|_| BadContainer::Cost)?;
        Ok(Self { cost, salt, key })
    }

    fn aead(&self) -> Result<LessSafeKey, BadContainer> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*self.key).map_err(|_| BadContainer::Form)?;
        Ok(LessSafeKey::new(key))
    }
}

/// The file of a key.
pub(super) fn seal(
    usage: KeyUse,
    algorithm: Algorithm,
    pkcs8: &[u8],
    lock: Option<&Lock>,
) -> Result<Zeroizing<Vec<u8>>, BadContainer> {
    let protection = if lock.is_some() { LOCKED } else { PLAIN };
    let mut file = Zeroizing::new(Vec::with_capacity(256 + pkcs8.len()));
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&[VERSION, usage.code(), algorithm_code(algorithm), protection]);
    let Some(lock) = lock else {
        file.extend_from_slice(pkcs8);
        return Ok(file);
    };
    let mut nonce = [0; 12];
    SystemRandom::new().fill(&mut nonce).map_err(|_| BadContainer::NoRandomness)?;
    for number in [lock.cost.memory_kib, lock.cost.passes, lock.cost.lanes] {
        file.extend_from_slice(&number.to_be_bytes());
    }
    file.extend_from_slice(&lock.salt);
    file.extend_from_slice(&nonce);
    // Room for the tag, so that growing leaves no copy of the plain text behind.
    let mut body = Zeroizing::new(Vec::with_capacity(pkcs8.len() + CHACHA20_POLY1305.tag_len()));
    body.extend_from_slice(pkcs8);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let sealed = lock.aead()?.seal_in_place_append_tag(nonce, Aad::from(&**file), &mut *body);
    sealed.map_err(|_| BadContainer::Form)?;
    file.extend_from_slice(&body);
    Ok(file)
}

/// Opens the files of one store, deriving once for all that share a salt.
pub struct Opener<'p> {
    passphrase: Option<&'p Passphrase>,
    last: Option<Lock>,
}

impl<'p> Opener<'p> {
    /// With this passphrase, or for files that are not encrypted.
    pub const fn new(passphrase: Option<&'p Passphrase>) -> Self {
        Self { passphrase, last: None }
    }

    /// What the files are locked with, to lock another one; `None` when they are not.
    pub(super) fn lock(&self) -> Option<Lock> {
        let lock = self.last.as_ref()?;
        Some(Lock { cost: lock.cost, salt: lock.salt, key: lock.key.clone() })
    }

    /// The key of a file: its algorithm and PKCS#8.
    ///
    /// # Errors
    /// [`BadContainer`].
    pub fn open(
        &mut self,
        usage: KeyUse,
        file: &[u8],
    ) -> Result<(Algorithm, Zeroizing<Vec<u8>>), BadContainer> {
        let mut rest = file;
        if take::<12>(&mut rest)? != *MAGIC {
            return Err(BadContainer::Form);
        }
        let [version, code, algorithm, protection] = take::<4>(&mut rest)?;
        let algorithm = match (version, algorithm) {
            (VERSION, 1) => Algorithm::Ed25519,
            (VERSION, 2) => Algorithm::Es256,
            _ => return Err(BadContainer::Form),
        };
        if code != usage.code() {
            return Err(BadContainer::OtherUse(usage));
        }
        match (protection, self.passphrase) {
            (PLAIN, None) => Ok((algorithm, Zeroizing::new(rest.to_vec()))),
            (PLAIN, Some(_)) => Err(BadContainer::NotEncrypted),
            (LOCKED, None) => Err(BadContainer::NeedsPassphrase),
            (LOCKED, Some(passphrase)) => Ok((algorithm, self.unlock(passphrase, file, rest)?)),
            _ => Err(BadContainer::Form),
        }
    }

    fn unlock(
        &mut self,
        passphrase: &Passphrase,
        file: &[u8],
        mut rest: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, BadContainer> {
        let mut number = || take::<4>(&mut rest).map(u32::from_be_bytes);
        let cost = Cost { memory_kib: number()?, passes: number()?, lanes: number()? };
        let salt = take::<16>(&mut rest)?;
        let nonce = Nonce::assume_unique_for_key(take::<12>(&mut rest)?);
        let head = file.get(..file.len() - rest.len()).ok_or(BadContainer::Form)?;
        let lock = match self.last.take() {
            Some(lock) if lock.cost == cost && lock.salt == salt => lock,
            Some(_) | None => Lock::derive(passphrase, cost, salt)?,
        };
        let mut body = Zeroizing::new(rest.to_vec());
        let opened = lock.aead()?.open_in_place(nonce, Aad::from(head), &mut body);
        let plain = opened.map_err(|_| BadContainer::WrongPassphrase)?.len();
        body.truncate(plain);
        self.last = Some(lock);
        Ok(body)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BadContainer> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(BadContainer::Form)?;
    *rest = tail;
    Ok(*head)
}

const fn algorithm_code(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Ed25519 => 1,
        Algorithm::Es256 => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.as_bytes().to_vec()).unwrap()
    }

    fn open(usage: KeyUse, file: &[u8], with: Option<&Passphrase>) -> Result<Vec<u8>, BadContainer> {
        Opener::new(with).open(usage, file).map(|(_, key)| key.to_vec())
    }

    #[test]
    fn a_locked_key_opens_with_its_passphrase_alone() {
        let right = passphrase("right");
        let lock = Lock::new(&right, CHEAP).unwrap();
        let file = seal(KeyUse::Token, Algorithm::Es256, b"pkcs8", Some(&lock)).unwrap();
        assert!(!file.windows(5).any(|window| window == b"pkcs8"));
        assert_eq!(open(KeyUse::Token, &file, Some(&right)).unwrap(), b"pkcs8");
        assert_eq!(
            open(KeyUse::Token, &file, Some(&passphrase("wrong"))),
            Err(BadContainer::WrongPassphrase)
        );
        assert_eq!(open(KeyUse::Token, &file, None), Err(BadContainer::NeedsPassphrase));
    }

    #[test]
    fn a_key_file_can_not_serve_another_use_or_lose_its_lock() {
        let right = passphrase("right");
        let lock = Lock::new(&right, CHEAP).unwrap();
        let mut file = seal(KeyUse::ActionCa, Algorithm::Es256, b"pkcs8", Some(&lock)).unwrap();
        assert_eq!(open(KeyUse::Token, &file, Some(&right)), Err(BadContainer::OtherUse(KeyUse::Token)));
        // With the use's octet changed as well, the authentication fails.
        file[13] = KeyUse::Token.code();
        assert_eq!(open(KeyUse::Token, &file, Some(&right)), Err(BadContainer::WrongPassphrase));
        let plain = seal(KeyUse::Token, Algorithm::Es256, b"evil", None).unwrap();
        assert_eq!(open(KeyUse::Token, &plain, Some(&right)), Err(BadContainer::NotEncrypted));
        assert_eq!(open(KeyUse::Token, &plain, None).unwrap(), b"evil");
    }

    #[test]
    fn every_changed_octet_of_a_locked_key_is_noticed() {
        let right = passphrase("right");
        let lock = Lock::new(&right, CHEAP).unwrap();
        let file = seal(KeyUse::Log, Algorithm::Ed25519, b"pkcs8", Some(&lock)).unwrap();
        for at in 0..file.len() {
            let mut changed = file.to_vec();
            changed[at] ^= 0x40;
            assert!(open(KeyUse::Log, &changed, Some(&right)).is_err(), "octet {at}");
            assert!(open(KeyUse::Log, &file[..at], Some(&right)).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_file_can_not_make_us_spend_without_bound() {
        let right = passphrase("right");
        let lock = Lock::new(&right, CHEAP).unwrap();
        let file = seal(KeyUse::Log, Algorithm::Ed25519, b"pkcs8", Some(&lock)).unwrap();
        for (at, value) in [(16, KEY_DERIVATION_KIB_MAX + 1), (20, KEY_DERIVATION_PASSES_MAX + 1), (24, 17)] {
            let mut greedy = file.to_vec();
            greedy[at..at + 4].copy_from_slice(&value.to_be_bytes());
            assert_eq!(open(KeyUse::Log, &greedy, Some(&right)), Err(BadContainer::Cost));
        }
    }
}
