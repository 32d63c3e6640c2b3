//! A registry that can't be loaded: what was loaded last stays in force, nothing ordinary is issued, and no edit gets
//! in by the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::night::{NODE, Responders, issue, json};
use crate::site::{Site, path};
use crate::support::{Daemon, code, example, http, text};

/// What a command may take that is to be answered at once: a slow machine's, and far below what it is told to wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// The orchestration example as a deployment that had a good start.
struct Scene {
    dir: tempfile::TempDir,
    config: PathBuf,
    responders: Responders,
    /// What break-glass is, as responders see it.
    good: Value,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = example("orchestration", dir.path());
        let responders = Responders::of(&config, dir.path());
        let daemon = Daemon::serve(&config, &dir.path().join("state"));
        let good = daemon.json(&["break-glass", "list"]);
        assert_eq!(daemon.stop(), 0);
        Self { dir, config, responders, good }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.config.with_file_name(name)
    }

    fn sealed(&self) -> PathBuf {
        self.dir.path().join("state/sealed/current")
    }

    fn start(&self) -> Daemon {
        Daemon::serve(&self.config, &self.dir.path().join("state"))
    }

    /// A start that must fail, with what it said.
    fn refused(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotworkd"));
        let output = command.arg("serve").arg("--config").arg(&self.config).output().unwrap();
        assert_eq!(code(&output), 1, "{}", text(&output));
        text(&output)
    }
}

/// What the command says, which must be long before the time that it is given.
#[track_caller]
fn at_once(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // What it says is some lines, which a pipe holds.
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            let said = child.wait_with_output().unwrap();
            panic!("it waits on in an emergency, which no waiting ends: {}", text(&said));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn hotwork(daemon: &Daemon, line: &[&str]) -> Output {
    daemon.hotwork(&[line, &["-o", "json"]].concat())
}

fn widen(playbook: &Path) {
    let text = fs::read_to_string(playbook).unwrap();
    let wider = text.replace("cluster/prod", "cluster");
    assert_ne!(wider, text);
    fs::write(playbook, wider).unwrap();
}

/// Breaks a file of the registry.
type Break<'a> = &'a dyn Fn(&Path);

/// Removes what is in the registry but the daemon's own file.
fn empty(registry: &Path) {
    for entry in fs::read_dir(registry).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            fs::remove_dir_all(entry).unwrap();
        } else if !entry.ends_with("hotworkd.toml") {
            fs::remove_file(entry).unwrap();
        }
    }
}

/// Metrics of the causes, from the ops port.
fn causes(daemon: &Daemon) -> Vec<String> {
    let (_, metrics) = http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics");
    let lines = metrics.lines().filter(|line| line.starts_with("hotwork_emergency{"));
    lines.filter(|line| line.ends_with(" 1")).map(str::to_owned).collect()
}

#[test]
fn a_registry_that_can_not_be_loaded_leaves_the_last_good_one_until_a_good_reload() {
    let scene = Scene::new();
    let broken: [(&str, Break<'_>); 6] = [
        ("", &|config| empty(config.parent().unwrap())),
        ("apis/infra.toml", &|file| fs::write(file, "name = ").unwrap()),
        ("agents", &|directory| fs::remove_dir_all(directory).unwrap()),
        ("operators.toml", &|file| fs::remove_file(file).unwrap()),
        ("policies/orchestration.cedar", &|file| fs::write(file, "permit(").unwrap()),
        ("playbooks/node-repair.toml", &|file| fs::write(file, vec![0xff; 9]).unwrap()),
    ];
    let kept = scene.dir.path().join("kept");
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-aT").arg(from).arg(to).status().unwrap().success());
    };
    copy(scene.config.parent().unwrap(), &kept);
    for (name, break_it) in broken {
        // An edit that nobody reviewed widens a playbook, and something is broken.
        if !["", "playbooks/node-repair.toml"].contains(&name) {
            widen(&scene.file("playbooks/node-repair.toml"));
        }
        break_it(&scene.file(if name.is_empty() { "hotworkd.toml" } else { name }));
        let daemon = scene.start();
        let log = daemon.log();
        assert!(log.contains("EMERGENCY START: the registry can't be loaded"), "{name}: {log}");
        let status = at_once(daemon.command(&["status", "--wait", "10m"]));
        let said = "emergency: the registry can't be loaded";
        assert!(code(&status) == 7 && text(&status).contains(said), "{name}: {}", text(&status));
        assert_eq!(causes(&daemon), ["hotwork_emergency{cause=\"registry\"} 1"]);
        assert_eq!(daemon.json(&["break-glass", "list"]), scene.good, "{name}");
        // A bad reload ends nothing.
        assert_ne!(code(&daemon.hotwork(&["reload"])), 0);
        assert_eq!(code(&daemon.hotwork(&["status"])), 7);
        copy(&kept, scene.config.parent().unwrap());
        json(&hotwork(&daemon, &["reload"]));
        assert_eq!(daemon.json(&["status"])["issuing"], true, "{name}");
        assert_eq!(causes(&daemon), Vec::<String>::new());
        assert_eq!(daemon.stop(), 0);
    }
    let daemon = scene.start();
    assert_eq!(daemon.json(&["status"])["issuing"], true, "{}", daemon.log());
}

