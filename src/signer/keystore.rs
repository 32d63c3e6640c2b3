//! Keys on disk: `DIR/keys/`, owned by us, readable by nobody else, made whole or not at all.
//!
//! It knows files and containers; what keys sign it does not know.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ca::{self, BadCa, Ca, Role};
use super::container::{BadContainer, Cost, KeyUse, Lock, Opener};
use super::crl;
use super::draft::Draft;
use super::files::{
    certificate_path, crl_path, key_path, private, read_private, replace, sync_dir, write_new,
};
use super::key::{BadKey, LocalSigner};
use super::mint::MintError;
use super::minter::MintFailed;
use super::pem;
use super::secret::Passphrase;
use super::token_ring::TokenRing;
use super::x509::{Signed, Tbs};
use crate::domain::limits::TOKEN_KEYS_MAX;
use crate::domain::name::TrustDomain;
use crate::domain::note::VerifierKey;
use crate::domain::signer::{Algorithm, Signer};
use crate::domain::time::Timestamp;

/// The directory of the keys, in the state directory.
const KEYS: &str = "keys";
/// The log's public key, in the state directory.
const LOG_PUB: &str = "log.pub";

/// Whose keys they are.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The trust domain that the authorities speak for.
    pub trust_domain: TrustDomain,
    /// What tokens are signed with.
    pub token_algorithm: Algorithm,
}

/// The keys of a broker, without the root's private half.
pub struct Keys {
    token: TokenRing,
    log: Arc<dyn Signer>,
    action_ca: Arc<Ca>,
    identity_ca: Arc<Ca>,
    root_der: Vec<u8>,
    root_pem: String,
    root_crl: Option<Vec<u8>>,
    verifier: VerifierKey,
}

/// Makes and opens the keys of a state directory.
pub struct KeyStore;

/// Why keys can't be made or opened. Then nothing is issued.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// There are keys already, and keys are never overwritten.
    #[error("there are keys already in `{0}`")]
    AlreadyExists(PathBuf),
    /// An authority's certificate is not what it should be.
    #[error("the certificate does not fit: {1}: `{0}`")]
    Ca(PathBuf, #[source] BadCa),
    /// A key file is not what it should be.
    #[error("the key can't be opened: {1}: `{0}`")]
    Container(PathBuf, #[source] BadContainer),
    /// Somebody else can read or replace the keys.
    #[error(
        "expected mode {expected:04o} and our own user, found mode {found:04o} and user {owner}: `{path}`"
    )]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its mode's permission bits.
        found: u32,
        /// What they should be at most.
        expected: u32,
        /// Its owner.
        owner: u32,
    },
    /// The file system failed.
    #[error("{1}: `{0}`")]
    Io(PathBuf, #[source] io::Error),
    /// A key could not be made or read.
    #[error("the key can't be used: {1}: `{0}`")]
    Key(PathBuf, #[source] BadKey),
    /// The list of token keys is not what it should be.
    #[error("not a list of token keys: `{0}`")]
    List(PathBuf),
    /// A CRL could not be made.
    #[error("the root's CRL can't be made")]
    Crl(#[from] MintFailed),
    /// A certificate could not be made.
    #[error("the authorities can't be made")]
    Mint(#[from] MintError),
    /// Another key would be one too many, or a change is not finished.
    #[error(
        "there are {TOKEN_KEYS_MAX} token keys, or a rotation is not finished; old keys go when their tokens have ended"
    )]
    TooManyKeys,
    /// A file is longer than it can be.
    #[error("longer than such a file can be: `{0}`")]
    TooLong(PathBuf),
}

impl KeyStore {
    /// Makes all keys and authorities below `dir`, which exists. Encrypted when there is a passphrase.
    ///
    /// Everything is written and synced beside its place first; one rename makes it real. So there is no
    /// half of a key store, whenever the power fails.
    ///
    /// # Errors
    /// When there are keys already, or they can't be written.
    pub fn create(
        dir: &Path,
        identity: &Identity,
        passphrase: Option<&Passphrase>,
        now: Timestamp,
    ) -> Result<(), KeyStoreError> {
        Self::create_at(dir, identity, passphrase, now, Cost::DEFAULT)
    }

    fn create_at(
        dir: &Path,
        identity: &Identity,
        passphrase: Option<&Passphrase>,
        now: Timestamp,
        cost: Cost,
    ) -> Result<(), KeyStoreError> {
        let target = dir.join(KEYS);
        if fs::symlink_metadata(&target).is_ok() {
            return Err(KeyStoreError::AlreadyExists(target));
        }
        let draft = Draft::begin(dir)?;
        let lock = passphrase.map(|passphrase| Lock::new(passphrase, cost)).transpose();
        let lock = lock.map_err(|error| KeyStoreError::Container(target.clone(), error))?;
        let log = draft.fill(identity, lock.as_ref(), now)?;
        // The public half stands before the keys do: without keys it means nothing, with them it must be there.
        let text = format!("{}\n", verifier_key(&identity.trust_domain, &log)?.to_text());
        replace(&dir.join(LOG_PUB), text.as_bytes())?;
        draft.commit(&target)?;
        sync_dir(dir)
    }

    /// Opens the keys below `dir`. The root's key stays closed: only making authorities needs it.
    ///
    /// # Errors
    /// When a file is missing, readable by others, changed, locked with another passphrase, or of another
    /// trust domain.
    pub fn open(
        dir: &Path,
        trust_domain: &TrustDomain,
        passphrase: Option<&Passphrase>,
    ) -> Result<Keys, KeyStoreError> {
        let keys = dir.join(KEYS);
        let found = fs::symlink_metadata(&keys).map_err(|error| KeyStoreError::Io(keys.clone(), error))?;
        private(&keys, &found, 0o700)?;
        let mut opener = Opener::new(passphrase);
        let mut signer = |usage| open_signer(&keys, usage, &mut opener).map(Arc::new);
        let log = signer(KeyUse::Log)?;
        let (action, identity) = (signer(KeyUse::ActionCa)?, signer(KeyUse::IdentityCa)?);
        let root_der = read_certificate(&keys, KeyUse::RootCa)?;
        let authority = |usage, role, signer: Arc<LocalSigner>| {
            let der = read_certificate(&keys, usage)?;
            let bad = |error| KeyStoreError::Ca(certificate_path(&keys, usage), error);
            signed_by_root(&der, &root_der).map_err(bad)?;
            Ca::new(role, trust_domain, der, signer).map(Arc::new).map_err(bad)
        };
        let root_crl = root_crl(&keys, trust_domain, &root_der, &mut opener)?;
        Ok(Keys {
            root_crl,
            verifier: verifier_key(trust_domain, &log)?,
            token: TokenRing::open(&keys, &mut opener)?,
            log,
            action_ca: authority(KeyUse::ActionCa, Role::Action, action)?,
            identity_ca: authority(KeyUse::IdentityCa, Role::Identity, identity)?,
            root_pem: (*pem::encode("CERTIFICATE", &root_der)).clone(),
            root_der,
        })
    }
}

impl Keys {
    /// The keys that sign tokens.
    pub const fn token_ring(&self) -> &TokenRing {
        &self.token
    }

    /// The newest key that signs tokens.
    pub fn token(&self) -> Arc<dyn Signer> {
        let end = Timestamp::from_millis(i64::MAX);
        Arc::clone(self.token.keys().signing(end).signer())
    }

    /// Signs the log's checkpoints.
    pub fn log(&self) -> &Arc<dyn Signer> {
        &self.log
    }

    /// Issues certificates for one action.
    pub fn action_ca(&self) -> &Arc<Ca> {
        &self.action_ca
    }

    /// Issues certificates of identities.
    pub fn identity_ca(&self) -> &Arc<Ca> {
        &self.identity_ca
    }

    /// The root's certificate, DER.
    pub fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// The root's certificate, PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root's CRL, DER: made with the authorities, because the root's key is not at hand later.
    pub fn root_crl(&self) -> Option<&[u8]> {
        self.root_crl.as_deref()
    }

    /// What verifies the log's checkpoints; its name is the trust domain with `/log`.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("token", &self.token)
            .field("log", &self.log.kid())
            .finish_non_exhaustive()
    }
}

