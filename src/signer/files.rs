//! Files that hold secrets: opened only when nobody else can read them, written whole and synced.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::container::KeyUse;
use super::key::BadKey;
use super::keystore::KeyStoreError;
use crate::domain::limits::KEY_FILE_BYTES_MAX;

pub(super) fn random<const N: usize>() -> Result<[u8; N], KeyStoreError> {
    let mut bytes = [0; N];
    let failed = |_| KeyStoreError::Key(PathBuf::from("getrandom"), BadKey::NoRandomness);
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Reads a file that nobody else can read. The checks are of the opened file, and a link is not followed.
pub(super) fn read_private(path: &Path) -> Result<Vec<u8>, KeyStoreError> {
    // Room at once, so that growing leaves no copy behind.
    let bytes = Vec::with_capacity(usize::try_from(KEY_FILE_BYTES_MAX + 1).unwrap_or(0));
    read_into(path, KEY_FILE_BYTES_MAX, bytes)
}

/// The same for a file that is no key, of at most `most` bytes.
pub(super) fn read_private_up_to(path: &Path, most: u64) -> Result<Vec<u8>, KeyStoreError> {
    read_into(path, most, Vec::new())
}

fn read_into(path: &Path, most: u64, mut bytes: Vec<u8>) -> Result<Vec<u8>, KeyStoreError> {
    let failed = |error| KeyStoreError::Io(path.to_owned(), error);
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(libc::O_NOFOLLOW);
    let mut file = OpenOptions::new().read(true).custom_flags(nofollow).open(path).map_err(failed)?;
    private(path, &file.metadata().map_err(failed)?, 0o600)?;
    (&mut file).take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    let long = u64::try_from(bytes.len()).is_ok_and(|read| read > most);
    if long { Err(KeyStoreError::TooLong(path.to_owned())) } else { Ok(bytes) }
}

pub(super) fn private(path: &Path, found: &fs::Metadata, expected: u32) -> Result<(), KeyStoreError> {
    let mode = found.mode() & 0o7777;
    if mode & !expected == 0 && found.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(KeyStoreError::Exposed { path: path.to_owned(), found: mode, expected, owner: found.uid() })
}

/// Writes a new file, synced.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), KeyStoreError> {
    let failed = |error| KeyStoreError::Io(path.to_owned(), error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// Puts a public file in place of whatever was there, at once.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyStoreError> {
    let failed = |error| KeyStoreError::Io(path.to_owned(), error);
    let draft = path.with_extension(format!("new-{}", hex::encode(random::<8>()?)));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(&draft).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&draft, path).map_err(failed)
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), KeyStoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| KeyStoreError::Io(dir.to_owned(), error))
}

/// Where the key of a use is.
pub(super) fn key_path(keys: &Path, usage: KeyUse) -> PathBuf {
    keys.join(format!("{}.key", usage.as_str()))
}

/// Where the CRL of an authority is whose key is not at hand.
pub(super) fn crl_path(keys: &Path, usage: KeyUse) -> PathBuf {
    keys.join(format!("{}.crl", usage.as_str()))
}

/// Where the certificate of an authority is.
pub(super) fn certificate_path(keys: &Path, usage: KeyUse) -> PathBuf {
    keys.join(format!("{}.pem", usage.as_str()))
}
