//! Who has a key of the broker: what it can sign, and what ends it.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotwork::clock::SystemClock;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::id::CredentialId;
use hotwork::domain::name::Issuer;
use hotwork::domain::signer::Signer;
use hotwork::signer::jwk::parse_jwks;
use hotwork::signer::keystore::KeyStore;
use hotwork::signer::verify::{Moment, Trust};
use hotwork::verify::{Authority, Followed, Standing as _, Status, WhenLost};

use crate::support::{Daemon, channel, claims, code, eventually, http, part, text};

fn dev() -> (tempfile::TempDir, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    (dir, daemon)
}

fn issue(daemon: &Daemon) -> String {
    let issued = daemon.json(&["issue", "demo.read", "--resource", "demo/hello", "--ttl", "10m"]);
    issued["token"].as_str().unwrap().to_owned()
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

/// A token by the key in this file of the state, minted `later` seconds from now as it says, under another id.
fn forged_later(key: &Path, token: &str, later: i64) -> String {
    let signer = read_key(key);
    let mut claims = part(token, 1);
    for name in ["iat", "nbf", "exp"] {
        claims[name] = (claims[name].as_i64().unwrap() + later).into();
    }
    let now = SystemClock::new().now().unwrap().plus_millis(later * 1000);
    claims["jti"] = CredentialId::new(now, &[7; 10]).to_string().into();
    let head = token.split('.').next().unwrap();
    let input = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signer.sign(input.as_bytes()).unwrap()))
}

/// The key of a state without a passphrase.
fn read_key(state: &Path) -> Arc<dyn Signer> {
    let domain = "dev.hotwork.example".parse().unwrap();
    KeyStore::open(state, &domain, None).unwrap().token()
}

fn kid(token: &str) -> String {
    part(token, 0)["kid"].as_str().unwrap().to_owned()
}

fn jwks(daemon: &Daemon) -> String {
    http(&daemon.env["HOTWORK_HTTP"], "GET", "/jwks.json").1
}

/// What a follower of the feed says of a token, with the keys that it knew at its start.
fn follows(feed: &Followed, trust: &Trust, token: &str) -> Status {
    let now = SystemClock::new().now().unwrap();
    let moment = Moment { now, leeway_seconds: 30 };
    let authority: Authority = trust.token(token, moment).unwrap().into();
    feed.standing(&authority, now)
}

#[test]
fn a_succeeded_key_that_is_revoked_ends_for_good_also_for_what_a_thief_signs_with_a_later_time() {
    let (dir, daemon) = dev();
    let token = issue(&daemon);
    // A thief has the key before it is succeeded.
    let stolen = dir.path().join("stolen");
    copy(&daemon.state.join("keys"), &stolen.join("keys"));
    let keys = parse_jwks(&jwks(&daemon)).unwrap();
    let issuer: Issuer = claims(&token)["iss"].as_str().unwrap().parse().unwrap();
    let trust = Trust::new(issuer, keys, None);
    let state = daemon.state.clone();
    let feed = Arc::new(Followed::new(60, WhenLost::Strict));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let socket = daemon.env["HOTWORK_ADMIN_ENDPOINT"].strip_prefix("unix://").unwrap().to_owned();
    let followed = Arc::clone(&feed);
    runtime.spawn(async move {
        let channel = channel(&socket).await;
        hotwork::feed::follow(channel, followed, Arc::new(SystemClock::new()), "a-test").await;
    });
    let key = daemon.json(&["keys", "rotate", "token", "--now"])["key"]["kid"].as_str().unwrap().to_owned();
    assert_ne!(kid(&token), key);
    let after = issue(&daemon);
    assert_eq!(kid(&after), key);
    eventually("the follower has begun", || follows(&feed, &trust, &token) == Status::Live);
    assert!(jwks(&daemon).contains(&kid(&token)));

    // What signs is ended up to now, and goes on.
    let revoked = daemon.json(&["revoke", "--key", &key, "--reason", "leaked", "--yes"]);
    assert_ne!(revoked["keyEndedForGood"], true, "{revoked}");
    assert_eq!(verified(&daemon, &issue(&daemon)), 0);
    // The one before it ends for good.
    let before = dir.path().join("before");
    copy(&daemon.state.join("keys"), &before);
    let revoked = daemon.json(&["revoke", "--key", &kid(&token), "--reason", "leaked", "--yes"]);
    assert_eq!(revoked["keyEndedForGood"], true, "{revoked}");
    assert_eq!(verified(&daemon, &token), 6);
    assert!(!jwks(&daemon).contains(&kid(&token)) && jwks(&daemon).contains(&key));
    let late = forged_later(&stolen, &token, 20);
    assert_eq!(verified(&daemon, &late), 6);
    eventually("the follower has heard", || follows(&feed, &trust, &token) == Status::Ended);
    assert_eq!(follows(&feed, &trust, &late), Status::Ended, "also under a key that it still trusts");
    let private = |state: &Path| {
        let names = std::fs::read_dir(state.join("keys")).unwrap();
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert!(!private(&state).contains(&"token.key".to_owned()), "it is erased");
    daemon.kill_nine();

    // A crash between the record and the keys: they are as they were before.
    copy(&before, &state.join("keys"));
    let daemon = Daemon::dev(&state);
    assert!(!jwks(&daemon).contains(&kid(&token)) && jwks(&daemon).contains(&key), "{}", jwks(&daemon));
    assert_eq!(verified(&daemon, &late), 6);
    assert!(!private(&state).contains(&"token.key".to_owned()));
    assert_eq!(kid(&issue(&daemon)), key);
}

/// Copies a folder of keys, which only its owner may read.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
