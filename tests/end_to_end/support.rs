//! Starts the real binaries and talks to them as users do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotwork::proto::v1::admin_service_client::AdminServiceClient;
use hotwork::proto::v1::audit_service_client::AuditServiceClient;
use hotwork::proto::v1::credential_service_client::CredentialServiceClient;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

/// When a daemon is killed, in the life of a call.
#[allow(dead_code, reason = "some of the targets that share this file need it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The caller has its answer.
    Answered,
    /// So long after the caller started: mostly before anything was written.
    Asked(Duration),
    /// The journal has just been written: mostly before the answer.
    Written,
}

/// For the shells that run a page's commands: says yes to a signature, as whoever reads the page does at a terminal.
#[allow(dead_code, reason = "some of the targets that share this file need it")]
pub const YES: &str = r#"hotwork() { case " $* " in *" --ssh-key "*) command hotwork "$@" --yes ;; *) command hotwork "$@" ;; esac; }"#;

/// A running `hotworkd`, killed when dropped.
pub struct Daemon {
    child: Child,
    pub state: PathBuf,
    pub env: BTreeMap<String, String>,
}

impl Daemon {
    /// `hotworkd dev` on `state`, ready.
    pub fn dev(state: &Path) -> Self {
        Self::dev_with(state, &[])
    }

    pub fn dev_with(state: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotworkd"));
        command.arg("dev").arg("--state-dir").arg(state).args(arguments);
        Self::start(command, state)
    }

    /// The same, started by another program that becomes it; by none when the list is empty.
    #[allow(dead_code, reason = "one of the targets that share this file needs it")]
    pub fn dev_under<P: AsRef<std::ffi::OsStr>>(program: &[P], state: &Path, arguments: &[&str]) -> Self {
        let hotworkd = env!("CARGO_BIN_EXE_hotworkd").as_ref();
        let mut line = program.iter().map(AsRef::as_ref).chain([hotworkd]);
        let mut command = Command::new(line.next().unwrap());
        command.args(line).arg("dev").arg("--state-dir").arg(state).args(arguments);
        Self::start(command, state)
    }

    /// `hotworkd serve` on `config`, ready.
    pub fn serve(config: &Path, state: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotworkd"));
        command.arg("serve").arg("--config").arg(config);
        Self::start(command, state)
    }

    /// As [`Self::serve`], started by another program that becomes it, such as `unshare -n`.
    #[allow(dead_code, reason = "one of the targets that share this file needs it")]
    pub fn serve_under(program: &[&str], config: &Path, state: &Path) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args([env!("CARGO_BIN_EXE_hotworkd"), "serve", "--config"]).arg(config);
        Self::start(command, state)
    }

    /// Starts it and waits for `READY=1` on its notify socket (`sd_notify(3)`).
    fn start(mut command: Command, state: &Path) -> Self {
        let notify = tempfile::tempdir().unwrap();
        let path = notify.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let log = std::fs::File::create(state.with_extension("log")).unwrap();
        command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap();
        let mut daemon = Self { child, state: state.to_owned(), env: BTreeMap::new() };
        daemon.wait_ready(&socket);
        daemon.env = read_env(&state.join("env"));
        daemon
    }

    fn wait_ready(&mut self, socket: &UnixDatagram) {
        let mut buffer = [0; 4096];
        loop {
            let read = match socket.recv(&mut buffer) {
                Ok(read) => read,
                // A wait with a time limit is not taken up again after a signal, such as that of a child's end.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("not ready: {error}, {:?}\n{}", self.child.try_wait(), self.log()),
            };
            if String::from_utf8_lossy(&buffer[..read]).lines().any(|line| line == "READY=1") {
                return;
            }
        }
    }

    /// Its process id.
    #[allow(dead_code, reason = "one of the targets that share this file needs it")]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stderr.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.state.with_extension("log")).unwrap_or_default()
    }

    /// `kill -9`, and waits for its end.
    pub fn kill_nine(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Runs the command and kills the daemon at that moment. What the command said of it.
    #[allow(dead_code, reason = "some of the targets that share this file need it")]
    pub fn kill_during(self, mut command: Command, when: When) -> Output {
        let written = self.written();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ended = || child.try_wait().unwrap().is_some();
        match when {
            When::Answered => while !ended() {},
            When::Asked(moment) => std::thread::sleep(moment),
            When::Written => while self.written() == written && !ended() {},
        }
        self.kill_nine();
        child.wait_with_output().unwrap()
    }

    /// Bytes of the journal, and when the emergency journal, whose size never changes, was written.
    fn written(&self) -> (u64, Option<std::time::SystemTime>) {
        std::thread::yield_now();
        let files = std::fs::read_dir(self.state.join("journal")).unwrap();
        let bytes = files.filter_map(|file| file.ok()?.metadata().ok()).map(|about| about.len()).sum();
        let emergency = std::fs::metadata(self.state.join("emergency/journal"));
        (bytes, emergency.and_then(|about| about.modified()).ok())
    }

    /// SIGTERM, and waits for its end; gives the exit code.
    pub fn stop(mut self) -> i32 {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// `hotwork` with the daemon's endpoints in its environment.
    pub fn hotwork(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotwork"));
        command.args(arguments).envs(&self.env).env_remove("HOTWORK_TOKEN_FILE").stdin(Stdio::null());
        command
    }

    /// `hotwork ... -o json`, which must succeed.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.hotwork(&[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub async fn channel(&self, variable: &str) -> Channel {
        channel(self.env[variable].strip_prefix("unix://").unwrap()).await
    }

    pub async fn agent(&self) -> CredentialServiceClient<Channel> {
        CredentialServiceClient::new(self.channel("HOTWORK_ENDPOINT").await)
    }

    pub async fn verifier(&self) -> VerificationServiceClient<Channel> {
        VerificationServiceClient::new(self.channel("HOTWORK_ENDPOINT").await)
    }

    pub async fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel("HOTWORK_ADMIN_ENDPOINT").await)
    }

    pub async fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel("HOTWORK_ADMIN_ENDPOINT").await)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn channel(path: &str) -> Channel {
    let path = path.to_owned();
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap()
}

