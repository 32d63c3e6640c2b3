//! A deployment whose disk can be filled, and that has no network when it is asked to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Daemon, example};

/// A deployment whose state is on a small disk of its own, and whose sockets are not.
pub struct Site {
    pub dir: tempfile::TempDir,
    pub config: PathBuf,
    pub state: PathBuf,
}

impl Site {
    /// `None` where a disk can't be mounted.
    pub fn new(name: &str, sections: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs"])
            .arg(&state)
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            return None;
        }
        let config = example(name, dir.path());
        let sockets = dir.path().display().to_string();
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace(&format!("{sockets}/state/a"), &format!("{sockets}/a"));
        std::fs::write(&config, format!("{text}\n{}", sections.replace("{dir}", &sockets))).unwrap();
        Some(Self { dir, config, state })
    }

    /// Starts it, without a network when asked, and gives how long that took.
    pub fn start(&self, network: bool) -> (Daemon, Duration) {
        let begun = Instant::now();
        let daemon = if network {
            Daemon::serve(&self.config, &self.state)
        } else {
            Daemon::serve_under(&["unshare", "-n"], &self.config, &self.state)
        };
        (self.known(daemon), begun.elapsed())
    }

    /// The endpoints are where the configuration says; a full disk has no `env`.
    pub fn known(&self, mut daemon: Daemon) -> Daemon {
        let socket = |name: &str| format!("unix://{}", self.dir.path().join(name).display());
        daemon.env = BTreeMap::from([
            ("HOTWORK_ENDPOINT".to_owned(), socket("agent.sock")),
            ("HOTWORK_ADMIN_ENDPOINT".to_owned(), socket("admin.sock")),
        ]);
        daemon
    }

    pub fn fill(&self) {
        let mut filler = Command::new("dd");
        filler.args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", self.ballast().display()));
        assert!(!filler.stderr(Stdio::null()).status().unwrap().success(), "the disk is full");
    }

    /// Makes the disk one that is read only, or not.
    pub fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.state).status();
        assert!(status.unwrap().success());
    }

    pub fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.state.join("ballast")
    }

    pub fn audit(&self, daemon: &Daemon) -> serde_json::Value {
        let key = self.state.join("log.pub");
        daemon.json(&["audit", "verify", path(&self.state), "--key", path(&key)])
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.state).status());
    }
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn can_unshare() -> bool {
    Command::new("unshare").args(["-n", "true"]).status().is_ok_and(|status| status.success())
}
