//! What was revoked and locked is in force before any listener opens: whoever knocks from before a start on, without a pause,
//! gets the right answer as the first one ever.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hotwork::domain::digest::Digest;
use hotwork::proto::v1;
use hotwork::proto::v1::credential_service_client::CredentialServiceClient;
use hotwork::proto::v1::introspect_request::Credential;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use crate::enroll;
use crate::pki::{config, connect_to};
use crate::support::{Daemon, example};

/// Anybody's; nobody proves possession here.
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
/// Entries that a start has to read before it knows anything of them.
const OTHERS: usize = 40;

/// A port that nobody gets who asks for any: the daemon has to find it free twice.
fn quiet_port(after: u16) -> u16 {
    let from = after.max(12_000 + u16::try_from(std::process::id() % 15_000).unwrap()) + 1;
    (from..from + 1_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// The procurement example with fixed doors.
struct Site {
    dir: tempfile::TempDir,
    config: PathBuf,
    http: SocketAddr,
    verifier: SocketAddr,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = example("procurement", dir.path());
        let http = quiet_port(0);
        let verifier = quiet_port(http);
        let text = std::fs::read_to_string(&config).unwrap();
        let fixed = text
            .replace("[http]\nlisten = \"127.0.0.1:0\"", &format!("[http]\nlisten = \"127.0.0.1:{http}\""));
        assert_ne!(fixed, text);
        let more = format!(
            "[verifier_tcp]\nlisten = \"127.0.0.1:{verifier}\"\nserver_names = [\"localhost\"]\n\
             [[resource_server]]\naudience = \"https://erp.example.org\"\nsecret_sha256 = \"{}\"\n",
            Digest::of(b"erp-secret")
        );
        std::fs::write(&config, fixed + &more).unwrap();
        let apis = config.with_file_name("apis/pay.toml");
        let often = std::fs::read_to_string(&apis).unwrap().replace("20/s", "5000/s");
        std::fs::write(apis, often).unwrap();
        let uid = rustix::process::getuid().as_raw();
        let roles = "\"admin\", \"revoker\", \"viewer\"";
        let operator = format!("[[operator]]\nname = \"alice\"\nuid = {uid}\nroles = [{roles}]\n");
        std::fs::write(config.with_file_name("operators.toml"), operator).unwrap();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { dir, config, http: at(http), verifier: at(verifier) }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn start(&self) -> Daemon {
        Daemon::serve(&self.config, &self.state())
    }
}

/// A token, and its id.
fn issue(daemon: &Daemon) -> (String, String) {
    let ask = ["issue", "pay.invoice.read", "--resource", "invoice/7", "--dpop-jkt", JKT, "--ttl", "5m"];
    let answer = daemon.json(&ask);
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (word(&answer["token"]), word(&answer["credential"]["id"]))
}

async fn channel<S>(stream: S) -> Option<Channel>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        async move { stream }
    });
    let endpoint = Endpoint::from_static("http://broker").timeout(Duration::from_secs(20));
    endpoint.connect_with_connector(connector).await.ok()
}

/// Who knocks.
#[derive(Clone)]
enum Door {
    Agents(PathBuf),
    Http(SocketAddr),
    Verifiers(SocketAddr, Box<ClientConfig>),
}

impl Door {
    /// Whether the token is active, as somebody who comes now is told; `None` when nobody answers.
    async fn says(&self, token: &str) -> Option<bool> {
        let stream: Channel = match self {
            Self::Agents(path) => channel(UnixStream::connect(path).await.ok()?).await?,
            Self::Verifiers(address, config) => {
                let from = IpAddr::from([127, 0, 0, 1]);
                channel(connect_to(*address, ClientConfig::clone(config), from).await.ok()?).await?
            }
            Self::Http(address) => {
                let (address, token) = (*address, token.to_owned());
                return tokio::task::spawn_blocking(move || introspected(address, &token)).await.unwrap();
            }
        };
        let message = v1::IntrospectRequest { credential: Some(Credential::Token(token.to_owned())) };
        let answer = VerificationServiceClient::new(stream).introspect(message).await;
        Some(answer.ok()?.into_inner().active)
    }
}

