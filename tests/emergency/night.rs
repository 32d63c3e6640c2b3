//! The night that break-glass is for: disk full, no network, configuration and registry broken, and nobody but two
//! responders with their SSH keys and the programs as they are.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::signing::KeyPair;
use crate::site::{Site, can_unshare, path};
use crate::support::{Daemon, code, text};

pub const DELETE: &str = "infra.node.delete";
pub const NODE: &str = "cluster/prod/node/n1";
/// Anybody's; the credentials of these tests are shown to nobody who asks for a proof.
pub const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
/// From the start of the process to a credential in hand: promise P8 is 5 s. What is built for debugging, on a machine that
/// other tests keep busy, has four times that.
const GRANT_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 5 });

/// Two responders whose keys are in `dir`; the user of the tests is an operator who can do the rest.
pub struct Responders {
    pub bob: KeyPair,
    pub carol: KeyPair,
}

impl Responders {
    /// Writes `operators.toml` beside the configuration.
    pub fn of(config: &Path, dir: &Path) -> Self {
        let (bob, carol) = (KeyPair::ed25519(dir, "bob"), KeyPair::ed25519(dir, "carol"));
        let uid = rustix::process::getuid().as_raw();
        let alice = format!("uid = {uid}\nroles = [\"admin\", \"responder\", \"revoker\", \"viewer\"]\n");
        let responder =
            |key: &KeyPair| format!("roles = [\"responder\"]\nssh_keys = [\"{}\"]\n", key.public());
        let operators = [("alice", alice), ("bob", responder(&bob)), ("carol", responder(&carol))];
        let text = operators.map(|(name, rest)| format!("[[operator]]\nname = \"{name}\"\n{rest}"));
        std::fs::write(config.with_file_name("operators.toml"), text.concat()).unwrap();
        Self { bob, carol }
    }

    /// A session of `node-repair`, opened as two people do it; shorter than the playbook allows.
    pub fn open(&self, run: impl Fn(&[&str]) -> Output) -> String {
        let why = ["--reason", "n1 hangs", "--ticket", "INC-7", "--for", "20m"];
        self.signed(run, &[&["break-glass", "open", "node-repair"][..], &why].concat())
    }

    /// What `line` asks for, signed by bob, who begins it, and by carol. Gives the session.
    fn signed(&self, run: impl Fn(&[&str]) -> Output, line: &[&str]) -> String {
        let bob = ["--yes", "--ssh-key", path(&self.bob.private)];
        let first = json(&run(&[line, &bob].concat()));
        let statement = first["progress"]["statementId"].as_str().unwrap();
        let line = ["break-glass", "sign", statement, "--yes", "--ssh-key", path(&self.carol.private)];
        let second = json(&run(&line));
        second["progress"]["session"].as_str().unwrap().to_owned()
    }
}

/// What an answer says, which must be a good one.
#[track_caller]
pub fn json(output: &Output) -> Value {
    assert_eq!(code(output), 0, "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

/// An agent's request under a session.
pub fn issue<'a>(session: &'a str, resource: &'a str) -> [&'a str; 8] {
    ["issue", DELETE, "--resource", resource, "--break-glass", session, "--dpop-jkt", JKT]
}

/// `hotwork`, without a network too where that can be had.
fn offline(daemon: &Daemon, line: &[&str], without: bool) -> Output {
    let plain = daemon.command(&[line, &["-o", "json"]].concat());
    if !without {
        return { plain }.output().unwrap();
    }
    let mut command = Command::new("unshare");
    command.arg("-n").arg(plain.get_program()).args(plain.get_args()).envs(&daemon.env);
    command.env_remove("HOTWORK_TOKEN_FILE").stdin(std::process::Stdio::null()).output().unwrap()
}

/// Breaks what a person can break in a hurry, with an edit of a playbook that nobody reviewed.
fn break_everything(site: &Site) {
    let config = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, format!("{config}\nnonsense = [")).unwrap();
    let playbook = site.config.with_file_name("playbooks/node-repair.toml");
    let wider = std::fs::read_to_string(&playbook).unwrap().replace("cluster/prod", "cluster");
    std::fs::write(&playbook, wider).unwrap();
    std::fs::write(site.config.with_file_name("apis/infra.toml"), "name = ").unwrap();
}

/// Whether this credential is good, as a verifier asks.
pub fn is_live(site: &Site, daemon: &Daemon, token: &str) -> bool {
    let file = site.dir.path().join("credential");
    std::fs::write(&file, token).unwrap();
    code(&daemon.hotwork(&["credential", "verify", path(&file)])) == 0
}

pub fn state(daemon: &Daemon, session: &str) -> String {
    listed(daemon, session)["state"].as_str().unwrap_or_default().to_owned()
}

fn listed(daemon: &Daemon, session: &str) -> Value {
    let list = daemon.json(&["break-glass", "list"]);
    let sessions = list["sessions"].as_array().cloned().unwrap_or_default();
    sessions.into_iter().find(|one| one["id"] == session).unwrap_or_default()
}

