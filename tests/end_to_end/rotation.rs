//! Rotation of the token key with the real daemon: overlap, retries, restarts, and crashes in between.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotwork::clock::SystemClock;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::name::Issuer;
use hotwork::signer::jwk::parse_jwks;
use hotwork::signer::verify::{self, Moment};
use serde_json::Value;

use crate::support::{Daemon, claims, code, eventually, example, http, text};

fn dev() -> (tempfile::TempDir, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    (dir, daemon)
}

fn issue(daemon: &Daemon, more: &[&str]) -> String {
    let ask = ["issue", "demo.read", "--resource", "demo/hello", "--ttl", "10m"];
    daemon.json(&[&ask[..], more].concat())["token"].as_str().unwrap().to_owned()
}

fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// Whether a verifier that knows only the published keys accepts the token, and the broker too.
fn verifies(daemon: &Daemon, token: &str) -> bool {
    let keys = parse_jwks(&http(&daemon.env["HOTWORK_HTTP"], "GET", "/jwks.json").1).unwrap();
    let issuer: Issuer = claims(token)["iss"].as_str().unwrap().parse().unwrap();
    let moment = Moment { now: SystemClock::new().now().unwrap(), leeway_seconds: 30 };
    let offline = verify::token(token, &keys, &issuer, moment).is_ok();
    let file = daemon.state.join("token-to-verify");
    std::fs::write(&file, token).unwrap();
    offline && daemon.hotwork(&["credential", "verify", file.to_str().unwrap()]).status.success()
}

/// The token keys: id and state.
fn keys(daemon: &Daemon) -> Vec<(String, String)> {
    let listed = daemon.json(&["keys", "list"]);
    let tokens = listed["keys"].as_array().unwrap().iter().filter(|key| key["use"] == "token");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    tokens.map(|key| (text(&key["kid"]), text(&key["state"]))).collect()
}

fn rotate(daemon: &Daemon, more: &[&str]) -> String {
    let answer = daemon.json(&[&["keys", "rotate", "token"][..], more].concat());
    answer["key"]["kid"].as_str().unwrap().to_owned()
}

#[test]
fn tokens_of_both_keys_verify_during_the_overlap_also_over_a_restart() {
    let (dir, daemon) = dev();
    let old = issue(&daemon, &["--idempotency-key", "before"]);
    let new_kid = rotate(&daemon, &["--now"]);
    let new = issue(&daemon, &[]);
    assert_eq!(kid(&new), new_kid);
    assert_ne!(kid(&old), new_kid);
    assert!(verifies(&daemon, &old) && verifies(&daemon, &new));
    let states = [(kid(&old), "retiring".to_owned()), (new_kid.clone(), "signing".to_owned())];
    assert_eq!(keys(&daemon), states);
    // A retry gets the credential that there is, signed with the key that signed it.
    let again = issue(&daemon, &["--idempotency-key", "before"]);
    assert_eq!((claims(&again), kid(&again)), (claims(&old), kid(&old)));
    daemon.kill_nine();

    let daemon = Daemon::dev(&dir.path().join("state"));
    assert_eq!(keys(&daemon), states);
    assert!(verifies(&daemon, &old) && verifies(&daemon, &new) && verifies(&daemon, &again));
    let again = issue(&daemon, &["--idempotency-key", "before"]);
    assert_eq!((claims(&again), kid(&again)), (claims(&old), kid(&old)));
    assert_eq!(kid(&issue(&daemon, &[])), new_kid);
    let entries = daemon.json(&["audit", "tail", "-n", "100"]).to_string();
    assert_eq!(entries.matches("\\\"rotate\\\":").count(), 1, "{entries}");
}

#[test]
fn a_new_key_is_published_before_it_signs() {
    let dir = tempfile::tempdir().unwrap();
    let config = example("procurement", dir.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("key_publish_ahead = \"2s\"\n{text}")).unwrap();
    let daemon = Daemon::serve(&config, &dir.path().join("state"));
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let issue = || {
        let ask = ["issue", "pay.invoice.read", "--resource", "invoice/7", "--dpop-jkt", jkt];
        daemon.json(&ask)["token"].as_str().unwrap().to_owned()
    };
    let old = kid(&issue());
    let new = rotate(&daemon, &[]);
    let (_, jwks) = http(&daemon.env["HOTWORK_HTTP"], "GET", "/jwks.json");
    assert!(jwks.contains(&old) && jwks.contains(&new), "{jwks}");
    assert_eq!(kid(&issue()), old);
    assert_eq!(keys(&daemon)[1], (new.clone(), "published".to_owned()));
    eventually("the switch", || kid(&issue()) == new);
    assert!(keys(&daemon).contains(&(old, "retiring".to_owned())));
}

