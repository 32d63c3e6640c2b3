//! What every recipe stands on: the daemon with the coding agent's registry, an API, an agent.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, SystemTime};

use crate::agent::{Agent, Token};
use crate::signing::KeyPair;
use crate::support::{self, Daemon};
use crate::tls::{Answer, Client, server_files};
use crate::upstream::Upstream;

pub const SITE: &str = "repo/acme/site";
pub const READ: &str = "/repos/acme/site/contents";
/// Long enough to be asked once on a slow machine, and short enough to wait for.
pub const LIFE: &str = "5s";

/// A running broker and API; a proxy is put before them.
pub struct Scene {
    pub daemon: Daemon,
    pub upstream: Upstream,
    pub agent: Agent,
    responders: [KeyPair; 2],
    pub dir: tempfile::TempDir,
}

impl Scene {
    pub fn start() -> Self {
        Self::with("")
    }

    /// The same with more at the end of `hotworkd.toml`.
    pub fn with(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = support::example("coding", dir.path());
        counted_close(&config.with_file_name("apis/repo.toml"));
        let responders = ["ann", "ben"].map(|name| KeyPair::ed25519(dir.path(), name));
        break_glass(&config, &responders);
        let text = std::fs::read_to_string(&config).unwrap();
        let socket = format!(
            "[authz_socket]\npath = \"{}\"\nmode = \"0666\"\n\
             [verifier_tcp]\nlisten = \"127.0.0.1:0\"\nserver_names = [\"127.0.0.1\"]\n",
            dir.path().join("authz.sock").display()
        );
        std::fs::write(&config, text + &socket + more).unwrap();
        let daemon = Daemon::serve(&config, &dir.path().join("state"));
        server_files(dir.path());
        let scene = Self { daemon, upstream: Upstream::start(), agent: Agent::new(), responders, dir };
        // The chain of action certificates: beside every certificate that is issued.
        let folder = scene.certificate("first");
        std::fs::copy(folder.join("ca.pem"), scene.path("ca.pem")).unwrap();
        // A proxy's workers may be another user.
        let public = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(scene.dir.path(), public).unwrap();
        scene
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An action certificate to read the site, in a folder of this name.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.issue_certificate(name).0
    }

    /// The same, with its credential's id.
    pub fn issue_certificate(&self, name: &str) -> (PathBuf, String) {
        let (folder, issued) = self.issued(name, "120s");
        (folder, issued["credential"]["id"].as_str().unwrap().to_owned())
    }

    /// A certificate that lives so long, in a folder of this name, and what the command said of it.
    pub fn issued(&self, name: &str, ttl: &str) -> (PathBuf, serde_json::Value) {
        let folder = self.path(name);
        let out = folder.to_str().unwrap();
        let ask =
            ["issue", "repo.file.read", "--resource", SITE, "--kind", "cert", "--out", out, "--ttl", ttl];
        let issued = self.daemon.json(&ask);
        (folder, issued)
    }

    /// Asks on open connections until each is refused, which must be because the credential expired, and not before it does.
    /// None is served that was asked after the end.
    pub fn expires(end: SystemTime, asks: &mut [&mut dyn FnMut() -> Answer]) {
        for ask in &mut *asks {
            assert_eq!(ask().status, 200, "while it lives");
        }
        assert!(SystemTime::now() < end, "the machine was too slow to ask before the end");
        for ask in asks {
            let refused = loop {
                let before = SystemTime::now();
                let answer = ask();
                if answer.status != 200 {
                    break answer;
                }
                assert!(before < end, "served after the end");
                std::thread::sleep(Duration::from_millis(50));
            };
            assert_eq!(refused.refused(), (401, "credential-expired"));
            // Tokens and certificates have whole seconds.
            assert!(SystemTime::now() + Duration::from_secs(1) >= end, "refused early");
        }
    }

    pub fn token(&self, action: &str) -> Token {
        self.agent.token(&self.daemon, action, SITE)
    }

    pub fn client(&self, port: u16, certificate: Option<&Path>) -> Client {
        Client::connect(self.dir.path(), port, certificate)
    }

    /// A request with the token and a fresh proof for `proved`.
    pub fn show(
        &self,
        client: &mut Client,
        token: &Token,
        method: &str,
        target: &str,
        proved: &str,
    ) -> Answer {
        let proof = self.agent.proof(token, method, proved);
        let authorization = format!("DPoP {}", token.text);
        client.ask(method, target, &[("Authorization", &authorization), ("DPoP", &proof)])
    }

