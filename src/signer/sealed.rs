//! The sealed copy: the registry's files as of the last good load that was recorded, in `DIR/sealed/`.
//!
//! Break-glass must work when `config/` is broken, and an edit that nobody reviewed must not change it. So the copy is
//! signed with the log's key and holds the digest that the log's `load` entry has. It is written as `next` before the
//! load is recorded and becomes `current` after: whichever moment a crash chooses, the copy of the last recorded
//! load is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::signature::{ED25519, UnparsedPublicKey};

use super::files::{private, read_private_up_to, sync_dir, write_new};
use super::keystore::KeyStoreError;
use crate::domain::digest::Digest;
use crate::domain::limits::SEALED_BYTES_MAX;
use crate::domain::note::VerifierKey;
use crate::domain::registry_files::RegistryFiles;
use crate::domain::signer::{Signer, SigningFailed};

/// The directory, in the state directory.
const DIRECTORY: &str = "sealed";
const CURRENT: &str = "current";
const NEXT: &str = "next";
/// What every copy begins with. No text begins so, and a checkpoint is a text: a signature of one is none of the other.
const MAGIC: &[u8; 16] = b"\xffhotwork-sealed\x01";
const SIGNATURE_BYTES: usize = 64;

/// Why there is no sealed copy to be used, or none was made.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// It is not one, or cut short, or somebody changed it.
    #[error("the sealed copy is damaged or was changed: `{0}`")]
    Damaged(PathBuf),
    /// The files are not the owner's alone, or can't be read or written.
    #[error("the sealed copy can't be used")]
    File(#[from] KeyStoreError),
    /// It is none of the registry that the log says was loaded last.
    #[error("the sealed copy is of registry `{found}`, the log's last load is of `{expected}`")]
    Other {
        /// The log's.
        expected: Digest,
        /// The copy's.
        found: Digest,
    },
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SigningFailed),
    /// There is none.
    #[error("there is no sealed copy in `{0}`; one is made at the first good load")]
    Missing(PathBuf),
}

/// The files of the last recorded load, whose signature and digest were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCopy {
    /// The registry's digest, which the files have.
    pub registry: Digest,
    /// The files.
    pub files: RegistryFiles,
}

/// Seals the files of a state directory.
#[derive(Clone)]
pub struct Sealer {
    state_dir: PathBuf,
    signer: Arc<dyn Signer>,
    key: VerifierKey,
}

impl Sealer {
    /// Below `state_dir`, signed with the log's `signer`, whose public half is `key`.
    pub const fn new(state_dir: PathBuf, signer: Arc<dyn Signer>, key: VerifierKey) -> Self {
        Self { state_dir, signer, key }
    }

    /// [`prepare`], unless the copy in force is this one.
    ///
    /// # Errors
    /// [`SealedError`]; then the load must not take effect.
    pub fn prepare(&self, files: &RegistryFiles) -> Result<Prepared, SealedError> {
        if open(&self.state_dir, &self.key, None).is_ok_and(|copy| copy.registry == files.digest()) {
            return Ok(Prepared { fresh: false });
        }
        prepare(&self.state_dir, files, &*self.signer)?;
        Ok(Prepared { fresh: true })
    }

    /// [`commit`], if there is something to be put in force.
    ///
    /// # Errors
    /// [`SealedError`]. The copy is found by the log's digest all the same.
    pub fn commit(&self, prepared: &Prepared) -> Result<(), SealedError> {
        if prepared.fresh { commit(&self.state_dir) } else { Ok(()) }
    }
}

/// What [`Sealer::prepare`] did.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    fresh: bool,
}

/// Writes the copy beside the one in force. It counts once [`commit`] was called, or the log has its digest.
/// Blocking; the files are 64 MiB at most.
///
/// # Errors
/// [`SealedError`]; then the load must not take effect.
pub fn prepare(state_dir: &Path, files: &RegistryFiles, signer: &dyn Signer) -> Result<(), SealedError> {
    let dir = state_dir.join(DIRECTORY);
    make(&dir)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(files.digest().as_bytes());
    bytes.extend_from_slice(&files.encode());
    let signature = signer.sign(&signed(&bytes))?;
    bytes.extend_from_slice(&signature);
    let draft = dir.join("draft");
    remove(&draft)?;
    write_new(&draft, &bytes)?;
    rename(&draft, &dir.join(NEXT))?;
    Ok(sync_dir(&dir)?)
}

/// Puts the prepared copy in force: its load is in the log.
///
/// # Errors
/// [`SealedError`]. The copy is found by the log's digest all the same.
pub fn commit(state_dir: &Path) -> Result<(), SealedError> {
    let dir = state_dir.join(DIRECTORY);
    rename(&dir.join(NEXT), &dir.join(CURRENT))?;
    Ok(sync_dir(&dir)?)
}

/// The copy of the last recorded load. `recorded` is the digest of the log's last `load` entry; without it, when the
/// log can't be read, the copy that was put in force last counts.
///
/// # Errors
/// [`SealedError`]: missing, torn, edited, or of another load.
pub fn open(
    state_dir: &Path,
    key: &VerifierKey,
    recorded: Option<Digest>,
) -> Result<SealedCopy, SealedError> {
    let dir = state_dir.join(DIRECTORY);
    let fits = |copy: &SealedCopy| recorded.is_none_or(|recorded| copy.registry == recorded);
    let current = read(&dir.join(CURRENT), key);
    if let Ok(copy) = &current
        && fits(copy)
    {
        return current;
    }
    // A crash came between the record and the change of names.
    if let (Some(_), Ok(next)) = (recorded, read(&dir.join(NEXT), key))
        && fits(&next)
    {
        return Ok(next);
    }
    let found = current?.registry;
    Err(SealedError::Other { expected: recorded.unwrap_or(found), found })
}

