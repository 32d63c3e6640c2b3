//! Key stores on a real file system: made, opened, swapped, exposed.

use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::domain::limits::KEY_FILE_BYTES_MAX;
use crate::signer::fixture::{NOW, trust_domain};

const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

fn identity() -> Identity {
    Identity { trust_domain: trust_domain(), token_algorithm: Algorithm::Es256 }
}

fn made(passphrase: Option<&Passphrase>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    KeyStore::create_at(dir.path(), &identity(), passphrase, NOW, CHEAP).unwrap();
    dir
}

fn open(dir: &Path, passphrase: Option<&Passphrase>) -> Result<Keys, KeyStoreError> {
    KeyStore::open(dir, &trust_domain(), passphrase)
}

#[test]
fn what_was_made_opens_and_leaves_nothing_else_behind() {
    let dir = made(None);
    let keys = open(dir.path(), None).unwrap();
    let text = fs::read_to_string(dir.path().join(LOG_PUB)).unwrap();
    assert_eq!(VerifierKey::parse(&text), Ok(keys.verifier_key().clone()));
    assert_eq!(keys.verifier_key().name, "example.org/log");
    assert_ne!(keys.action_ca().signer().kid(), keys.identity_ca().signer().kid());
    let names = |path: &Path| {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(dir.path()), ["keys", "log.pub"]);
    assert_eq!(names(&dir.path().join(KEYS)).len(), 9);
    for name in names(&dir.path().join(KEYS)) {
        let mode = fs::metadata(dir.path().join(KEYS).join(&name)).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(dir.path().join(KEYS)).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn keys_are_never_overwritten() {
    let dir = made(None);
    let before = fs::read(dir.path().join("keys/token.key")).unwrap();
    let again = KeyStore::create_at(dir.path(), &identity(), None, NOW, CHEAP);
    assert!(matches!(again, Err(KeyStoreError::AlreadyExists(_))));
    assert_eq!(fs::read(dir.path().join("keys/token.key")).unwrap(), before);
    // A race that is lost at the rename leaves no draft.
    let draft = Draft::begin(dir.path()).unwrap();
    let path = draft.path.clone();
    let lost = draft.commit(&dir.path().join(KEYS));
    assert!(matches!(lost, Err(KeyStoreError::AlreadyExists(_))));
    assert!(!path.exists());
}

#[test]
fn a_key_that_others_can_read_is_not_opened() {
    for (path, mode) in [
        ("keys/token.key", 0o640),
        ("keys/token.key", 0o604),
        ("keys/log.key", 0o620),
        ("keys/action-ca.pem", 0o622),
        ("keys", 0o750),
    ] {
        let dir = made(None);
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        let error = open(dir.path(), None).unwrap_err();
        assert!(matches!(error, KeyStoreError::Exposed { found, .. } if found == mode), "{path}: {error}");
    }
}

#[test]
fn a_link_in_the_place_of_a_key_is_not_followed() {
    let dir = made(None);
    let key = dir.path().join("keys/token.key");
    fs::rename(&key, dir.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &key).unwrap();
    assert!(matches!(open(dir.path(), None), Err(KeyStoreError::Io(_, _))));
}

#[test]
fn files_can_not_be_swapped() {
    for (one, other) in [("token.key", "action-ca.key"), ("action-ca.pem", "identity-ca.pem")] {
        let dir = made(None);
        let keys = dir.path().join(KEYS);
        fs::rename(keys.join(one), keys.join("aside")).unwrap();
        fs::rename(keys.join(other), keys.join(one)).unwrap();
        fs::rename(keys.join("aside"), keys.join(other)).unwrap();
        assert!(open(dir.path(), None).is_err(), "{one}");
    }
}

#[test]
fn a_passphrase_protects_every_private_key() {
    let passphrase = Passphrase::new(b"correct horse".to_vec()).unwrap();
    let wrong = Passphrase::new(b"battery staple".to_vec()).unwrap();
    let dir = made(Some(&passphrase));
    assert!(open(dir.path(), Some(&passphrase)).is_ok());
    let error = |with| match open(dir.path(), with) {
        Err(KeyStoreError::Container(_, error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error(Some(&wrong)), BadContainer::WrongPassphrase);
    assert_eq!(error(None), BadContainer::NeedsPassphrase);
    let plain = made(None);
    fs::copy(plain.path().join("keys/token.key"), dir.path().join("keys/token.key")).unwrap();
    assert_eq!(error(Some(&passphrase)), BadContainer::NotEncrypted);
}

#[test]
fn the_keys_of_another_trust_domain_are_refused() {
    let dir = made(None);
    let other = KeyStore::open(dir.path(), &"example.net".parse().unwrap(), None);
    assert!(matches!(other, Err(KeyStoreError::Ca(_, BadCa::Role))));
}

#[test]
fn an_authority_that_the_root_did_not_sign_is_refused() {
    let (dir, other) = (made(None), made(None));
    fs::copy(other.path().join("keys/root-ca.pem"), dir.path().join("keys/root-ca.pem")).unwrap();
    assert!(matches!(open(dir.path(), None), Err(KeyStoreError::Ca(_, BadCa::Signature))));
}

#[test]
fn a_file_longer_than_a_key_is_not_read() {
    let dir = made(None);
    let path = dir.path().join("keys/token.key");
    let size = |bytes: u64| File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
    size(KEY_FILE_BYTES_MAX + 1);
    assert!(matches!(open(dir.path(), None), Err(KeyStoreError::TooLong(_))));
    size(KEY_FILE_BYTES_MAX);
    assert!(matches!(open(dir.path(), None), Err(KeyStoreError::Key(_, _))));
}
