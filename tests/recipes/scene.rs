//! What every proxy must do, whichever it is: the daemon with the coding agent's registry, an API, an agent.

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
const PULLS: &str = "/repos/acme/site/pulls";
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
        let dir = tempfile::tempdir().unwrap();
        let config = support::example("coding", dir.path());
        counted_close(&config.with_file_name("apis/repo.toml"));
        let responders = ["ann", "ben"].map(|name| KeyPair::ed25519(dir.path(), name));
        playbook(&config, &responders);
        let text = std::fs::read_to_string(&config).unwrap();
        let socket = format!(
            "[authz_socket]\npath = \"{}\"\nmode = \"0666\"\n\
             [verifier_tcp]\nlisten = \"127.0.0.1:0\"\nserver_names = [\"127.0.0.1\"]\n",
            dir.path().join("authz.sock").display()
        );
        std::fs::write(&config, text + &socket).unwrap();
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

    /// A token and a certificate that end by themselves, on connections that are open.
    fn expiring(&self, port: u16) {
        let (mut plain, lasting) = (self.client(port, None), self.token("repo.file.read"));
        let token = self.agent.token_with(&self.daemon, "repo.file.read", SITE, &["--ttl", LIFE]);
        let (folder, issued) = self.issued("expiring", LIFE);
        let mut certified = self.client(port, Some(&folder));
        assert_eq!(self.read(&mut plain, &token).status, 200, "while it lives");
        // The certificate's end is the later one.
        Self::expires(end(&issued), &mut [&mut || certified.ask("GET", READ, &[])]);
        assert_eq!(self.read(&mut plain, &token).refused(), (401, "credential-expired"));
        assert_eq!(self.read(&mut plain, &lasting).status, 200, "the connection is good for others");
        assert_ne!(self.client(port, Some(&folder)).first(READ), Some(200), "nor on a new one");
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

    /// An open break-glass session for reading the site.
    pub fn session(&self) -> String {
        let key = |at: usize| self.responders[at].private.to_str().unwrap();
        let open =
            ["break-glass", "open", "read", "--reason", "r", "--ticket", "T-1", "--yes", "--ssh-key", key(0)];
        let first = self.daemon.json(&open);
        let id = first["progress"]["statementId"].as_str().unwrap();
        let second = self.daemon.json(&["break-glass", "sign", &id[..12], "--yes", "--ssh-key", key(1)]);
        second["progress"]["session"].as_str().unwrap().to_owned()
    }

    pub fn close(&self, session: &str) {
        self.daemon.json(&["break-glass", "close", session, "--reason", "done"]);
        self.daemon.json(&["break-glass", "review", session, "--finding", "a test"]);
    }

    /// What was minted under a session dies with it, on connections that are open.
    fn sessions(&self, port: u16) {
        let session = self.session();
        let token = self.agent.token_with(&self.daemon, "repo.file.read", SITE, &["--break-glass", &session]);
        let folder = self.path("session");
        let out = ["--kind", "cert", "--out", folder.to_str().unwrap()];
        let ask = ["issue", "repo.file.read", "--resource", SITE, "--break-glass", &session];
        self.daemon.json(&[&ask[..], &out].concat());
        let (mut plain, mut certified) = (self.client(port, None), self.client(port, Some(&folder)));
        assert_eq!(self.read(&mut plain, &token).status, 200);
        assert_eq!(certified.ask("GET", READ, &[]).status, 200);
        self.close(&session);
        assert_eq!(self.read(&mut plain, &token).refused(), (401, "credential-ended"));
        assert_eq!(certified.ask("GET", READ, &[]).refused(), (401, "credential-ended"));
        // The connection itself is good for others.
        assert_eq!(self.read(&mut plain, &self.token("repo.file.read")).status, 200);
    }

    /// Everything that holds of a proxy on `port`.
    pub fn holds(&self, port: u16) {
        self.tokens(port);
        self.counted(port);
        self.paths(port);
        self.expiring(port);
        self.sessions(port);
        self.certificates(port);
    }

    fn tokens(&self, port: u16) {
        let (token, other) = (self.token("repo.file.read"), self.token("repo.pull.open"));
        let mut open = self.client(port, None);
        let stranger = open.ask("GET", READ, &[]);
        assert_eq!(stranger.refused(), (401, "credential-missing"), "{stranger:?}");
        assert!(stranger.header("www-authenticate").unwrap().starts_with("DPoP algs="), "{stranger:?}");
        let before = self.upstream.served();
        let permitted = self.read(&mut open, &token);
        assert_eq!(permitted.status, 200, "{permitted:?}");
        let agent = "x-hotwork-agent: spiffe://example.org/tenant/default/agent/coder";
        assert!(permitted.body.to_ascii_lowercase().contains(agent), "{permitted:?}");
        assert_eq!(self.upstream.served(), before + 1);
        // What a client sends under the same name does not reach the API.
        let proof = self.agent.proof(&token, "GET", READ);
        let authorization = format!("DPoP {}", token.text);
        let headers = [("Authorization", &*authorization), ("DPoP", &proof), ("X-Hotwork-Agent", "root")];
        let forged = open.ask("GET", READ, &headers);
        assert!(forged.status == 200 && !forged.body.contains("root"), "{forged:?}");
        // The same proof once more, a bound token as a bearer token, two credentials at once.
        assert_eq!(open.ask("GET", READ, &headers[..2]).refused(), (401, "proof-replayed"));
        let bearer = format!("Bearer {}", token.text);
        assert_eq!(open.ask("GET", READ, &[("Authorization", &bearer)]).refused(), (401, "proof-missing"));
        // Another action, on the same connection.
        assert_eq!(self.read(&mut open, &other).refused(), (403, "action-other"));
        assert_eq!(self.show(&mut open, &other, "POST", PULLS, PULLS).status, 200);
        // Revoked: refused on the open connection and on a new one. The other lives.
        self.revoke(&["--credential", &token.id]);
        assert_eq!(self.read(&mut open, &token).refused(), (401, "credential-ended"));
        assert_eq!(self.read(&mut self.client(port, None), &token).refused(), (401, "credential-ended"));
        assert_eq!(self.show(&mut open, &other, "POST", PULLS, PULLS).status, 200);
    }

    fn counted(&self, port: u16) {
        let token = self.token("repo.pull.close");
        let mut open = self.client(port, None);
        // What is refused costs no call.
        let elsewhere = "/repos/acme/payroll/pulls";
        let refused = self.show(&mut open, &token, "DELETE", elsewhere, elsewhere);
        assert_eq!(refused.refused(), (403, "resource-other"));
        let before = self.upstream.served();
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let one = || {
                let mut client = self.client(port, None);
                self.show(&mut client, &token, "DELETE", PULLS, PULLS)
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
        assert_eq!(self.upstream.served(), before + 1);
        let again = self.show(&mut open, &token, "DELETE", PULLS, PULLS);
        assert_eq!(again.refused(), (401, "calls-exhausted"));
    }

    fn paths(&self, port: u16) {
        let token = self.token("repo.file.read");
        let before = self.upstream.served();
        for target in [
            "/repos/acme/payroll/contents",
            "/repos/acme/site/contents/",
            "/repos/acme/site//contents",
            "/repos/acme/payroll/../site/contents",
            "/repos/acme/site/contents/../../payroll/contents",
            "/repos/acme/%73ite/contents",
            "/repos/acme%2fsite/contents",
            "/repos/acme/site/contents?ref=../../payroll",
            "/repos/acme/site/contents;x",
            "/",
        ] {
            let mut client = self.client(port, None);
            let refused = self.show(&mut client, &token, "GET", target, READ);
            assert!([400, 401, 403].contains(&refused.status), "{target}: {refused:?}");
            let honest = target.split('?').next().unwrap();
            let refused = self.show(&mut self.client(port, None), &token, "GET", target, honest);
            assert!([400, 401, 403].contains(&refused.status), "{target}: {refused:?}");
        }
        let proof = self.agent.proof(&token, "GET", READ);
        let authorization = format!("DPoP {}", token.text);
        for header in ["X-HTTP-Method-Override", "X-Original-URL"] {
            let headers = [("Authorization", &*authorization), ("DPoP", &*proof), (header, "DELETE")];
            let refused = self.client(port, None).ask("GET", READ, &headers);
            assert!([401, 403].contains(&refused.status), "{header}: {refused:?}");
        }
        assert_eq!(self.upstream.served(), before, "something came through");
    }

    fn certificates(&self, port: u16) {
        let folder = self.certificate("cert");
        let mut open = self.client(port, Some(&folder));
        let permitted = open.ask("GET", READ, &[]);
        assert_eq!(permitted.status, 200, "{permitted:?}");
        assert_eq!(open.ask("POST", PULLS, &[]).refused(), (403, "action-other"));
        // A certificate in a header is nobody's: without the key it proves nothing.
        let pem = std::fs::read_to_string(folder.join("cert.pem"))
            .unwrap()
            .replace('\n', "%0A")
            .replace(' ', "%20");
        let stolen = [("X-Original-Client-Certificate", &*pem), ("X-Forwarded-Client-Cert", &pem)];
        assert_eq!(self.client(port, None).ask("GET", READ, &stolen).refused(), (401, "credential-missing"));
        self.revoke(&["--agent", "spiffe://example.org/tenant/default/agent/coder"]);
        assert_eq!(open.ask("GET", READ, &[]).refused(), (401, "credential-ended"));
        let again = self.client(port, Some(&folder)).ask("GET", READ, &[]);
        assert_eq!(again.refused(), (401, "credential-ended"));
        // What is issued after it lives.
        let after = self.certificate("after");
        assert_eq!(self.client(port, Some(&after)).ask("GET", READ, &[]).status, 200);
    }
}

/// When the credential of an answer expires.
pub fn end(issued: &serde_json::Value) -> SystemTime {
    let text = issued["credential"]["expireTime"].as_str().unwrap();
    let millis = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.cast_unsigned())
}

/// A playbook for reading the site, two who can sign, and this user who reviews.
fn playbook(config: &Path, responders: &[KeyPair; 2]) {
    let folder = config.with_file_name("playbooks");
    std::fs::create_dir_all(&folder).unwrap();
    let text = "name = \"read\"\npurpose = \"tests\"\nkind = \"expand\"\nactions = [\"repo.file.read\"]\n\
                agents = [\"default/coder\"]\nresources = [\"repo/acme/site\"]\n";
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
