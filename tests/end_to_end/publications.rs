//! What resources fetch: status lists and CRLs of the real daemon.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Daemon, claims, eventually, http, http_with, text};

/// A token of `demo.read` for so long, and its place: the list's path and the index.
fn issue(daemon: &Daemon, ttl: &str) -> (serde_json::Value, Option<(String, usize)>) {
    let issued = daemon.json(&["issue", "demo.read", "--resource", "demo/hello", "--ttl", ttl]);
    let claims = claims(issued["token"].as_str().unwrap());
    let list = &claims["status"]["status_list"];
    let place = list["uri"].as_str().map(|uri| {
        let path = uri.strip_prefix(claims["iss"].as_str().unwrap()).unwrap();
        (path.to_owned(), list["idx"].as_u64().unwrap() as usize)
    });
    (issued["credential"]["id"].clone(), place)
}

/// The two bits of a place, from the list that is served now.
fn status(daemon: &Daemon, (path, index): &(String, usize)) -> u8 {
    let (code, token) = http(&daemon.env["HOTWORK_HTTP"], "GET", path);
    assert_eq!(code, 200, "{path}: {token}");
    let claims = claims(&token);
    assert!(claims["sub"].as_str().unwrap().ends_with(path), "{claims}");
    let lst = URL_SAFE_NO_PAD.decode(claims["status_list"]["lst"].as_str().unwrap()).unwrap();
    let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(&lst).unwrap();
    bytes[index / 4] >> (index % 4 * 2) & 0b11
}

#[test]
fn an_ended_token_shows_in_its_status_list_however_it_ended_and_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let daemon = Daemon::dev(&state);
    let tokens: Vec<_> = (0..4).map(|_| issue(&daemon, "10m")).collect();
    let places: Vec<_> = tokens.iter().map(|(_, place)| place.clone().unwrap()).collect();
    assert!(places.iter().all(|place| status(&daemon, place) == 0));
    let id = |at: usize| tokens[at].0.as_str().unwrap();
    let revoke = ["revoke", "--credential", id(0), "--reason", "test", "--yes"];
    assert!(daemon.hotwork(&revoke).status.success());
    assert!(daemon.hotwork(&["credential", "release", id(1)]).status.success());
    eventually("the single ends", || status(&daemon, &places[0]) == 1 && status(&daemon, &places[1]) == 1);
    assert_eq!((status(&daemon, &places[2]), status(&daemon, &places[3])), (0, 0));
    daemon.kill_nine();

    let daemon = Daemon::dev(&state);
    let found: Vec<u8> = places.iter().map(|place| status(&daemon, place)).collect();
    assert_eq!(found, [1, 1, 0, 0], "what was ended stays so");
    let (_, later) = issue(&daemon, "10m");
    let later = later.unwrap();
    assert!(!places.contains(&later), "no place is handed out again");
    let all = daemon.hotwork(&["revoke", "--all", "--reason", "test", "--yes"]);
    assert!(all.status.success(), "{}", text(&all));
    for place in places.iter().chain([&later]) {
        eventually("the broad end", || status(&daemon, place) == 1);
    }
}

#[test]
fn only_what_lives_long_has_a_status_and_other_lists_do_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    assert_eq!(issue(&daemon, "60s").1, None);
    let (path, _) = issue(&daemon, "61s").1.unwrap();
    let address = &daemon.env["HOTWORK_HTTP"];
    let answer = http_with(address, "GET", &path, &[], "");
    assert!(answer.head.contains("content-type: application/statuslist+jwt"), "{}", answer.head);
    let (hour, list) = path.strip_prefix("/status/").unwrap().split_once('/').unwrap();
    let hour: i64 = hour.parse().unwrap();
    assert_eq!(list, "0");
    for (path, expected) in [
        (format!("/status/{hour}/1"), 404),
        (format!("/status/{hour}/00"), 404),
        (format!("/status/{}/0", hour + 5), 404),
        (format!("/status/{}/0", hour - 5), 410),
        (format!("/status/{hour}/0?time=1"), 501),
        ("/status/x/0".to_owned(), 404),
    ] {
        assert_eq!(http(address, "GET", &path).0, expected, "{path}");
    }
    assert_eq!(http(address, "POST", &path).0, 405);
    // However often it is asked for, it is signed once in a second: the same bytes, signature and all.
    let mut signed: Vec<String> = (0..200).map(|_| http(address, "GET", &path).1).collect();
    signed.dedup();
    assert!(signed.len() <= 3, "{} signatures for 200 requests", signed.len());
}

/// A certificate of `demo.read` for so long, as files in a directory of its own.
fn certificate(daemon: &Daemon, out: &Path, ttl: &str) -> String {
    let issued = daemon.json(&[
        "issue",
        "demo.read",
        "--resource",
        "demo/hello",
        "--kind",
        "cert",
        "--ttl",
        ttl,
        "--out",
        out.to_str().unwrap(),
    ]);
    issued["credential"]["id"].as_str().unwrap().to_owned()
}

