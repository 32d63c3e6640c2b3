//! The five scenarios of `config/examples`, each with its permits and its denials.

use crate::support::{Daemon, code, example, text};

struct Scenario {
    daemon: Daemon,
    _dir: tempfile::TempDir,
}

impl Scenario {
    fn start(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = example(name, dir.path());
        std::fs::create_dir(dir.path().join("state")).unwrap();
        let daemon = Daemon::serve(&config, &dir.path().join("state"));
        Self { daemon, _dir: dir }
    }

    /// Asks for a certificate, which needs no other binding: the exit code and the reason.
    fn ask(&self, action: &str, resource: &str, more: &[&str]) -> (i32, String) {
        let head = ["issue", action, "--resource", resource, "--kind", "cert", "-o", "json"];
        let output = self.daemon.hotwork(&[&head, more].concat());
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(answer.is_object(), "{}", text(&output));
        (code(&output), answer["reason"].as_str().unwrap_or_default().to_owned())
    }

    #[track_caller]
    fn permits(&self, action: &str, resource: &str, more: &[&str]) {
        assert_eq!(self.ask(action, resource, more), (0, String::new()), "{action} {resource}");
    }

    #[track_caller]
    fn denies(&self, action: &str, resource: &str, more: &[&str], reason: &str) {
        let expected = if reason == "approval-required" { 5 } else { 3 };
        assert_eq!(self.ask(action, resource, more), (expected, reason.to_owned()), "{action} {resource}");
    }
}