#[test]
fn in_such_an_emergency_only_an_open_session_is_a_way_in_and_naming_one_records_nothing() {
    let scene = Scene::new();
    let api = fs::read_to_string(scene.file("apis/infra.toml")).unwrap();
    fs::write(scene.file("apis/infra.toml"), "name = ").unwrap();
    let daemon = scene.start();
    let (state, key) = (scene.dir.path().join("state"), scene.dir.path().join("state/log.pub"));
    let entries = || {
        let audit = daemon.json(&["audit", "verify", path(&state), "--key", path(&key)]);
        audit["entries"].as_u64().unwrap()
    };
    let refuses = |session: &str| {
        let refused = hotwork(&daemon, &issue(session, NODE));
        assert!(code(&refused) == 7 && text(&refused).contains("\"emergency\""), "{}", text(&refused));
    };
    // The brake is open, and is no way in for anybody.
    let line = ["break-glass", "open", "freeze", "--reason", "it runs wild", "--ticket", "INC-8"];
    let key = ["--yes", "--ssh-key", path(&scene.responders.bob.private)];
    let brake = json(&hotwork(&daemon, &[&line[..], &key].concat()));
    let before = entries();
    refuses(brake["progress"]["session"].as_str().unwrap());
    for number in 0..20 {
        refuses(&format!("0190163d-8694-739b-aea5-{number:012x}"));
    }
    let ordinary = ["issue", "infra.service.scale", "--resource", "cluster/prod/service/web", "--dpop-jkt"];
    let refused = hotwork(&daemon, &[&ordinary[..], &[crate::night::JKT, "--param", "replicas=8"]].concat());
    assert!(code(&refused) == 7 && text(&refused).contains("\"emergency\""), "{}", text(&refused));
    assert_eq!(entries(), before, "a stranger's requests leave no trace in the log");
    // The lock of the brake is lifted by the one who may.
    let locks = daemon.json(&["lock", "list"]);
    for lock in locks["locks"].as_array().unwrap() {
        json(&hotwork(&daemon, &["lock", "rm", lock["id"].as_str().unwrap()]));
    }
    let session = scene.responders.open(|line| hotwork(&daemon, line));
    json(&hotwork(&daemon, &issue(&session, NODE)));
    // A mended registry is one; the session goes on.
    fs::write(scene.file("apis/infra.toml"), api).unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    crate::support::eventually("the emergency ends", || daemon.hotwork(&["status"]).status.success());
    json(&hotwork(&daemon, &issue(&session, NODE)));
}

