//! A broker with an example's registry, an agent that is this process's user, and operators with SSH keys who come over
//! TLS: nobody has to be root to be several people.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::signing::KeyPair;
use crate::support::{Daemon, When, code, text};

/// Thumbprints of holders' keys: any 32 bytes will do, nobody proves possession here.
pub const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
pub const OTHER_JKT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
pub const MERGE: [&str; 4] = ["issue", "repo.pull.merge", "--resource", "repo/acme/site"];

pub struct Office {
    pub daemon: Daemon,
    pub dir: tempfile::TempDir,
    pub keys: BTreeMap<&'static str, KeyPair>,
}

/// Names, roles and further words of their entries.
const OPERATORS: [(&str, &str, &str); 4] = [
    ("alice", "\"approver\"", ""),
    ("bob", "\"approver\"", ""),
    ("olga", "\"approver\"", "aliases = [\"dev-tools@example.org\", \"team@example.org\"]\n"),
    ("victor", "\"viewer\"", ""),
];

impl Office {
    /// With the APIs, policies and agent of the example, changed by `edit`.
    pub fn open(example: &str, edit: impl Fn(&str) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let daemon = Daemon::dev_with(&state, &["--tcp"]);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples").join(example);
        let config = state.join("config");
        let uid = format!("\"unix.uid\" = {}", rustix::process::getuid().as_raw());
        for folder in ["agents", "apis", "policies"] {
            for demo in std::fs::read_dir(config.join(folder)).unwrap() {
                std::fs::remove_file(demo.unwrap().path()).unwrap();
            }
            for entry in std::fs::read_dir(from.join(folder)).unwrap().map(Result::unwrap) {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                let text = edit(&text).replace("\"unix.uid\" = 1000", &uid);
                std::fs::write(config.join(folder).join(entry.file_name()), text).unwrap();
            }
        }
        // The demonstration's playbooks name its own actions.
        std::fs::remove_dir_all(config.join("playbooks")).unwrap();
        let mut keys = BTreeMap::new();
        let mut operators = std::fs::read_to_string(config.join("operators.toml")).unwrap();
        // Whoever runs the agent has a key, too.
        let own = KeyPair::ed25519(dir.path(), "own");
        operators = operators.replace("ssh_keys = []", &format!("ssh_keys = [\"{}\"]", own.public()));
        keys.insert("own", own);
        for (name, roles, more) in OPERATORS {
            let key = KeyPair::ed25519(dir.path(), name);
            let second = KeyPair::new(dir.path(), &format!("{name}-2"), &["ecdsa", "-b", "256"]);
            operators.push_str(&format!(
                "\n[[operator]]\nname = \"{name}\"\nroles = [{roles}]\nssh_keys = [\"{}\", \"{}\"]\n{more}",
                key.public(),
                second.public()
            ));
            keys.insert(name, key);
        }
        std::fs::write(config.join("operators.toml"), operators).unwrap();
        let office = Self { daemon, dir, keys };
        office.daemon.json(&["reload"]);
        for (name, ..) in OPERATORS {
            let out = office.files(name).display().to_string();
            let output = office.daemon.hotwork(&["operator", "enroll", name, "--out", &out]);
            assert!(output.status.success(), "{}", text(&output));
        }
        office
    }

    pub fn coding() -> Self {
        Self::open("coding", |text| text.replace("5/m", "5000/m"))
    }

    /// The same state after a `kill -9`, with or without its index.
    pub fn killed(self, keep_index: bool) -> Self {
        let Self { daemon, dir, keys } = self;
        daemon.kill_nine();
        let state = dir.path().join("state");
        if !keep_index {
            std::fs::remove_dir_all(state.join("index")).unwrap();
        }
        Self { daemon: Daemon::dev_with(&state, &["--tcp"]), dir, keys }
    }

    /// The same state after a `kill -9` at a moment in the life of the command, which `command` makes. The answer, when
    /// the command had one of these exit codes.
    pub fn killed_during(
        self,
        command: impl FnOnce(&Self) -> Command,
        when: When,
        codes: &[i32],
    ) -> (Self, Option<serde_json::Value>) {
        let command = command(&self);
        let Self { daemon, dir, keys } = self;
        let output = daemon.kill_during(command, when);
        let office = Self { daemon: Daemon::dev_with(&dir.path().join("state"), &["--tcp"]), dir, keys };
        let answered = codes.contains(&code(&output));
        (office, answered.then(|| serde_json::from_slice(&output.stdout).unwrap()))
    }

    fn files(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("operator-{name}"))
    }

    /// `hotwork` of this operator, over TLS only.
    pub fn command(&self, name: &str, program: &str) -> Command {
        let mut command = Command::new(program);
        let files = self.files(name);
        for variable in self.daemon.env.keys() {
            command.env_remove(variable);
        }
        command.env("HOTWORK_ADMIN_ENDPOINT", &self.daemon.env["HOTWORK_ADMIN_ENDPOINT_TCP"]);
        command.env("HOTWORK_TLS_CERT", files.join("cert.pem")).env("HOTWORK_TLS_KEY", files.join("key.pem"));
        command.env("HOTWORK_TLS_CA", &self.daemon.env["HOTWORK_TLS_CA"]);
        command.stdin(std::process::Stdio::null());
        command
    }

    pub fn operator(&self, name: &str, arguments: &[&str]) -> Output {
        self.operator_command(name, arguments).output().unwrap()
    }

    fn operator_command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(name, env!("CARGO_BIN_EXE_hotwork"));
        command.args(arguments).args(["-o", "json"]);
        command
    }

    /// Approves or denies with the operator's first key, or this one.
    pub fn decides(&self, name: &str, verb: &str, id: &str, key: Option<&str>) -> Output {
        self.decision(name, verb, id, key).output().unwrap()
    }

    /// The command of such a decision.
    pub fn decision(&self, name: &str, verb: &str, id: &str, key: Option<&str>) -> Command {
        let key = key.map_or_else(|| self.keys[name].private.clone(), |key| self.dir.path().join(key));
        self.operator_command(name, &["request", verb, id, "--yes", "--ssh-key", &key.display().to_string()])
    }

    /// The agent's command: exit code, and the answer.
    pub fn agent(&self, arguments: &[&str]) -> (i32, serde_json::Value) {
        let output = self.daemon.hotwork(&[arguments, &["-o", "json"]].concat());
        let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (code(&output), answer)
    }

    /// Asks for a merge with this key and these words more: exit code, reason, and the decision's id.
    pub fn merge(&self, jkt: &str, more: &[&str]) -> (i32, String, String) {
        let (code, answer) = self.agent(&[&MERGE[..], &["--dpop-jkt", jkt], more].concat());
        let word = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        (code, word("reason"), word("decisionId"))
    }

    /// A request that waits: its id.
    #[track_caller]
    pub fn asked(&self, jkt: &str) -> String {
        let (code, reason, id) = self.merge(jkt, &[]);
        assert_eq!((code, reason.as_str()), (5, "approval-required"));
        id
    }

    pub fn state(&self, id: &str) -> String {
        let output = self.operator("victor", &["request", "show", id]);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        answer["approval"]["state"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches("APPROVAL_STATE_")
            .to_owned()
    }
}

/// The stable reason of a failure.
pub fn reason(output: &Output) -> String {
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    answer["reason"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
pub fn succeeds(output: &Output) {
    assert_eq!(code(output), 0, "{}", text(output));
}
