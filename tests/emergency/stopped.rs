//! A disk that fills while the broker runs: what callers see, and how the broker gets into the emergency by itself.

use std::time::{Duration, Instant};

use crate::night::{NODE, Responders, is_live, issue, json, state};
use crate::receiver::Receiver;
use crate::site::Site;
use crate::support::{Daemon, code, eventually, text};
use crate::{notices, told_site};

const SCALE: [&str; 8] = [
    "issue",
    "infra.service.scale",
    "--resource",
    "cluster/prod/service/web",
    "--param",
    "replicas=8",
    "--dpop-jkt",
    crate::night::JKT,
];

/// Tokens until the disk takes no more; the last that was given.
fn issue_until_refused(site: &Site, daemon: &Daemon) -> String {
    let mut last = json(&daemon.hotwork(&[&SCALE[..], &["-o", "json"]].concat()));
    site.fill();
    // What is left of a page takes some entries.
    for _ in 0..100 {
        let output = daemon.hotwork(&[&SCALE[..], &["-o", "json"]].concat());
        if code(&output) != 0 {
            assert_eq!(code(&output), 7, "unavailable: {}", text(&output));
            return last["token"].as_str().unwrap().to_owned();
        }
        last = json(&output);
    }
    panic!("a full disk took a hundred entries");
}

#[test]
fn a_disk_that_fills_while_the_broker_runs_is_an_emergency_within_seconds() {
    let receiver = Receiver::start(200);
    let Some(site) = told_site("orchestration", &receiver) else {
        eprintln!("SKIPPED: a_disk_that_fills_while_the_broker_runs needs root to mount a small disk");
        return;
    };
    let responders = Responders::of(&site.config, site.dir.path());
    let (daemon, _) = site.start(true);
    let acknowledged = issue_until_refused(&site, &daemon);
    let begun = Instant::now();
    eventually("the stop is told", || notices(&receiver, "ledger-stopped") > 0);
    let emergency = "emergency: the store takes no writes";
    eventually("an emergency", || text(&daemon.hotwork(&["status"])).contains(emergency));
    eprintln!("from a ledger that stops to the emergency in {:?}", begun.elapsed());
    // The same process, without a supervisor; what was acknowledged is there, and what is needed now can be had.
    assert!(is_live(&site, &daemon, &acknowledged), "{}", daemon.log());
    let session = responders.open(|line| daemon.hotwork(&[line, &["-o", "json"]].concat()));
    let token = json(&daemon.hotwork(&[&issue(&session, NODE)[..], &["-o", "json"]].concat()));
    let token = token["token"].as_str().unwrap();
    assert!(is_live(&site, &daemon, token));
    let revoked = daemon.hotwork(&["revoke", "--all", "--yes", "--reason", "incident 42", "-o", "json"]);
    json(&revoked);
    assert!(!is_live(&site, &daemon, &acknowledged) && !is_live(&site, &daemon, token));
    eventually("the emergency is told", || notices(&receiver, "emergency") > 0);
    assert_eq!(daemon.stop(), 0);
    site.empty();
    let (daemon, _) = site.start(true);
    assert_eq!(daemon.json(&["status"])["issuing"], true, "{}", daemon.log());
    assert_eq!(site.audit(&daemon)["emergency"], 0);
    assert_eq!(state(&daemon, &session), "SESSION_STATE_OPEN");
    assert!(!is_live(&site, &daemon, &acknowledged) && !is_live(&site, &daemon, token));
}

/// Whether the process has not ended. One that nobody has waited for yet has.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    !stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'))
}

#[test]
fn a_daemon_that_is_told_to_stop_while_it_starts_anew_stops() {
    let hook = "[[notify]]\nname = \"oncall\"\nkind = \"webhook\"\nurl = \"https://127.0.0.1:9/hook\"\nsecret_file = \
                \"{dir}/secret\"\nca_file = \"{dir}/roots\"\n";
    let Some(site) = Site::new("orchestration", hook) else {
        eprintln!(
            "SKIPPED: a_daemon_that_is_told_to_stop_while_it_starts_anew needs root to mount a small disk"
        );
        return;
    };
    let (secret, roots) = (site.dir.path().join("secret"), site.dir.path().join("roots"));
    std::fs::write(&secret, "s3cr3t-of-the-receiver\n").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&roots, "none\n").unwrap();
    let (daemon, _) = site.start(true);
    // The next start looks at this file, too, and waits there for as long as this test likes.
    std::fs::remove_file(&roots).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&roots).status().unwrap();
    assert!(made.success());
    issue_until_refused(&site, &daemon);
    eventually("it starts anew", || daemon.log().contains("EMERGENCY START"));
    daemon.signal(rustix::process::Signal::TERM);
    // Whoever reads there goes on; nobody may be left to.
    std::thread::spawn(move || std::fs::write(roots, "none\n"));
    eventually("it ends", || !runs(daemon.pid()));
    assert_eq!(daemon.stop(), 0);
}

/// An emergency that can't record either is the end of that road: the broker tells what was revoked, and does not
/// start over again and again.
pub fn stays(daemon: &Daemon) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        let status = daemon.hotwork(&["status"]);
        assert_eq!(code(&status), 7, "{}", text(&status));
    }
    assert!(!daemon.log().contains("started anew"), "{}", daemon.log());
}
