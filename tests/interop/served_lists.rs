//! The status list that a running broker serves, with the keys that it serves, read by others: before a token is revoked, and
//! after it.

use std::path::Path;

use super::status_lists::{has_library, library_of, read_of};
use super::tools::{installed, run};
use crate::support::{Daemon, claims, eventually, http, text};

/// A token that lives long enough to have a status: its credential's id, its issuer, and its place.
struct Placed {
    id: String,
    issuer: String,
    uri: String,
    index: u32,
}

fn issue(daemon: &Daemon) -> Placed {
    let issued = daemon.json(&["issue", "demo.read", "--resource", "demo/hello", "--ttl", "10m"]);
    let claims = claims(issued["token"].as_str().unwrap());
    let place = &claims["status"]["status_list"];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    Placed {
        id: text(&issued["credential"]["id"]),
        issuer: text(&claims["iss"]),
        uri: text(&place["uri"]),
        index: u32::try_from(place["idx"].as_u64().unwrap()).unwrap(),
    }
}

/// Keeps what is served now: the list at the token's own `uri`, and the keys.
fn fetch(daemon: &Daemon, placed: &Placed, dir: &Path) {
    let path = placed.uri.strip_prefix(&placed.issuer).unwrap();
    for (path, name) in [(path, "list"), ("/jwks.json", "jwks")] {
        let (status, text) = http(&daemon.env["HOTWORK_HTTP"], "GET", path);
        assert_eq!(status, 200, "{path}: {text}");
        std::fs::write(dir.join(name), text).unwrap();
    }
}

#[test]
fn independent_readers_see_a_revocation_in_the_list_that_is_served() {
    let Some(tools) = installed("the status list reader") else { return };
    let has_library = has_library(tools);
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let (revoked, lasting) = (issue(&daemon), issue(&daemon));
    // What each reader finds at a token's place, in the list of now.
    let found = |placed: &Placed| {
        fetch(&daemon, placed, dir.path());
        let Placed { issuer, uri, index, .. } = placed;
        let mut said = vec![run(&mut read_of(tools, dir.path(), issuer, uri, *index)).trim().to_owned()];
        if has_library {
            said.push(run(&mut library_of(tools, dir.path(), issuer, uri, *index)).trim().to_owned());
        }
        said
    };
    let all = |placed: &Placed, status: &str| found(placed).iter().all(|said| said == status);
    assert!(all(&revoked, "0") && all(&lasting, "0"));
    let revoke = daemon.hotwork(&["revoke", "--credential", &revoked.id, "--reason", "a test", "--yes"]);
    assert!(revoke.status.success(), "{}", text(&revoke));
    // A list is signed anew once in a second.
    eventually("the readers see it", || all(&revoked, "1"));
    assert!(all(&lasting, "0"));
}