/// The keys that the log says were put in force.
fn recorded(daemon: &Daemon) -> BTreeSet<String> {
    let tail = daemon.json(&["audit", "tail", "-n", "1000"]);
    let entries = tail["entries"].as_array().unwrap().iter();
    let entries =
        entries.map(|entry| serde_json::from_str::<Value>(entry["json"].as_str().unwrap()).unwrap());
    entries.filter_map(|entry| Some(entry["event"]["rotate"]["kid"].as_str()?.to_owned())).collect()
}

#[test]
fn over_kill_nine_the_keys_in_force_are_exactly_those_that_the_log_records() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let daemon = Daemon::dev(&state);
    let first = keys(&daemon).remove(0).0;
    let mut tokens = vec![issue(&daemon, &[])];
    drop(daemon);
    for cycle in 0..12_u64 {
        let daemon = Daemon::dev(&state);
        let mut command = daemon.command(&["keys", "rotate", "token", "--now"]);
        let mut asked = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        // The moment of the kill varies over draft, record and use: a client takes some 10 ms to ask.
        std::thread::sleep(Duration::from_millis(8 + cycle * 5 % 30));
        daemon.kill_nine();
        let acknowledged = asked.wait().unwrap().success();

        let daemon = Daemon::dev(&state);
        let mut in_force: BTreeSet<String> = keys(&daemon).into_iter().map(|(kid, _)| kid).collect();
        assert!(in_force.remove(&first));
        assert_eq!(in_force, recorded(&daemon), "cycle {cycle}");
        tokens.push(issue(&daemon, &[]));
        for token in &tokens {
            assert!(verifies(&daemon, token), "cycle {cycle}, acknowledged: {acknowledged}");
        }
        let files = std::fs::read_dir(state.join("keys")).unwrap();
        let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let private = names.filter(|name| name.starts_with("token") && name.ends_with(".key")).count();
        assert_eq!(private, in_force.len() + 1, "no key is left behind");
        // As many keys as there may be: nothing more is to be seen.
        if in_force.len() == 7 {
            let refused = daemon.hotwork(&["keys", "rotate", "token", "--now"]);
            assert_eq!(code(&refused), 9, "{}", text(&refused));
            break;
        }
    }
}

/// Puts the newest key back to what a crash leaves between its draft and its use; `since` is the log's size
/// that the draft names.
fn back_to_draft(state: &std::path::Path, kid: &str, since: u64) {
    let path = state.join("keys/token.keys");
    let mut list: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let line = list["keys"].as_array_mut().unwrap().pop().unwrap();
    list["draft"] = serde_json::json!({"file": line["file"], "kid": kid, "since": since});
    std::fs::write(&path, list.to_string()).unwrap();
}

#[test]
fn a_start_puts_a_recorded_key_in_force_and_erases_one_that_was_not() {
    let (dir, daemon) = dev();
    let state = dir.path().join("state");
    let first = keys(&daemon).remove(0).0;
    let new = rotate(&daemon, &["--now"]);
    assert_eq!(daemon.stop(), 0);
    back_to_draft(&state, &new, 0);

    let daemon = Daemon::dev(&state);
    assert_eq!(keys(&daemon).last().unwrap(), &(new.clone(), "signing".to_owned()));
    assert_eq!(kid(&issue(&daemon, &[])), new);
    assert_eq!(daemon.stop(), 0);
    // A draft whose record would have come later: the log does not have it.
    back_to_draft(&state, &new, 1_000_000);

    let daemon = Daemon::dev(&state);
    assert_eq!(keys(&daemon), [(first.clone(), "signing".to_owned())]);
    assert_eq!(kid(&issue(&daemon, &[])), first);
    assert!(!state.join(format!("keys/token-{new}.key")).exists());
}