/// RFC 7662 over a plain socket.
fn introspected(address: SocketAddr, token: &str) -> Option<bool> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let body = format!("token={token}");
    let request = format!(
        "POST /oauth2/introspect HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer erp-secret\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let said: serde_json::Value = serde_json::from_str(body).ok().filter(|_| head.contains(" 200 "))?;
    said["active"].as_bool()
}

/// What an agent is told who asks for a credential: the reason of the refusal.
async fn asked(path: &Path) -> Option<String> {
    let channel = channel(UnixStream::connect(path).await.ok()?).await?;
    let request = v1::ActionRequest {
        action: "pay.invoice.read".into(),
        resource: "invoice/7".into(),
        ..v1::ActionRequest::default()
    };
    let binding = Some(v1::KeyBinding { jkt: JKT.into(), x5t_s256: String::new() });
    let message = v1::IssueTokenRequest { request: Some(request), binding };
    match CredentialServiceClient::new(channel).issue_token(message).await {
        Ok(_) => Some("issued".to_owned()),
        Err(status) => Some(status.get_details_error_info()?.reason),
    }
}

/// Asks without a pause until it is answered, from now on; gives the first answer. `began` is set once it was in vain.
fn knocks<T, F>(began: &Arc<AtomicBool>, mut ask: impl FnMut() -> F + Send + 'static) -> JoinHandle<T>
where
    T: Send + 'static,
    F: Future<Output = Option<T>> + Send,
{
    let began = Arc::clone(began);
    tokio::spawn(async move {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            began.store(true, Ordering::Relaxed);
            assert!(Instant::now() < deadline, "nobody answered within a minute");
            tokio::task::yield_now().await;
        }
    })
}

/// Waits until each of these was tried in vain.
async fn all(began: &[Arc<AtomicBool>]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !began.iter().all(|one| one.load(Ordering::Relaxed)) {
        assert!(Instant::now() < deadline, "who knocks was to be there before the daemon");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_answer_ever_given_after_a_start_knows_what_was_revoked_and_locked() {
    let site = Site::new();
    let daemon = site.start();
    let (swept, _) = issue(&daemon);
    (0..OTHERS).for_each(|_| drop(issue(&daemon)));
    daemon.json(&["revoke", "--all", "--yes", "--reason", "incident 42"]);
    let ((single, id), (live, _)) = (issue(&daemon), issue(&daemon));
    daemon.json(&["revoke", "--credential", &id, "--reason", "leaked"]);
    daemon.json(&["lock", "--api", "pay", "--message", "incident 42"]);
    let identity = enroll(&daemon, "verifier", "mesh", site.dir.path());
    let trusts = Box::new(config(&daemon, Some(&identity), &["h2"]));
    let verifiers = Door::Verifiers(site.verifier, trusts);
    let agents = site.state().join("agent.sock");
    let doors =
        [("agents", Door::Agents(agents.clone())), ("verifiers", verifiers), ("HTTP", Door::Http(site.http))];
    // What is expected is what it says before, so that a door that says no to everybody is none.
    let expected = [(swept, false), (single, false), (live, true)];
    for (name, door) in &doors {
        for (token, active) in &expected {
            assert_eq!(door.says(token).await, Some(*active), "{name}");
        }
    }
    assert_eq!(asked(&agents).await.as_deref(), Some("locked"));

    let mut daemon = Some(daemon);
    for index in [true, false] {
        daemon.take().unwrap().kill_nine();
        if !index {
            std::fs::remove_dir_all(site.state().join("index")).unwrap();
        }
        let mut began = Vec::new();
        let mut new = || {
            began.push(Arc::new(AtomicBool::new(false)));
            Arc::clone(began.last().unwrap())
        };
        let mut answers = Vec::new();
        for (name, door) in &doors {
            for (token, active) in &expected {
                let (door, token) = (door.clone(), token.clone());
                let ask = move || {
                    let (door, token) = (door.clone(), token.clone());
                    async move { door.says(&token).await }
                };
                answers.push((*name, *active, knocks(&new(), ask)));
            }
        }
        let path = agents.clone();
        let issues = knocks(&new(), move || {
            let path = path.clone();
            async move { asked(&path).await }
        });
        all(&began).await;
        daemon = Some(site.start());
        for (name, active, answer) in answers {
            assert_eq!(answer.await.unwrap(), active, "{name}, with an index: {index}");
        }
        assert_eq!(issues.await.unwrap(), "locked", "with an index: {index}");
    }
}
