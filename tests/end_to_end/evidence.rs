//! Revocations and locks by where a process is: in which systemd unit, and of which image its container was made. Real control
//! groups, a real Podman, and the kernel's word for which is whose.

use std::fmt::Write as _;
use std::path::Path;

use hotwork::proto::v1::{IntrospectRequest, introspect_request};
use serde_json::Value;

use crate::podman::{Group, Podman};
use crate::scene::JKT;
use crate::support::{Daemon, code, example, text};

const ASK: [&str; 6] = ["issue", "repo.file.read", "--resource", "repo/acme/site", "--dpop-jkt", JKT];
const MESSAGE: &str = "this build is being looked at";

/// A broker with one agent, whatever group it is in.
struct Site {
    daemon: Daemon,
    dir: tempfile::TempDir,
}

impl Site {
    /// It asks the container runtime on this socket, if there is one.
    fn start(runtime: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = example("coding", dir.path());
        let uid = rustix::process::getuid().as_raw();
        let roles = "\"admin\", \"revoker\", \"viewer\"";
        let people = format!("[[operator]]\nname = \"alice\"\nuid = {uid}\nroles = [{roles}]\n");
        std::fs::write(config.with_file_name("operators.toml"), people).unwrap();
        let mut text = std::fs::read_to_string(&config).unwrap();
        if let Some(socket) = runtime {
            write!(text, "[containers]\nsocket = \"{}\"\n", socket.display()).unwrap();
        }
        std::fs::write(&config, text).unwrap();
        let daemon = Daemon::serve(&config, &dir.path().join("state"));
        Self { daemon, dir }
    }

    /// The daemon is killed and started anew.
    fn again(self) -> Self {
        self.daemon.kill_nine();
        let config = self.dir.path().join("config/hotworkd.toml");
        let daemon = Daemon::serve(&config, &self.dir.path().join("state"));
        Self { daemon, dir: self.dir }
    }

    /// The command in this group, or where the test is: its exit code and its JSON.
    fn hotwork(&self, group: Option<&Group>, arguments: &[&str]) -> (i32, Value) {
        let plain = self.daemon.command(&[arguments, &["-o", "json"]].concat());
        let output = match group {
            None => { plain }.output().unwrap(),
            Some(group) => {
                let mut command = group.command(env!("CARGO_BIN_EXE_hotwork"));
                command.args(plain.get_args()).envs(&self.daemon.env).env_remove("HOTWORK_TOKEN_FILE");
                command.output().unwrap()
            }
        };
        let json = serde_json::from_slice(&output.stdout);
        (code(&output), json.unwrap_or_else(|error| panic!("{error}: {}", text(&output))))
    }

