//! An `ssh-agent` of the test's own, which has private keys that are in no file any more.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::signing::KeyPair;
use crate::support::{eventually, text};

/// A running agent, ended when dropped.
pub struct Agent {
    child: Child,
    pub socket: PathBuf,
}

impl Agent {
    /// One that has no key yet.
    pub fn start(dir: &Path) -> Self {
        let socket = dir.join("ssh-agent.sock");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("`ssh-agent` of OpenSSH");
        let agent = Self { child, socket };
        eventually("the agent answers", || agent.add(&["-l"]).status.code() == Some(1));
        agent
    }

    fn add(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new("ssh-add");
        command.args(arguments).env("SSH_AUTH_SOCK", &self.socket).stdin(Stdio::null());
        command.output().expect("`ssh-add` of OpenSSH")
    }

    /// Takes the private half of the key out of its file; the public half, which is left.
    pub fn takes(&self, key: &KeyPair) -> String {
        let added = self.add(&["-q", key.private.to_str().unwrap()]);
        assert!(added.status.success(), "{}", text(&added));
        std::fs::remove_file(&key.private).unwrap();
        key.private.with_extension("pub").display().to_string()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