/// `openssl verify` of the certificate in `out` under the CRLs that are served now.
fn verify(daemon: &Daemon, out: &Path) -> Output {
    let (code, bundle) = http(&daemon.env["HOTWORK_HTTP"], "GET", "/crl.pem");
    assert_eq!(code, 200, "{bundle}");
    std::fs::write(out.join("crl.pem"), bundle).unwrap();
    let (_, chain) = http(&daemon.env["HOTWORK_HTTP"], "GET", "/ca.pem");
    let at = chain.rfind("-----BEGIN").unwrap();
    std::fs::write(out.join("issuer.pem"), &chain[..at]).unwrap();
    std::fs::write(out.join("root.pem"), &chain[at..]).unwrap();
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-crl_check_all", "-CAfile"]).arg(out.join("root.pem"));
    command.arg("-untrusted").arg(out.join("issuer.pem")).arg("-CRLfile").arg(out.join("crl.pem"));
    command.arg(out.join("cert.pem")).output().unwrap()
}

/// The fields that `openssl crl` shows of the action CA's list.
fn crl_text(daemon: &Daemon, dir: &Path) -> String {
    let answer = http_with(&daemon.env["HOTWORK_HTTP"], "GET", "/crl/action-ca.crl", &[], "");
    assert!(answer.head.contains("content-type: application/pkix-crl"), "{}", answer.head);
    std::fs::write(dir.join("a.crl"), answer.body).unwrap();
    let mut command = Command::new("openssl");
    let shown = command.args(["crl", "-inform", "DER", "-noout", "-text", "-in"]).arg(dir.join("a.crl"));
    text(&shown.output().unwrap())
}

/// The number of the action CA's list, hexadecimal digits of one length.
fn crl_number(daemon: &Daemon, dir: &Path) -> String {
    let shown = crl_text(daemon, dir);
    let (_, after) = shown.split_once("X509v3 CRL Number:").unwrap_or_else(|| panic!("{shown}"));
    let number = after.trim_start().lines().next().unwrap().trim().trim_start_matches("0x").to_owned();
    format!("{number:0>40}")
}

#[test]
fn openssl_refuses_a_certificate_that_ended_however_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let daemon = Daemon::dev(&state);
    let out = |name: &str| dir.path().join(name);
    let ids: Vec<String> = ["a", "b", "c"].map(|name| certificate(&daemon, &out(name), "10m")).to_vec();
    for name in ["a", "b", "c"] {
        let said = verify(&daemon, &out(name));
        assert!(said.status.success(), "{}", text(&said));
    }
    let revoke = ["revoke", "--credential", &ids[0], "--reason", "test", "--yes"];
    assert!(daemon.hotwork(&revoke).status.success());
    assert!(daemon.hotwork(&["credential", "release", &ids[1]]).status.success());
    let refused = |daemon: &Daemon, name: &str| {
        let said = verify(daemon, &out(name));
        !said.status.success() && text(&said).contains("certificate revoked")
    };
    eventually("the single ends", || refused(&daemon, "a") && refused(&daemon, "b"));
    assert!(verify(&daemon, &out("c")).status.success());
    let shown = crl_text(&daemon, dir.path());
    for expected in ["Version 2", "Privilege Withdrawn", "Cessation Of Operation", "Authority Key Identifier"]
    {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("Issuing Distribution Point"), "{shown}");
    daemon.kill_nine();

    let daemon = Daemon::dev(&state);
    assert!(refused(&daemon, "a") && refused(&daemon, "b"), "what was ended stays so");
    assert!(verify(&daemon, &out("c")).status.success());
    assert!(daemon.hotwork(&["revoke", "--all", "--reason", "test", "--yes"]).status.success());
    eventually("the broad end", || refused(&daemon, "c"));
}

#[test]
fn crl_numbers_grow_over_restarts_and_the_whole_chain_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut last = String::new();
    for _ in 0..3 {
        let daemon = Daemon::dev(&state);
        let first = crl_number(&daemon, dir.path());
        assert!(first > last, "{first} after {last}");
        let id = certificate(&daemon, &dir.path().join("x"), "10m");
        assert!(daemon.hotwork(&["credential", "release", &id]).status.success());
        eventually("another number", || crl_number(&daemon, dir.path()) > first);
        last = crl_number(&daemon, dir.path());
        daemon.kill_nine();
    }
    let daemon = Daemon::dev(&state);
    let address = &daemon.env["HOTWORK_HTTP"];
    let (_, bundle) = http(address, "GET", "/crl.pem");
    assert_eq!(bundle.matches("BEGIN X509 CRL").count(), 3);
    for name in ["action-ca.crl", "identity-ca.crl", "root-ca.crl"] {
        assert_eq!(http_with(address, "GET", &format!("/crl/{name}"), &[], "").status, 200, "{name}");
    }
    assert_eq!(http(address, "GET", "/crl/token.key").0, 404);
}

#[test]
fn a_certificate_points_to_its_crl_or_says_that_there_is_none_and_never_both() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    for (ttl, points) in [("60s", false), ("61s", true)] {
        let out = dir.path().join(ttl);
        certificate(&daemon, &out, ttl);
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-text", "-in"]).arg(out.join("cert.pem"));
        let shown = text(&command.output().unwrap());
        assert_eq!(shown.contains("https://dev.hotwork.example/crl/action-ca.crl"), points, "{ttl}: {shown}");
        let no_rev_avail = shown.contains("2.5.29.56") || shown.contains("No Revocation Available");
        assert_eq!(no_rev_avail, !points, "{ttl}: {shown}");
    }
}
