//! Statements signed with real SSH keys by the real `ssh-keygen`, and everything that must not count as one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test stops at what it did not expect"
)]

#[path = "end_to_end/security_key.rs"]
mod security_key;
#[path = "end_to_end/signing.rs"]
mod signing;

use hotwork::domain::operator::{Operator, Role};
use hotwork::domain::ssh_key::NotAKey;
use hotwork::domain::statement::Namespace;
use hotwork::ssh::{BadSignature, SignedBy, verify};
use ring::signature::KeyPair as _;
use security_key::SecurityKey;
use signing::{KeyPair, armored, opened, string, strings};

const TEXT: &str = "hotwork approval v1\ntrust-domain: example.org\ndecision: approve\n";
const SPACE: &str = "hotwork-approval";

fn operator(name: &str, keys: &[String]) -> Operator {
    Operator {
        name: name.parse().unwrap(),
        uid: None,
        roles: vec![Role::Approver],
        tenants: Vec::new(),
        ssh_keys: keys.iter().map(|key| key.parse().unwrap()).collect(),
        own: Vec::new(),
        aliases: Vec::new(),
    }
}

fn check(armored: &str, operators: &[Operator]) -> Result<SignedBy, BadSignature> {
    verify(Namespace::Approval, TEXT.as_bytes(), armored, operators)
}

#[test]
fn each_kind_of_key_shows_its_operator() {
    let dir = tempfile::tempdir().unwrap();
    for kind in [&["ed25519"][..], &["ecdsa", "-b", "256"], &["ecdsa", "-b", "384"]] {
        let name = kind.concat();
        let key = KeyPair::new(dir.path(), &name, kind);
        let other = KeyPair::ed25519(dir.path(), &format!("other-{name}"));
        let operators = [
            operator("bob", &[other.public()]),
            operator("alice", &[other_than(dir.path(), &name), key.public()]),
        ];
        // Twenty signatures: the numbers of ECDSA have leading zeros now and then.
        for _ in 0..20 {
            let signed = check(&key.sign(SPACE, TEXT), &operators).unwrap();
            assert_eq!(signed.operator().as_str(), "alice");
            assert!(signed.fingerprint().as_str().starts_with("SHA256:"));
        }
        assert!(check(&key.sign_with(SPACE, TEXT, &["-O", "hashalg=sha256"]), &operators).is_ok());
    }
}

fn other_than(dir: &std::path::Path, name: &str) -> String {
    KeyPair::ed25519(dir, &format!("second-{name}")).public()
}

#[test]
fn a_signature_for_something_else_or_of_somebody_else_counts_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (key, stranger) = (KeyPair::ed25519(dir.path(), "alice"), KeyPair::ed25519(dir.path(), "mallory"));
    let alice = [operator("alice", &[key.public()])];
    let good = key.sign(SPACE, TEXT);
    assert!(check(&good, &alice).is_ok());

    for namespace in ["hotwork-break-glass", "git", "hotwork-approva", "hotwork-approval2"] {
        let found = check(&key.sign(namespace, TEXT), &alice);
        assert_eq!(found, Err(BadSignature::Namespace("hotwork-approval")), "{namespace}");
    }
    let edited = verify(Namespace::Approval, TEXT.replace("approve", "deny").as_bytes(), &good, &alice);
    assert_eq!(edited, Err(BadSignature::Forged));
    let fingerprint = |found: &Result<SignedBy, BadSignature>| match found {
        Err(BadSignature::Unregistered(key) | BadSignature::Shared(key)) => key.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(fingerprint(&check(&stranger.sign(SPACE, TEXT), &alice)).starts_with("SHA256:"));
    fingerprint(&check(&good, &[]));
    let shared = [operator("alice", &[key.public()]), operator("bob", &[key.public()])];
    fingerprint(&check(&good, &shared));
    let long = "x".repeat(16 * 1024 + 1);
    assert_eq!(verify(Namespace::Approval, long.as_bytes(), &good, &alice), Err(BadSignature::Text));
}

#[test]
fn rsa_and_weak_hashes_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let rsa = KeyPair::new(dir.path(), "rsa", &["rsa", "-b", "3072"]);
    assert_eq!(check(&rsa.sign(SPACE, TEXT), &[]), Err(BadSignature::Key(NotAKey::Type)));
    assert!(rsa.public().parse::<hotwork::domain::ssh_key::SshKey>().is_err());

    let key = KeyPair::ed25519(dir.path(), "alice");
    let alice = [operator("alice", &[key.public()])];
    let blob = opened(&key.sign(SPACE, TEXT));
    let at = blob.windows(6).position(|window| window == b"sha512").unwrap();
    let mut sha1 = blob.clone();
    sha1[at..at + 6].copy_from_slice(b"sha111");
    assert_eq!(check(&armored(&sha1), &alice), Err(BadSignature::Hash));
    // Said to be of the other hash: it is covered.
    let mut other = blob;
    other[at..at + 6].copy_from_slice(b"sha256");
    assert_eq!(check(&armored(&other), &alice), Err(BadSignature::Forged));
}

#[test]
fn no_changed_truncated_or_extended_signature_counts() {
    let dir = tempfile::tempdir().unwrap();
    for kind in [&["ed25519"][..], &["ecdsa", "-b", "256"]] {
        let key = KeyPair::new(dir.path(), &kind.concat(), kind);
        let alice = [operator("alice", &[key.public()])];
        let blob = opened(&key.sign(SPACE, TEXT));
        assert!(check(&armored(&blob), &alice).is_ok());
        for at in 0..blob.len() {
            assert!(check(&armored(&blob[..at]), &alice).is_err(), "cut at {at}");
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(check(&armored(&changed), &alice).is_err(), "changed at {at}");
        }
        assert_eq!(check(&armored(&[&blob[..], &[0]].concat()), &alice), Err(BadSignature::Form));
    }
}

#[test]
fn a_security_key_counts_when_somebody_touched_it() {
    for key in SecurityKey::both() {
        let alice = [operator("alice", &[key.public()])];
        let sign = |application: &str, flags| key.sign(SPACE, TEXT, application, flags);
        for flags in [0x01, 0x05, 0xc1] {
            assert_eq!(check(&sign("ssh:", flags), &alice).unwrap().operator().as_str(), "alice");
        }
        for flags in [0x00, 0x04] {
            assert_eq!(check(&sign("ssh:", flags), &alice), Err(BadSignature::Presence));
        }
        // Made to sign for a web site.
        assert_eq!(check(&sign("https://evil.example", 1), &alice), Err(BadSignature::Forged));
        let blob = opened(&sign("ssh:", 1));
        for at in 0..blob.len() {
            assert!(check(&armored(&blob[..at]), &alice).is_err(), "cut at {at}");
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(check(&armored(&changed), &alice).is_err(), "changed at {at}");
        }
    }
}

#[test]
fn a_security_keys_signature_is_none_of_its_plain_twin() {
    let [_, key] = SecurityKey::both();
    let SecurityKey::Ed25519(pair) = &key else { panic!() };
    // The same key registered as a plain one: types are part of the key.
    let plain = strings(&[b"ssh-ed25519", pair.public_key().as_ref()]);
    let registered =
        operator("alice", &[hotwork::domain::ssh_key::SshKey::from_blob(&plain).unwrap().to_string()]);
    assert!(matches!(
        check(&key.sign(SPACE, TEXT, "ssh:", 1), &[registered]),
        Err(BadSignature::Unregistered(_))
    ));
    assert_eq!(string(b"a"), [0, 0, 0, 1, b'a']);
}