fn read(path: &Path, key: &VerifierKey) -> Result<SealedCopy, SealedError> {
    let damaged = || SealedError::Damaged(path.to_owned());
    let bytes = match read_private_up_to(path, SEALED_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(KeyStoreError::Io(path, source)) if source.kind() == io::ErrorKind::NotFound => {
            return Err(SealedError::Missing(path));
        }
        Err(error) => return Err(error.into()),
    };
    let (body, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or_else(damaged)?;
    let verifying = UnparsedPublicKey::new(&ED25519, key.key);
    verifying.verify(&signed(body), signature).map_err(|_| damaged())?;
    let rest = body.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (digest, encoded) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    let files = RegistryFiles::decode(encoded).map_err(|_| damaged())?;
    let registry = Digest::from_bytes(*digest);
    if files.digest() == registry { Ok(SealedCopy { registry, files }) } else { Err(damaged()) }
}

/// What is signed: the beginning that tells it apart, and the digest of it all.
fn signed(body: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), Digest::of(body).as_bytes()].concat()
}

/// The directory, the owner's alone.
fn make(dir: &Path) -> Result<(), SealedError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |error| KeyStoreError::Io(dir.to_owned(), error);
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => dir.parent().map_or(Ok(()), sync_dir)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            private(dir, &fs::symlink_metadata(dir).map_err(failed)?, 0o700)?;
        }
        Err(error) => return Err(failed(error).into()),
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), SealedError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(KeyStoreError::Io(path.to_owned(), error).into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), SealedError> {
    fs::rename(from, to).map_err(|error| KeyStoreError::Io(to.to_owned(), error).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::domain::registry_files::RegistryFile;
    use crate::domain::signer::Algorithm;

    struct Scene {
        dir: tempfile::TempDir,
        signer: Arc<dyn Signer>,
        key: VerifierKey,
    }

    impl Scene {
        fn new() -> Self {
            let signer = crate::signer::fixture::signer(Algorithm::Ed25519);
            let key = VerifierKey::new("example.org/log".to_owned(), signer.public_key().try_into().unwrap());
            Self { dir: tempfile::tempdir().unwrap(), signer, key }
        }

        fn seal(&self, text: &str) -> Digest {
            self.prepare(text);
            commit(self.dir.path()).unwrap();
            files(text).digest()
        }

        fn prepare(&self, text: &str) {
            prepare(self.dir.path(), &files(text), &*self.signer).unwrap();
        }

        fn open(&self, recorded: Option<Digest>) -> Result<RegistryFiles, SealedError> {
            open(self.dir.path(), &self.key, recorded).map(|sealed| sealed.files)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(DIRECTORY).join(name)
        }
    }

    fn files(text: &str) -> RegistryFiles {
        RegistryFiles(vec![RegistryFile { name: "operators.toml".to_owned(), text: text.to_owned() }])
    }

    #[test]
    fn the_copy_of_the_last_recorded_load_is_found_whenever_a_crash_comes() {
        let scene = Scene::new();
        assert!(matches!(scene.open(None), Err(SealedError::Missing(_))));
        let first = scene.seal("one");
        assert_eq!(scene.open(None).unwrap(), files("one"));
        assert_eq!(scene.open(Some(first)).unwrap(), files("one"));
        // Before the second load is recorded, the first is the last.
        scene.prepare("two");
        assert_eq!(scene.open(Some(first)).unwrap(), files("one"));
        // After, the second is, although its name has not changed yet.
        assert_eq!(scene.open(Some(files("two").digest())).unwrap(), files("two"));
        assert_eq!(scene.open(None).unwrap(), files("one"), "without the log, what was put in force");
        commit(scene.dir.path()).unwrap();
        assert_eq!(scene.open(Some(files("two").digest())).unwrap(), files("two"));
        let other = scene.open(Some(first));
        assert!(matches!(other, Err(SealedError::Other { .. })), "an old copy put back is refused");
        // A crash while the next one was written leaves a draft, which is nobody's.
        fs::write(scene.path("draft"), b"half").unwrap();
        scene.seal("three");
        assert_eq!(scene.open(None).unwrap(), files("three"));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_refused() {
        let scene = Scene::new();
        let digest = scene.seal("one");
        let good = fs::read(scene.path(CURRENT)).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            fs::write(scene.path(CURRENT), &bytes).unwrap();
            assert!(matches!(scene.open(Some(digest)), Err(SealedError::Damaged(_))), "bit at {at}");
            fs::write(scene.path(CURRENT), &good[..at]).unwrap();
            assert!(matches!(scene.open(None), Err(SealedError::Damaged(_))), "cut at {at}");
        }
        fs::write(scene.path(CURRENT), [good.as_slice(), b"x"].concat()).unwrap();
        assert!(matches!(scene.open(None), Err(SealedError::Damaged(_))));
        fs::write(scene.path(CURRENT), &good).unwrap();
        assert!(scene.open(None).is_ok());
    }

    #[test]
    fn a_copy_that_others_can_write_or_another_key_signed_is_refused() {
        let scene = Scene::new();
        scene.seal("one");
        let path = scene.path(CURRENT);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(scene.open(None), Err(SealedError::File(KeyStoreError::Exposed { .. }))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let stranger = VerifierKey::new("example.org/log".to_owned(), [7; 32]);
        assert!(matches!(open(scene.dir.path(), &stranger, None), Err(SealedError::Damaged(_))));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(scene.path("elsewhere"), &path).unwrap();
        assert!(scene.open(None).is_err(), "a link is not followed");
    }
}
