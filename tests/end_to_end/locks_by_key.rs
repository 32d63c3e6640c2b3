//! A lock that names a signing key refuses what that key would sign, and nothing that another one signs.

use crate::support::{Daemon, code, part};

fn lock(daemon: &Daemon, kid: &str) -> String {
    let line = ["lock", "create", "--key", kid, "--ttl", "10m", "--message", "incident 42"];
    let output = daemon.hotwork(&[&line[..], &["-o", "name"]].concat());
    assert!(output.status.success(), "{}", crate::support::text(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The key that signed a new token, or the reason that there is none.
fn token(daemon: &Daemon) -> Result<String, serde_json::Value> {
    let output = daemon.hotwork(&["issue", "demo.read", "--resource", "demo/hello", "-o", "json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    if code(&output) != 0 {
        return Err(answer);
    }
    Ok(part(answer["token"].as_str().unwrap(), 0)["kid"].as_str().unwrap().to_owned())
}

#[test]
fn a_lock_by_key_refuses_what_the_key_would_sign_and_is_asked_of_the_key_that_signs_now() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let first = token(&daemon).unwrap();
    let held = lock(&daemon, &first);
    let refused = token(&daemon).unwrap_err();
    assert_eq!(refused["reason"], "locked", "{refused}");
    assert!(refused.to_string().contains("incident 42"), "{refused}");
    // The decision itself says no, with its entry in the log: nothing was signed for it.
    let decision = refused["decisionId"].as_str().unwrap_or_default();
    let explained = daemon.json(&["explain", decision]);
    assert_eq!((&explained["reason"], &explained["effect"]), (&"locked".into(), &"EFFECT_DENY".into()));
    // Certificates are signed by another key.
    let certificate = dir.path().join("certificate");
    let line = ["issue", "demo.read", "--resource", "demo/hello", "--kind", "cert", "--out"];
    daemon.json(&[&line[..], &[certificate.to_str().unwrap()]].concat());

    // The key that signs from now on is named by no lock; the old lock stays with the old key.
    let second =
        daemon.json(&["keys", "rotate", "token", "--now"])["key"]["kid"].as_str().unwrap().to_owned();
    assert_ne!(second, first);
    assert_eq!(token(&daemon), Ok(second.clone()));
    let newer = lock(&daemon, &second);
    assert_eq!(token(&daemon).unwrap_err()["reason"], "locked");
    for (lock, passes) in [(held, false), (newer, true)] {
        assert_eq!(code(&daemon.hotwork(&["lock", "rm", &lock])), 0);
        assert_eq!(token(&daemon).is_ok(), passes, "{lock}");
    }
}