/// Extends, drills, closes and reviews by command, with all of it broken; gives the session's new end.
fn rest_of_the_night(
    site: &Site,
    daemon: &Daemon,
    responders: &Responders,
    run: impl Fn(&[&str]) -> Output,
    session: &str,
) -> Value {
    let end = listed(daemon, session)["endTime"].clone();
    responders.signed(&run, &["break-glass", "extend", session, "--reason", "two more nodes"]);
    let extended = listed(daemon, session)["endTime"].clone();
    assert!(extended.is_string() && extended != end, "{end} {extended}");
    let why = ["--reason", "as every month", "--ticket", "INC-8"];
    let drill = responders.signed(&run, &[&["break-glass", "drill", "node-repair"][..], &why].concat());
    let drilled = json(&run(&issue(&drill, NODE)));
    assert_eq!(drilled["credential"]["drill"], true, "{drilled}");
    assert!(!is_live(site, daemon, drilled["token"].as_str().unwrap()), "no verifier takes it");
    json(&run(&["break-glass", "close", &drill, "--reason", "done"]));
    assert_eq!(state(daemon, &drill), "SESSION_STATE_REVIEW_OWED");
    json(&run(&["break-glass", "review", &drill, "--finding", "it works"]));
    assert_eq!(state(daemon, &drill), "", "nothing is owed");
    let issued = json(&run(&issue(session, NODE)));
    assert!(is_live(site, daemon, issued["token"].as_str().unwrap()), "and the session goes on");
    extended
}

#[test]
fn from_a_stopped_daemon_with_everything_broken_two_people_get_a_credential() {
    let Some(site) = Site::new("orchestration", "") else {
        eprintln!("SKIPPED: from_a_stopped_daemon_with_everything_broken needs root to mount a small disk");
        return;
    };
    let without = can_unshare();
    if !without {
        eprintln!("SKIPPED in part: no network namespace can be made here, the network stays");
    }
    let responders = Responders::of(&site.config, site.dir.path());
    let (daemon, _) = site.start(true);
    assert_eq!(daemon.stop(), 0);
    let kept = site.dir.path().join("kept");
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copy(site.config.parent().unwrap(), &kept);
    break_everything(&site);
    site.fill();

    let begun = Instant::now();
    let (daemon, started) = site.start(!without);
    let run = |line: &[&str]| offline(&daemon, line, without);
    let session = responders.open(run);
    let issued = json(&run(&issue(&session, NODE)));
    let took = begun.elapsed();
    eprintln!("from exec to a break-glass credential in {took:?}, of that {started:?} to ready");
    assert!(took < GRANT_MAX, "{took:?}");
    let token = issued["token"].as_str().unwrap();
    assert_eq!(crate::support::claims(token)["hotwork_tier"], "break_glass");
    assert!(is_live(&site, &daemon, token));
    // It is loud, and names all three.
    let status = text(&run(&["status"]));
    for cause in ["configuration is broken", "registry can't be loaded", "store takes no writes"] {
        assert!(status.contains(cause), "{cause}: {status}");
    }
    let log = daemon.log();
    assert_eq!(log.matches("EMERGENCY START").count(), 3, "{log}");
    // What was signed is what was loaded last, not the edit.
    let refused = run(&issue(&session, "cluster/staging/node/n1"));
    assert!(code(&refused) != 0 && text(&refused).contains("session-scope"), "{}", text(&refused));
    assert!(site.audit(&daemon)["emergency"].as_u64().unwrap() >= 6, "{}", site.audit(&daemon));
    let extended = rest_of_the_night(&site, &daemon, &responders, run, &session);
    daemon.kill_nine();

    // When all is mended, the night is part of the log.
    site.empty();
    std::fs::remove_dir_all(site.config.parent().unwrap()).unwrap();
    copy(&kept, site.config.parent().unwrap());
    let (daemon, _) = site.start(true);
    let status = daemon.json(&["status"]);
    assert_eq!(status["issuing"], true, "{status}");
    let audit = site.audit(&daemon);
    assert_eq!(audit["emergency"], 0, "{audit}");
    let sessions = daemon.json(&["break-glass", "list"])["sessions"].clone();
    assert_eq!(sessions.as_array().map(Vec::len), Some(1), "the drill was reviewed: {sessions}");
    assert_eq!(state(&daemon, &session), "SESSION_STATE_OPEN");
    assert_eq!(listed(&daemon, &session)["endTime"], extended);
    assert!(is_live(&site, &daemon, token));
    json(&daemon.hotwork(&["break-glass", "close", &session, "--reason", "n1 is gone", "-o", "json"]));
    assert!(!is_live(&site, &daemon, token), "it ends with its session");
    assert_eq!(state(&daemon, &session), "SESSION_STATE_REVIEW_OWED");
}

#[test]
fn on_a_disk_that_is_read_only_what_was_revoked_is_told_and_nothing_is_granted() {
    let Some(site) = Site::new("orchestration", "") else {
        eprintln!("SKIPPED: on_a_disk_that_is_read_only needs root to mount a small disk");
        return;
    };
    let responders = Responders::of(&site.config, site.dir.path());
    let (daemon, _) = site.start(true);
    let session = responders.open(|line| daemon.hotwork(&[line, &["-o", "json"]].concat()));
    let token = json(&daemon.hotwork(&[&issue(&session, NODE)[..], &["-o", "json"]].concat()));
    let token = token["token"].as_str().unwrap();
    assert!(is_live(&site, &daemon, token));
    json(&daemon.hotwork(&["revoke", "--all", "--yes", "--reason", "incident 42", "-o", "json"]));
    assert_eq!(daemon.stop(), 0);
    site.remount("ro");
    let (daemon, _) = site.start(true);
    assert!(!is_live(&site, &daemon, token));
    let refused = daemon.hotwork(&issue(&session, NODE));
    assert_eq!(code(&refused), 7, "{}", text(&refused));
    let refused = daemon.hotwork(&["revoke", "--all", "--yes", "--reason", "again"]);
    assert_eq!(code(&refused), 7, "what can't be recorded is not acknowledged: {}", text(&refused));
    crate::stopped::stays(&daemon);
    drop(daemon);
    site.remount("rw");
}
