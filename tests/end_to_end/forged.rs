//! Who has a key of the broker: what it can sign, and what ends it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotwork::signer::keystore::KeyStore;
use serde_json::Value;

use crate::support::{Daemon, code, text};

fn dev() -> (tempfile::TempDir, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    (dir, daemon)
}

fn issue(daemon: &Daemon) -> String {
    let issued = daemon.json(&["issue", "demo.read", "--resource", "demo/hello", "--ttl", "10m"]);
    issued["token"].as_str().unwrap().to_owned()
}

fn part(token: &str, at: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn verified(daemon: &Daemon, token: &str) -> i32 {
    let file = daemon.state.join("shown");
    std::fs::write(&file, token).unwrap();
    code(&daemon.hotwork(&["credential", "verify", file.to_str().unwrap()]))
}

/// The same token for another resource, signed with the broker's own key.
fn forged(daemon: &Daemon, token: &str) -> String {
    let domain = "dev.hotwork.example".parse().unwrap();
    let keys = KeyStore::open(&daemon.state, &domain, None).unwrap();
    let signer = keys.token();
    let claims = part(token, 1).to_string().replace("demo/hello", "demo/other");
    let head = token.split('.').next().unwrap();
    let input = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(input.as_bytes()).unwrap());
    format!("{input}.{signature}")
}

#[test]
fn another_credential_under_the_id_of_a_live_one_is_not_live() {
    let (_dir, daemon) = dev();
    let token = issue(&daemon);
    assert_eq!(verified(&daemon, &token), 0);
    assert_eq!(
        verified(&daemon, &forged(&daemon, &token)),
        6,
        "the signature is right, the record is another"
    );
    assert_eq!(verified(&daemon, &token), 0);
}

#[test]
fn a_token_of_the_window_before_a_rotation_ends_with_the_key_that_signed_it() {
    let (_dir, daemon) = dev();
    // The next key is published and does not sign yet.
    let next = daemon.json(&["keys", "rotate", "token"])["key"]["kid"].as_str().unwrap().to_owned();
    let token = issue(&daemon);
    let signed_by = part(&token, 0)["kid"].as_str().unwrap().to_owned();
    assert_ne!(signed_by, next);
    for (kid, expected) in [(&next, 0), (&signed_by, 6)] {
        let revoked = daemon.hotwork(&["revoke", "--key", kid, "--reason", "leaked", "--yes"]);
        assert!(revoked.status.success(), "{}", text(&revoked));
        assert_eq!(verified(&daemon, &token), expected, "{kid}");
    }
}