    pub fn read(&self, client: &mut Client, token: &Token) -> Answer {
        self.show(client, token, "GET", READ, READ)
    }

    pub fn revoke(&self, arguments: &[&str]) {
        let all = [&["revoke", "--reason", "a test"], arguments].concat();
        let output = self.daemon.hotwork(&all);
        assert!(output.status.success(), "{}", support::text(&output));
    }

    /// An open break-glass session, or a drill of one.
    pub fn opened(&self, verb: &str, playbook: &str) -> String {
        let key = |at: usize| self.responders[at].private.to_str().unwrap();
        let open = ["break-glass", verb, playbook, "--reason", "r", "--ticket", "T-1", "--yes"];
        let open = [&open[..], &["--ssh-key", key(0)]].concat();
        let first = self.daemon.json(&open);
        let id = first["progress"]["statementId"].as_str().unwrap();
        let second = self.daemon.json(&["break-glass", "sign", &id[..12], "--yes", "--ssh-key", key(1)]);
        second["progress"]["session"].as_str().unwrap().to_owned()
    }

    pub fn close(&self, session: &str) {
        self.daemon.json(&["break-glass", "close", session, "--reason", "done"]);
        self.daemon.json(&["break-glass", "review", session, "--finding", "a test"]);
    }

    /// A token and a certificate to read the site under a session or drill; the certificate in a folder of this name.
    pub fn minted(&self, session: &str, name: &str) -> (Token, PathBuf) {
        let token = self.agent.token_with(&self.daemon, "repo.file.read", SITE, &["--break-glass", session]);
        let folder = self.path(name);
        let out = ["--kind", "cert", "--out", folder.to_str().unwrap()];
        let ask = ["issue", "repo.file.read", "--resource", SITE, "--break-glass", session];
        self.daemon.json(&[&ask[..], &out].concat());
        (token, folder)
    }
}

/// When the credential of an answer expires.
pub fn end(issued: &serde_json::Value) -> SystemTime {
    let text = issued["credential"]["expireTime"].as_str().unwrap();
    let millis = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.cast_unsigned())
}

/// The text of a playbook that gives the agent one action.
pub fn playbook(name: &str, action: &str, resource: &str) -> String {
    format!(
        "name = \"{name}\"\npurpose = \"tests\"\nkind = \"expand\"\nactions = [\"{action}\"]\n\
         agents = [\"default/coder\"]\nresources = [\"{resource}\"]\n"
    )
}

/// A playbook for reading the site, two who can sign, and this user who reviews.
fn break_glass(config: &Path, responders: &[KeyPair; 2]) {
    let folder = config.with_file_name("playbooks");
    std::fs::create_dir_all(&folder).unwrap();
    let text = playbook("read", "repo.file.read", SITE);
    std::fs::write(folder.join("read.toml"), text).unwrap();
    let uid = rustix::process::getuid().as_raw();
    let roles = "\"admin\", \"approver\", \"responder\", \"revoker\", \"viewer\"";
    let mut people = format!("[[operator]]\nname = \"alice\"\nuid = {uid}\nroles = [{roles}]\n");
    for (name, key) in ["ann", "ben"].iter().zip(responders) {
        let public = key.public();
        people.push_str(&format!(
            "[[operator]]\nname = \"{name}\"\nroles = [\"responder\"]\nssh_keys = [\"{public}\"]\n"
        ));
    }
    std::fs::write(config.with_file_name("operators.toml"), people).unwrap();
}

/// Makes closing a pull request an action for one call, with a route.
fn counted_close(api: &Path) {
    let text = std::fs::read_to_string(api).unwrap();
    let (close, merge) = text.split_once("\n[[action]]\nname = \"repo.pull.merge\"").unwrap();
    let route =
        "single_use = true\n[[action.route]]\nmethod = \"DELETE\"\npath = \"/repos/{owner}/{name}/pulls\"\n";
    let text = format!("{close}{route}\n[[action]]\nname = \"repo.pull.merge\"{merge}");
    std::fs::write(api, text).unwrap();
}

/// A server that ends with the test.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        // A server that was asked to end ends its workers, too.
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while std::time::Instant::now() < deadline {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