/// One HTTP/1.1 request over a plain socket: status and body.
pub fn http(address: &str, method: &str, path: &str) -> (u16, String) {
    let answer = http_with(address, method, path, &[], "");
    (answer.status, String::from_utf8(answer.body).unwrap())
}

/// What an HTTP server answered.
pub struct HttpAnswer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// One HTTP/1.1 request with these header lines and this body.
pub fn http_with(address: &str, method: &str, path: &str, headers: &[&str], body: &str) -> HttpAnswer {
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
    // A server may answer and close before it has read everything.
    let _sent = write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}");
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer);
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP answer");
    let head = String::from_utf8(answer[..at].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    HttpAnswer { status, head: head.to_lowercase(), body: answer[at + 4..].to_vec() }
}

/// Looks until it holds, for half a minute at most.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within half a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A part of a token, unchecked: 0 is the header, 1 the claims.
#[allow(dead_code, reason = "one of the targets that share this file needs it")]
pub fn part(token: &str, at: usize) -> serde_json::Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The claims of a token, unchecked.
pub fn claims(token: &str) -> serde_json::Value {
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// `KEY=VALUE` lines.
pub fn read_env(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Both outputs, for assertion messages.
pub fn text(output: &Output) -> String {
    format!(
        "exit {:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// The lines of a child's stdout as they come.
pub fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok)
}

/// An example registry as a complete deployment by `hotworkd init`, with the caller's uid attested as its
/// agent and operator, on sockets in `dir`.
pub fn example(name: &str, dir: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples").join(name);
    let config = dir.join("config");
    copy(&from, &config, &rustix::process::getuid().as_raw().to_string());
    let state = dir.join("state");
    let text = format!(
        "trust_domain = \"example.org\"\nissuer = \"https://hotwork.example\"\nstate_dir = \"{state}\"\n\
         registry_dir = \"{registry}\"\n[agent_socket]\npath = \"{state}/agent.sock\"\n[admin_socket]\npath = \"{state}/admin.sock\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n",
        state = state.display(),
        registry = config.display(),
    );
    std::fs::write(config.join("hotworkd.toml"), text).unwrap();
    let init = Command::new(env!("CARGO_BIN_EXE_hotworkd"))
        .args(["init", "--trust-domain", "example.org", "--issuer", "https://hotwork.example"])
        .arg("--state-dir")
        .arg(&state)
        .arg("--config")
        .arg(&config)
        .output();
    let init = init.unwrap();
    assert!(init.status.success(), "{}", self::text(&init));
    config.join("hotworkd.toml")
}

fn copy(from: &Path, to: &Path, uid: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, uid);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            std::fs::write(target, text.replace("\"unix.uid\" = 1000", &format!("\"unix.uid\" = {uid}")))
                .unwrap();
        }
    }
}