/// The root's CRL. A store that was made before there were any gets one if the root's key is there; a root
/// whose key is kept elsewhere signs it there.
fn root_crl(
    keys: &Path,
    trust_domain: &TrustDomain,
    root_der: &[u8],
    opener: &mut Opener<'_>,
) -> Result<Option<Vec<u8>>, KeyStoreError> {
    let path = crl_path(keys, KeyUse::RootCa);
    if fs::symlink_metadata(&path).is_ok() {
        let crl = read_private(&path)?;
        crl::check(&crl, root_der).map_err(|error| KeyStoreError::Ca(path, error))?;
        return Ok(Some(crl));
    }
    if fs::symlink_metadata(key_path(keys, KeyUse::RootCa)).is_err() {
        return Ok(None);
    }
    let key = Arc::new(open_signer(keys, KeyUse::RootCa, opener)?);
    let root = Ca::new(Role::Root, trust_domain, root_der.to_vec(), key);
    let root = root.map_err(|error| KeyStoreError::Ca(certificate_path(keys, KeyUse::RootCa), error))?;
    let crl = crl::sign_root(&root)?;
    write_new(&path, &crl)?;
    sync_dir(keys)?;
    Ok(Some(crl))
}

fn signed_by_root(der: &[u8], root: &[u8]) -> Result<(), BadCa> {
    let child = Signed::read(der).map_err(|_| BadCa::Form)?;
    let root = Signed::read(root).map_err(|_| BadCa::Form)?;
    let root = Tbs::read(root.message).map_err(|_| BadCa::Form)?;
    if ca::is_signed_by(&child, &root) { Ok(()) } else { Err(BadCa::Signature) }
}

fn verifier_key(trust_domain: &TrustDomain, log: &LocalSigner) -> Result<VerifierKey, KeyStoreError> {
    let wrong = |_| KeyStoreError::Key(PathBuf::from(LOG_PUB), BadKey::NotAKey(Algorithm::Ed25519));
    let public = log.public_key().try_into().map_err(wrong)?;
    Ok(VerifierKey::new(format!("{trust_domain}/log"), public))
}

fn open_signer(keys: &Path, usage: KeyUse, opener: &mut Opener<'_>) -> Result<LocalSigner, KeyStoreError> {
    let path = key_path(keys, usage);
    let file = zeroize::Zeroizing::new(read_private(&path)?);
    let opened = opener.open(usage, &file);
    let (algorithm, pkcs8) = opened.map_err(|error| KeyStoreError::Container(path.clone(), error))?;
    LocalSigner::from_pkcs8(algorithm, &pkcs8).map_err(|error| KeyStoreError::Key(path, error))
}

pub(super) fn read_certificate(keys: &Path, usage: KeyUse) -> Result<Vec<u8>, KeyStoreError> {
    let path = certificate_path(keys, usage);
    let text = read_private(&path)?;
    let der = std::str::from_utf8(&text).ok().and_then(|text| pem::decode("CERTIFICATE", text));
    der.ok_or(KeyStoreError::Ca(path, BadCa::Form))
}

#[cfg(test)]
mod tests;