    /// A token for whoever is in the group.
    fn issue(&self, group: Option<&Group>) -> String {
        let (exit, answer) = self.hotwork(group, &ASK);
        assert_eq!(exit, 0, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// What the broker knows of whoever is in the group, of this kind.
    fn fact(&self, group: Option<&Group>, kind: &str) -> Option<String> {
        let (exit, answer) = self.hotwork(group, &["whoami"]);
        assert_eq!(exit, 0, "{answer}");
        let facts = answer["selectors"].as_array().unwrap().iter().map(|fact| fact.as_str().unwrap());
        let mut values = facts.filter_map(|fact| fact.strip_prefix(kind)?.strip_prefix(':'));
        values.next().map(str::to_owned)
    }

    fn live(&self) -> String {
        let status = self.daemon.json(&["status"]);
        assert!(status["liveIsUpperBound"] != true, "{status}");
        status["liveCredentials"].as_str().unwrap_or("0").to_owned()
    }

    async fn active(&self, tokens: &[&str]) -> Vec<bool> {
        let mut verifier = self.daemon.verifier().await;
        let mut found = Vec::new();
        for token in tokens {
            let credential = Some(introspect_request::Credential::Token((*token).to_owned()));
            found.push(
                verifier.introspect(IntrospectRequest { credential }).await.unwrap().into_inner().active,
            );
        }
        found
    }

    /// Ends and then locks whoever is in `meant`, by a fact that those in `others` don't have.
    async fn holds(self, fact: &str, meant: &[&Group], others: &[Option<&Group>]) {
        let ended: Vec<String> = meant.iter().map(|group| self.issue(Some(group))).collect();
        let living: Vec<String> = others.iter().map(|group| self.issue(*group)).collect();
        let all: Vec<&str> = ended.iter().chain(&living).map(String::as_str).collect();
        let (count, left) = (meant.len().to_string(), others.len().to_string());
        assert_eq!(self.active(&all).await, vec![true; all.len()]);
        assert_eq!(self.live(), all.len().to_string());

        let revoke = ["revoke", "--attested", fact, "--reason", "a test", "--yes"];
        let (_, none) =
            self.hotwork(None, &["revoke", "--attested", &format!("{fact}x"), "--reason", "r", "--dry-run"]);
        assert_eq!(none["liveCredentials"].as_str().unwrap_or("0"), "0", "{none}");
        let (exit, dry) = self.hotwork(None, &[&revoke[..], &["--dry-run"]].concat());
        assert_eq!((exit, dry["liveCredentials"].as_str()), (0, Some(&*count)), "{dry}");
        assert_eq!(self.live(), all.len().to_string(), "a dry run changes nothing");
        let (exit, done) = self.hotwork(None, &revoke);
        assert_eq!((exit, done["liveCredentials"].as_str()), (0, Some(&*count)), "{done}");
        let expected: Vec<bool> = (0..all.len()).map(|at| at >= ended.len()).collect();
        assert_eq!(self.active(&all).await, expected, "{fact}");
        assert_eq!(self.live(), left);

        // It stays so when the daemon was killed; and what is issued after it lives.
        let site = self.again();
        assert_eq!(site.active(&all).await, expected, "{fact}, after a kill");
        let after = site.issue(meant.first().copied());
        assert_eq!(site.active(&[&after]).await, [true]);

        let lock = ["lock", "create", "--attested", fact, "--ttl", "30m", "--message", MESSAGE];
        let (exit, locked) = site.hotwork(None, &lock);
        assert_eq!(exit, 0, "{locked}");
        for group in meant {
            let (exit, refused) = site.hotwork(Some(group), &ASK);
            assert_eq!((exit, refused["reason"].as_str()), (3, Some("locked")), "{refused}");
            assert!(refused["message"].as_str().unwrap().contains(MESSAGE), "{refused}");
        }
        for group in others {
            site.issue(*group);
        }
        assert_eq!(site.active(&[&after]).await, [true], "a lock ends nothing");
        let id = locked["lock"]["id"].as_str().unwrap();
        assert_eq!(site.hotwork(None, &["lock", "rm", id]).0, 0);
        site.issue(meant.first().copied());
    }
}

fn skipped(why: &str) {
    eprintln!("!! SKIPPED, {why}");
}

#[tokio::test]
async fn what_a_systemd_unit_has_is_revoked_and_locked_by_the_unit_s_name() {
    let name = |which: &str| format!("hotwork-test-{}-{which}.service", std::process::id());
    let group = |which: &str| Group::new(&format!("system.slice/{}", name(which)));
    let (meant, other) = match (group("a"), group("b")) {
        (Ok(meant), Ok(other)) => (meant, other),
        (Err(why), _) | (_, Err(why)) => return skipped(&format!("no control group of a unit: {why}")),
    };
    // Below a unit is the same unit, and one that calls itself as another one is that which it is below.
    let below = match Group::new(&format!("system.slice/{}/{}", name("b"), name("a"))) {
        Ok(below) => below,
        Err(why) => return skipped(&format!("no control group below a unit: {why}")),
    };
    let site = Site::start(None);
    assert_eq!(site.fact(Some(&meant), "systemd.unit"), Some(name("a")));
    assert_eq!(site.fact(Some(&other), "systemd.unit"), Some(name("b")));
    assert_eq!(site.fact(Some(&below), "systemd.unit"), Some(name("b")), "a name that was made below");
    let fact = format!("systemd.unit={}", name("a"));
    let others = [None, Some(&other), Some(&below)];
    site.holds(&fact, &[&meant], &others).await;
    drop((below, other, meant));
}

#[tokio::test]
async fn what_containers_of_an_image_have_is_revoked_and_locked_by_the_image() {
    let podman = match Podman::start() {
        Ok(podman) => podman,
        Err(why) => return skipped(&format!("the image of a container needs podman: {why}")),
    };
    let container = |image: &str| podman.create(image);
    let made = podman.import("hotwork-other").and_then(|()| {
        Ok([container("hotwork-test")?, container("hotwork-test")?, container("hotwork-other")?])
    });
    let containers = match made {
        Ok(containers) => containers,
        Err(why) => return skipped(&format!("podman makes no container here: {why}")),
    };
    let images = containers.each_ref().map(|id| podman.image(id).unwrap());
    assert!(images[0] == images[1] && images[0] != images[2], "{images:?}");
    let groups: Result<Vec<Group>, String> = containers.iter().map(|id| Group::of_container(id)).collect();
    let groups = match groups {
        Ok(groups) => groups,
        Err(why) => return skipped(&format!("no control group of a container: {why}")),
    };
    let site = Site::start(Some(&podman.socket()));
    for (group, image) in groups.iter().zip(&images) {
        assert_eq!(site.fact(Some(group), "container.image").as_ref(), Some(image));
    }
    assert_eq!(site.fact(None, "container.image"), None);
    let fact = format!("container.image={}", images[0]);
    site.holds(&fact, &[&groups[0], &groups[1]], &[None, Some(&groups[2])]).await;
}
