//! A broker with responders whose SSH keys are here, and what people do with it.

use std::path::Path;

use serde_json::Value;

use crate::signing::KeyPair;
use crate::support::{Daemon, When, code, example, text};

pub const NAMESPACE: &str = "hotwork-break-glass";
pub const DELETE: &str = "infra.node.delete";
pub const NODE: &str = "cluster/prod/node/n1";
/// Anybody's; the credentials of these tests are shown to nobody who asks for a proof.
pub const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// The orchestration example with responders whose keys are here. The user of the tests is alice.
pub struct Scene {
    daemon: Option<Daemon>,
    pub dir: tempfile::TempDir,
    pub alice: [KeyPair; 2],
    pub bob: KeyPair,
    pub carol: KeyPair,
    pub viewer: KeyPair,
}

impl Scene {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// One whose configuration is changed by `edit`, which gets the directory that has it as `config`, before the
    /// start.
    pub fn with(edit: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = |name: &str| KeyPair::ed25519(dir.path(), name);
        let alice = [key("alice-1"), key("alice-2")];
        let (bob, carol, viewer) = (key("bob"), key("carol"), key("viewer"));
        let config = example("orchestration", dir.path());
        let entry = |name: &str, rest: &str, roles: &str, keys: &[&KeyPair]| {
            let keys: Vec<String> = keys.iter().map(|key| format!("\"{}\"", key.public())).collect();
            format!(
                "[[operator]]\nname = \"{name}\"\n{rest}\nroles = [{roles}]\nssh_keys = [{}]\n",
                keys.join(", ")
            )
        };
        let all = "\"admin\", \"responder\", \"revoker\", \"viewer\"";
        let operators = [
            entry(
                "alice",
                &format!("uid = {}", rustix::process::getuid().as_raw()),
                all,
                &[&alice[0], &alice[1]],
            ),
            entry("bob", "", "\"responder\"", &[&bob]),
            entry("carol", "", "\"responder\"", &[&carol]),
            entry("viewer", "", "\"viewer\"", &[&viewer]),
        ];
        std::fs::write(config.with_file_name("operators.toml"), operators.concat()).unwrap();
        edit(dir.path());
        let daemon = Some(Daemon::serve(&config, &dir.path().join("state")));
        Self { daemon, dir, alice, bob, carol, viewer }
    }

    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    /// `kill -9`, and a new start.
    pub fn killed(&mut self) {
        self.kill();
        self.restart();
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.daemon.take().unwrap().kill_nine();
    }

    /// `kill -9` at a moment in the life of this command, and a new start. The answer, when there was one.
    pub fn killed_during(&mut self, line: &[&str], when: When) -> Option<Value> {
        let command = self.daemon().command(&[line, &["-o", "json"]].concat());
        let output = self.daemon.take().unwrap().kill_during(command, when);
        self.restart();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Makes it an emergency in which the store takes no writes: it is tried by a file of this name.
    pub fn unwritable(&mut self) {
        std::fs::create_dir(self.probe()).unwrap();
        self.killed();
    }

    /// Mends that.
    pub fn writable(&mut self) {
        std::fs::remove_dir(self.probe()).unwrap();
        self.killed();
    }

    fn probe(&self) -> std::path::PathBuf {
        self.dir.path().join("state/.probe")
    }

    pub fn restart(&mut self) {
        let config = self.dir.path().join("config/hotworkd.toml");
        self.daemon = Some(Daemon::serve(&config, &self.dir.path().join("state")));
    }

    /// The text of an opening, as the broker writes it.
    pub fn text(&self, verb: &str, playbook: &str) -> String {
        let line = ["break-glass", verb, playbook, "--reason", "n1 does not drain", "--ticket", "INC-7"];
        self.daemon().json(&line)["statement"].as_str().unwrap().to_owned()
    }

    /// Sends a text with a signature: the exit code, and the answer or failure.
    pub fn send(&self, statement: &str, signature: &str) -> (i32, Value) {
        let (text, armored) = (self.dir.path().join("statement.txt"), self.dir.path().join("statement.sig"));
        std::fs::write(&text, statement).unwrap();
        std::fs::write(&armored, signature).unwrap();
        self.run(&["break-glass", "send", "--statement", path(&text), "--signature", path(&armored)])
    }

    pub fn sign(&self, statement: &str, key: &KeyPair) -> (i32, Value) {
        self.send(statement, &key.sign(NAMESPACE, statement))
    }

    #[track_caller]
    pub fn refuses(&self, (code, failure): (i32, Value), reason: &str) {
        assert_eq!(failure["reason"], reason, "{failure}");
        assert_ne!(code, 0);
    }

    /// A session of the playbook, signed by bob and carol.
    pub fn opened(&self, verb: &str, playbook: &str) -> String {
        let text = self.text(verb, playbook);
        assert_eq!(self.sign(&text, &self.bob).0, 0);
        let (code, answer) = self.sign(&text, &self.carol);
        assert_eq!(code, 0, "{answer}");
        answer["progress"]["session"].as_str().unwrap().to_owned()
    }

    pub fn run(&self, line: &[&str]) -> (i32, Value) {
        let output = self.daemon().hotwork(&[line, &["-o", "json"]].concat());
        let answer = serde_json::from_slice(&output.stdout);
        (code(&output), answer.unwrap_or_else(|error| panic!("{error}: {}", text(&output))))
    }

    pub fn issue(&self, session: &str, action: &str, resource: &str, more: &[&str]) -> (i32, Value) {
        let line = ["issue", action, "--resource", resource, "--break-glass", session];
        self.run(&[&line, more].concat())
    }

    /// A token for the deletion of a node, under the session.
    pub fn token(&self, session: &str) -> String {
        let (code, answer) = self.issue(session, DELETE, NODE, &["--dpop-jkt", JKT]);
        assert_eq!(code, 0, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    pub fn is_live(&self, credential: &str) -> bool {
        let file = self.dir.path().join("credential");
        std::fs::write(&file, credential).unwrap();
        code(&self.daemon().hotwork(&["credential", "verify", path(&file)])) == 0
    }

    pub fn state(&self, session: &str) -> String {
        let list = self.daemon().json(&["break-glass", "list"]);
        let sessions = list["sessions"].as_array().cloned().unwrap_or_default();
        let found = sessions.iter().find(|one| one["id"] == session);
        found.map(|one| one["state"].as_str().unwrap().to_owned()).unwrap_or_default()
    }
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
