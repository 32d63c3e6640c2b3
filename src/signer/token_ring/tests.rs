//! Each step of a rotation, with a crash after it: what the next start finds.

use std::path::PathBuf;

use super::*;
use crate::signer::fixture::{NOW, trust_domain};
use crate::signer::keystore::{Identity, KeyStore, Keys};
use crate::signer::secret::Passphrase;

struct Store {
    dir: tempfile::TempDir,
    passphrase: Option<Passphrase>,
}

impl Store {
    fn new(passphrase: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = passphrase.map(|text| Passphrase::new(text.as_bytes().to_vec()).unwrap());
        let identity = Identity { trust_domain: trust_domain(), token_algorithm: Algorithm::Es256 };
        KeyStore::create(dir.path(), &identity, passphrase.as_ref(), NOW).unwrap();
        Self { dir, passphrase }
    }

    /// As a start does.
    fn open(&self) -> Keys {
        KeyStore::open(self.dir.path(), &trust_domain(), self.passphrase.as_ref()).unwrap()
    }

    fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.keys()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("token")).collect();
        names.sort();
        names
    }
}

fn kids(keys: &Keys) -> Vec<String> {
    keys.token_ring().keys().all().map(|key| key.kid().to_owned()).collect()
}

fn later(seconds: i64) -> Timestamp {
    NOW.plus_millis(seconds * 1000)
}

#[test]
fn a_rotation_is_there_after_a_restart_and_its_old_key_goes_in_time() {
    for passphrase in [None, Some("correct horse")] {
        let store = Store::new(passphrase);
        let keys = store.open();
        let old = kids(&keys).remove(0);
        let ring = keys.token_ring();
        let new = ring.draft(3).unwrap().kid;
        assert_eq!(kids(&keys).len(), 1, "a draft is not in force");
        ring.commit(later(600)).unwrap();
        assert_eq!(kids(&keys), [old.clone(), new.clone()]);
        assert_eq!(kids(&store.open()), [old.clone(), new.clone()]);
        assert_eq!(ring.keys().signing(later(599)).kid(), old);
        assert_eq!(ring.keys().signing(later(600)).kid(), new);
        assert_eq!(ring.drop_ended(later(1_599)).unwrap(), Vec::<String>::new());
        let before = fs::read(store.keys().join("token.key")).unwrap();
        assert!(!before.is_empty());
        assert_eq!(ring.drop_ended(later(1_600)).unwrap(), [old]);
        assert_eq!(store.files(), [format!("token-{new}.key"), "token.keys".to_owned()]);
        assert_eq!(kids(&store.open()), [new]);
    }
}

#[test]
fn a_crash_after_the_draft_leaves_it_for_the_record_to_decide() {
    let store = Store::new(None);
    let draft = store.open().token_ring().draft(7).unwrap();
    let keys = store.open();
    assert_eq!(keys.token_ring().draft_left(), Some(draft.clone()));
    assert_eq!(kids(&keys).len(), 1);
    // Recorded: it is put in force, with the key that was drafted.
    keys.token_ring().commit(later(0)).unwrap();
    assert_eq!(keys.token_ring().keys().signing(later(1)).kid(), draft.kid);
    assert_eq!(kids(&store.open()).len(), 2);
    // Not recorded: it is erased.
    let other = keys.token_ring().draft(9).unwrap();
    let keys = store.open();
    keys.token_ring().discard().unwrap();
    assert!(!store.files().contains(&format!("token-{}.key", other.kid)));
    assert_eq!((keys.token_ring().draft_left(), store.open().token_ring().draft_left()), (None, None));
}

#[test]
fn what_a_crash_left_without_a_line_is_erased() {
    let store = Store::new(None);
    let stray = store.keys().join("token-stray.key");
    fs::copy(store.keys().join("token.key"), &stray).unwrap();
    fs::write(store.keys().join("token.keys.new-0011"), "{").unwrap();
    let keys = store.open();
    assert_eq!((kids(&keys).len(), store.files()), (1, vec!["token.key".to_owned()]));
    // A drop whose list was written and whose file was not yet erased.
    let ring = keys.token_ring();
    ring.draft(0).unwrap();
    ring.commit(later(0)).unwrap();
    let kept = fs::read(store.keys().join("token.key")).unwrap();
    ring.drop_ended(later(5_000)).unwrap();
    fs::write(store.keys().join("token.key"), kept).unwrap();
    fs::set_permissions(store.keys().join("token.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    assert_eq!(kids(&store.open()).len(), 1);
    assert!(!store.files().contains(&"token.key".to_owned()));
}

#[test]
fn keys_are_bounded_and_one_draft_stands_at_a_time() {
    let store = Store::new(None);
    let keys = store.open();
    let ring = keys.token_ring();
    for at in 1..TOKEN_KEYS_MAX {
        ring.draft(0).unwrap();
        assert!(matches!(ring.draft(0), Err(KeyStoreError::TooManyKeys)));
        ring.commit(later(i64::try_from(at).unwrap())).unwrap();
    }
    assert!(matches!(ring.draft(0), Err(KeyStoreError::TooManyKeys)));
}

#[test]
fn a_list_that_leads_elsewhere_or_is_none_is_refused() {
    for text in [
        "",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"file":"log.key","use_at":0}]}"#,
        r#"{"keys":[{"file":"token-../../x.key","use_at":0}]}"#,
        r#"{"keys":[{"file":"token.key","use_at":0}],"more":1}"#,
    ] {
        let store = Store::new(None);
        write_new(&store.keys().join("token.keys"), text.as_bytes()).unwrap();
        let opened = KeyStore::open(store.dir.path(), &trust_domain(), None);
        assert!(matches!(opened, Err(KeyStoreError::List(_))), "{text}: {opened:?}");
    }
}
