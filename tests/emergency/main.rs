//! The emergency start of the real daemon: its disk is full, there is no network, and it starts all the same, to
//! refuse what is ordinary and to keep what was revoked revoked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    dead_code,
    missing_docs,
    reason = "tests"
)]

mod memory;
mod night;
#[path = "../notify/receiver.rs"]
mod receiver;
mod registry;
#[path = "../end_to_end/signing.rs"]
mod signing;
mod site;
mod stopped;
#[path = "../end_to_end/support.rs"]
mod support;

use std::process::Command;
use std::time::Duration;

use receiver::Receiver;
use site::{Site, can_unshare};
use support::{Daemon, code, eventually, example, text};

/// From the start of the process to a daemon that answers, in an emergency (promise P8: the grant within it).
const START_MAX: Duration = Duration::from_secs(5);

fn issue(daemon: &Daemon) -> std::process::Output {
    daemon.hotwork(&[
        "issue",
        "repo.pull.open",
        "--resource",
        "repo/acme/site",
        "--generate-key",
        "--kind",
        "cert",
        "-o",
        "json",
    ])
}

/// A site that tells `receiver`.
fn told_site(name: &str, receiver: &Receiver) -> Option<Site> {
    let hook = format!(
        "[[notify]]\nname = \"oncall\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/hook\"\nsecret_file = \"{{dir}}/secret\"\n",
        receiver.port
    );
    let site = Site::new(name, &hook)?;
    let secret = site.dir.path().join("secret");
    std::fs::write(&secret, "s3cr3t-of-the-receiver\n").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Some(site)
}

/// What an emergency refuses, and what it records: the index of a revocation of everything.
fn is_an_emergency(site: &Site, daemon: &Daemon) -> String {
    let status = daemon.hotwork(&["status"]);
    assert_eq!(code(&status), 7, "{}", text(&status));
    assert!(text(&status).contains("emergency: the store takes no writes"), "{}", text(&status));
    let refused = issue(daemon);
    assert!(code(&refused) == 7 && text(&refused).contains("\"emergency\""), "{}", text(&refused));
    let revoked = daemon.hotwork(&["revoke", "--all", "--yes", "--reason", "incident 42", "-o", "json"]);
    assert_eq!(code(&revoked), 0, "{}", text(&revoked));
    let json: serde_json::Value = serde_json::from_slice(&revoked.stdout).unwrap();
    let locked = daemon.hotwork(&["lock", "create", "--tenant", "acme", "--message", "incident 42"]);
    assert_eq!(code(&locked), 0, "{}", text(&locked));
    let audit = site.audit(daemon);
    assert!(audit["emergency"].as_u64().unwrap() >= 4, "{audit}");
    assert!(daemon.log().contains("EMERGENCY START"), "{}", daemon.log());
    json["logIndex"].as_str().unwrap().to_owned()
}

/// How many different notices of this kind were taken.
fn notices(receiver: &Receiver, kind: &str) -> usize {
    let ids = receiver.taken(kind).into_iter().map(|json| json["id"].to_string());
    ids.collect::<std::collections::HashSet<_>>().len()
}

#[test]
fn on_a_full_disk_without_a_network_nothing_ordinary_is_issued_and_what_is_revoked_stays_so() {
    let receiver = Receiver::start(200);
    let Some(site) = told_site("coding", &receiver) else {
        eprintln!("SKIPPED: on_a_full_disk_nothing_ordinary_is_issued needs root to mount a small disk");
        return;
    };
    let offline = can_unshare();
    if !offline {
        eprintln!("SKIPPED in part: no network namespace can be made here, the network stays");
    }
    let (daemon, _) = site.start(true);
    let issued = issue(&daemon);
    assert_eq!(code(&issued), 0, "{}", text(&issued));
    assert_eq!(daemon.stop(), 0);
    site.fill();

    let (daemon, took) = site.start(!offline);
    assert!(took <= START_MAX, "{took:?}");
    eprintln!("emergency start in {took:?}");
    let index = is_an_emergency(&site, &daemon);
    daemon.kill_nine();

    // Once more in the same emergency: it is all there.
    let (daemon, _) = site.start(true);
    let locks = daemon.json(&["lock", "list"]);
    assert_eq!(locks["locks"].as_array().unwrap().len(), 1, "{locks}");
    let shown = daemon.json(&["audit", "show", &index]);
    assert!(shown.to_string().contains("revoke"), "{shown}");
    eventually("the emergency is told", || notices(&receiver, "emergency") > 0);
    eventually("the revocation is told", || notices(&receiver, "revoked") > 0);
    daemon.kill_nine();
    site.empty();

    let (daemon, _) = site.start(true);
    assert_eq!(daemon.json(&["status"])["issuing"], true, "{}", daemon.log());
    assert_eq!(daemon.json(&["audit", "show", &index]), shown, "the same entry at the same place");
    assert_eq!(daemon.json(&["lock", "list"]), locks);
    assert_eq!(site.audit(&daemon)["emergency"], 0);
    eventually("the merge is told", || notices(&receiver, "emergency-merged") == 1);
    assert_eq!(notices(&receiver, "revoked"), 1, "however often, it is the same notice");
    assert_eq!(daemon.stop(), 0);
    let (daemon, _) = site.start(true);
    assert_eq!(daemon.json(&["lock", "list"]), locks, "merged once");
}

#[test]
fn a_broken_configuration_leaves_the_last_good_one_for_an_emergency() {
    let dir = tempfile::tempdir().unwrap();
    let config = example("coding", dir.path());
    let state = dir.path().join("state");
    let good = std::fs::read_to_string(&config).unwrap();
    let serve = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotworkd"));
        command.args(["serve", "--config"]).arg(&config).output().unwrap()
    };
    // Before there was a good start there is nothing to go on with.
    std::fs::write(&config, format!("{good}\nnonsense = [")).unwrap();
    let refused = serve();
    assert!(code(&refused) == 2 && text(&refused).contains("not TOML"), "{}", text(&refused));
    std::fs::write(&config, &good).unwrap();
    assert_eq!(Daemon::serve(&config, &state).stop(), 0);

    std::fs::write(&config, format!("{good}\nnonsense = [")).unwrap();
    let daemon = Daemon::serve(&config, &state);
    let status = daemon.hotwork(&["status"]);
    assert!(
        code(&status) == 7 && text(&status).contains("emergency: the configuration is broken"),
        "{}",
        text(&status)
    );
    let refused = issue(&daemon);
    assert!(code(&refused) == 7 && text(&refused).contains("\"emergency\""), "{}", text(&refused));
    assert_eq!(code(&daemon.hotwork(&["revoke", "--all", "--yes", "--reason", "incident 42"])), 0);
    assert!(daemon.log().contains("not TOML"), "what is wrong is said: {}", daemon.log());
    assert_eq!(daemon.stop(), 0);

    std::fs::write(&config, good).unwrap();
    let daemon = Daemon::serve(&config, &state);
    assert_eq!(code(&issue(&daemon)), 0);
}