#[test]
fn without_a_sealed_copy_of_the_last_load_nothing_starts() {
    let scene = Scene::new();
    let older = fs::read(scene.sealed()).unwrap();
    let daemon = scene.start();
    widen(&scene.file("playbooks/node-repair.toml"));
    json(&hotwork(&daemon, &["reload"]));
    assert_eq!(daemon.stop(), 0);
    let newest = fs::read(scene.sealed()).unwrap();
    fs::write(scene.file("apis/infra.toml"), "name = ").unwrap();
    let says = |what: &str| {
        let said = scene.refused();
        for part in ["apis/infra.toml", "no emergency start", what, "next: mend the registry's files"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    };
    fs::write(scene.sealed(), &older).unwrap();
    says("the log's last load is of");
    let mut edited = newest.clone();
    let at = edited.len() / 2;
    edited[at] ^= 1;
    fs::write(scene.sealed(), edited).unwrap();
    says("damaged or was changed");
    fs::remove_file(scene.sealed()).unwrap();
    says("there is no sealed copy");
    // A crash between the record and the change of names leaves it under another name.
    let next = scene.sealed().with_file_name("next");
    fs::write(&next, &newest).unwrap();
    fs::set_permissions(&next, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(scene.sealed(), &older).unwrap();
    fs::set_permissions(scene.sealed(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let daemon = scene.start();
    assert_eq!(code(&daemon.hotwork(&["status"])), 7);
    assert_eq!(fs::read(scene.sealed()).unwrap(), newest, "and it is put in order");
}

#[test]
fn while_the_store_takes_no_writes_a_changed_registry_waits() {
    let Some(site) = Site::new("orchestration", "") else {
        eprintln!("SKIPPED: while_the_store_takes_no_writes needs root to mount a small disk");
        return;
    };
    let responders = Responders::of(&site.config, site.dir.path());
    let (daemon, _) = site.start(true);
    let good = daemon.json(&["break-glass", "list"]);
    assert_eq!(daemon.stop(), 0);
    site.fill();
    // As it was loaded last, it is in force.
    let (daemon, _) = site.start(true);
    let status = text(&daemon.hotwork(&["status"]));
    assert!(status.contains("emergency: the store takes no writes"), "{status}");
    drop(daemon);
    // An edit that is good by itself can't be sealed, so it takes no effect.
    widen(&site.config.with_file_name("playbooks/node-repair.toml"));
    let (daemon, _) = site.start(true);
    let status = text(&daemon.hotwork(&["status"]));
    assert!(status.contains("the registry can't be loaded, the store takes no writes"), "{status}");
    assert_eq!(daemon.json(&["break-glass", "list"]), good);
    assert_ne!(code(&daemon.hotwork(&["reload"])), 0);
    assert_eq!(daemon.json(&["break-glass", "list"]), good);
    let session = responders.open(|line| hotwork(&daemon, line));
    let refused = hotwork(&daemon, &issue(&session, "cluster/staging/node/n1"));
    assert!(text(&refused).contains("session-scope"), "{}", text(&refused));
    drop(daemon);
    site.empty();
    let (daemon, _) = site.start(true);
    assert_eq!(daemon.json(&["status"])["issuing"], true, "{}", daemon.log());
    assert_ne!(daemon.json(&["break-glass", "list"]), good);
}

#[test]
fn an_edit_that_can_not_be_recorded_is_not_in_force_because_something_else_is_broken() {
    let scene = Scene::new();
    let good = fs::read_to_string(&scene.config).unwrap();
    fs::write(&scene.config, format!("{good}\nnonsense = [")).unwrap();
    // No load can be sealed, so none can be recorded.
    let (sealed, kept) = (scene.dir.path().join("state/sealed"), scene.dir.path().join("sealed"));
    fs::rename(&sealed, &kept).unwrap();
    fs::write(&sealed, "").unwrap();
    // What was loaded last stays in force.
    let daemon = scene.start();
    let status = text(&daemon.hotwork(&["status"]));
    assert!(status.contains("emergency: the configuration is broken"), "{status}");
    assert!(daemon.log().contains("first load"), "{}", daemon.log());
    assert_eq!(daemon.json(&["break-glass", "list"]), scene.good);
    assert_eq!(daemon.stop(), 0);
    widen(&scene.file("playbooks/node-repair.toml"));
    let said = scene.refused();
    assert!(said.contains("first load"), "{said}");
    // With its record it is.
    fs::remove_file(&sealed).unwrap();
    fs::rename(&kept, &sealed).unwrap();
    let daemon = scene.start();
    assert_ne!(daemon.json(&["break-glass", "list"]), scene.good);
}

#[test]
fn nothing_starts_that_was_never_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let config = example("orchestration", dir.path());
    fs::write(config.with_file_name("apis/infra.toml"), "name = ").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotworkd"));
    let output = command.arg("serve").arg("--config").arg(&config).output().unwrap();
    assert_eq!(code(&output), 1, "{}", text(&output));
    for part in ["apis/infra.toml", "no registry was loaded here yet", "next: "] {
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
}
