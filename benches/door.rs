//! What the running daemon answers to proxies and verifiers: `cargo bench --bench door`.
//!
//! Load and daemon share the machine, so beside rate and latency it prints the daemon's own CPU time for
//! each answer: one core can give 1 s divided by that. With `cargo bench --bench door -- one-core` the daemon has the first
//! core to itself and the load the second: then rate and latency are those of one core.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark, not a library"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotwork::domain::digest::Digest;
use hotwork::domain::signer::{Algorithm, Signer as _};
use hotwork::proto::envoy::attribute_context::{HttpRequest, Peer, Request};
use hotwork::proto::envoy::authorization_client::AuthorizationClient;
use hotwork::proto::envoy::{AttributeContext, CheckRequest};
use hotwork::proto::v1;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use hotwork::signer::key::LocalSigner;
use tonic::transport::Channel;

#[path = "../tests/end_to_end/support.rs"]
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
mod support;

const CALLERS: usize = 32;
/// So few that latency is the daemon's and not that of a queue before it.
const FEW: usize = 8;
const CALLS: usize = 40_000;
const PATH: &str = "/repos/acme/site/contents";

/// Credentials of one run: more than the daemon keeps in memory.
const CREDENTIALS: usize = 50_000;

struct Agent {
    key: LocalSigner,
    token: String,
}

impl Agent {
    fn new(daemon: &support::Daemon, algorithm: Algorithm) -> Self {
        let pkcs8 = LocalSigner::generate(algorithm).unwrap();
        let key = LocalSigner::from_pkcs8(algorithm, &pkcs8).unwrap();
        let arguments = [
            "issue",
            "repo.file.read",
            "--resource",
            "repo/acme/site",
            "--ttl",
            "15m",
            "--dpop-jkt",
            key.kid(),
        ];
        let token = daemon.json(&arguments)["token"].as_str().unwrap().to_owned();
        Self { key, token }
    }

    fn proof(&self, jti: usize) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (alg, jwk) = match (self.key.algorithm(), self.key.public_key()) {
            (Algorithm::Es256, point) => {
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                ("ES256", format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#))
            }
            (Algorithm::Ed25519, key) => {
                ("Ed25519", format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, encode(key)))
            }
        };
        let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let ath = encode(Digest::of(self.token.as_bytes()).as_bytes());
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{jwk}}}"#);
        let payload = format!(
            r#"{{"jti":"{jti}","htm":"GET","htu":"https://git.example.org{PATH}","iat":{seconds},"ath":"{ath}"}}"#
        );
        let input = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        format!("{input}.{}", encode(&self.key.sign(input.as_bytes()).unwrap()))
    }

    fn check(&self, jti: usize) -> CheckRequest {
        let headers = [
            ("authorization".to_owned(), format!("DPoP {}", self.token)),
            ("dpop".to_owned(), self.proof(jti)),
        ];
        let http = HttpRequest {
            method: "GET".into(),
            path: PATH.into(),
            headers: HashMap::from(headers),
            header_map: None,
        };
        CheckRequest {
            attributes: Some(AttributeContext {
                source: None,
                request: Some(Request { http: Some(http) }),
                context_extensions: HashMap::from([("hotwork_api".to_owned(), "repo".to_owned())]),
            }),
        }
    }
}

/// Runs the calls by so many callers at once, over some connections, and prints what they took.
async fn load<C, R, F>(
    name: &str,
    callers: usize,
    pid: u32,
    clients: &[C],
    calls: Vec<R>,
    one: impl Fn(C, R) -> F + Clone + Send + 'static,
) where
    C: Clone + Send + 'static,
    R: Send + 'static,
    F: Future<Output = ()> + Send,
{
    let all = calls.len();
    let mut parts: Vec<Vec<R>> = (0..callers).map(|_| Vec::new()).collect();
    for (n, call) in calls.into_iter().enumerate() {
        parts[n % callers].push(call);
    }
    let (start, before) = (Instant::now(), cpu(pid));
    let tasks: Vec<_> = parts
        .into_iter()
        .enumerate()
        .map(|(n, part)| {
            let (client, one) = (clients[n % clients.len()].clone(), one.clone());
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(part.len());
                for call in part {
                    let start = Instant::now();
                    one(client.clone(), call).await;
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let (wall, used) = (start.elapsed(), cpu(pid).saturating_sub(before));
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 1000];
    println!(
        "{name}, {callers} callers: {:.0}/s, p50 {:?}, p99 {:?}; daemon {:?} CPU each, {:.0}/s a core",
        all as f64 / wall.as_secs_f64(),
        at(500),
        at(990),
        used / all as u32,
        all as f64 / used.as_secs_f64(),
    );
}

/// Runs on this core alone from now on.
fn only(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores).unwrap();
}

/// CPU time of a process, at 10 ms.
fn cpu(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn allowed(mut door: AuthorizationClient<Channel>, check: CheckRequest) {
    let answer = door.check(check).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().code, 0);
}

async fn active(mut verifier: VerificationServiceClient<Channel>, request: v1::IntrospectRequest) {
    assert!(verifier.introspect(request).await.unwrap().into_inner().active);
}

/// As many tokens as asked for.
async fn tokens(daemon: &support::Daemon, jkt: &str, count: usize) -> Vec<String> {
    let tasks: Vec<_> = std::iter::repeat_with(|| daemon.agent()).take(CALLERS).collect();
    let mut callers = Vec::new();
    for client in tasks {
        let (mut client, jkt) = (client.await, jkt.to_owned());
        callers.push(tokio::spawn(async move {
            let mut tokens = Vec::new();
            for _ in 0..count / CALLERS {
                let request = v1::ActionRequest {
                    action: "repo.file.read".into(),
                    resource: "repo/acme/site".into(),
                    ttl: Some(prost_types::Duration { seconds: 900, nanos: 0 }),
                    ..Default::default()
                };
                let binding = Some(v1::KeyBinding { jkt: jkt.clone(), ..Default::default() });
                let asked = v1::IssueTokenRequest { request: Some(request), binding };
                tokens.push(client.issue_token(asked).await.unwrap().into_inner().token);
            }
            tokens
        }));
    }
    let mut tokens = Vec::new();
    for caller in callers {
        tokens.extend(caller.await.unwrap());
    }
    tokens
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let config = support::example("coding", dir.path());
    let socket = dir.path().join("authz.sock");
    let text = std::fs::read_to_string(&config).unwrap();
    let api = config.with_file_name("apis").join("repo.toml");
    let rates = std::fs::read_to_string(&api).unwrap().replace("rate = \"50/s\"", "rate = \"1000000/s\"");
    std::fs::write(api, rates).unwrap();
    std::fs::write(&config, format!("{text}[authz_socket]\npath = \"{}\"\n", socket.display())).unwrap();
    // The daemon has the cores that this process has when it starts it.
    let apart = std::env::args().any(|argument| argument == "one-core");
    if apart {
        only(0);
    }
    let daemon = support::Daemon::serve(&config, &dir.path().join("state"));
    if apart {
        only(1);
    }
    let (pid, agent) = (daemon.pid(), Agent::new(&daemon, Algorithm::Es256));
    let mut doors = Vec::new();
    let mut verifiers = Vec::new();
    for _ in 0..4 {
        doors.push(AuthorizationClient::new(support::channel(socket.to_str().unwrap()).await));
        verifiers.push(daemon.verifier().await);
    }
    let checks: Vec<CheckRequest> = (0..CALLS).map(|n| agent.check(n)).collect();
    load("ext_authz, ES256 proof", CALLERS, pid, &doors, checks, allowed).await;
    let ed25519 = Agent::new(&daemon, Algorithm::Ed25519);
    let checks: Vec<CheckRequest> = (0..CALLS).map(|n| ed25519.check(n)).collect();
    load("ext_authz, Ed25519 proof", CALLERS, pid, &doors, checks, allowed).await;
    for callers in [1, FEW] {
        let checks: Vec<CheckRequest> = (0..CALLS / 10).map(|n| agent.check(CALLS * callers + n)).collect();
        load("ext_authz, ES256 proof", callers, pid, &doors, checks, allowed).await;
    }
    let folder = dir.path().join("cert");
    let out = folder.to_str().unwrap();
    let arguments =
        ["issue", "repo.file.read", "--resource", "repo/acme/site", "--ttl", "15m", "--kind", "cert"];
    daemon.json(&[&arguments[..], &["--out", out]].concat());
    let pem = std::fs::read_to_string(folder.join("cert.pem")).unwrap();
    let escaped = pem.replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B");
    let mut check = agent.check(0);
    let attributes = check.attributes.as_mut().unwrap();
    attributes.source = Some(Peer { certificate: escaped });
    attributes.request.as_mut().unwrap().http.as_mut().unwrap().headers.clear();
    for callers in [1, FEW, CALLERS] {
        let checks = vec![check.clone(); CALLS];
        load("ext_authz, client certificate", callers, pid, &doors, checks, allowed).await;
    }
    let request = v1::IntrospectRequest {
        credential: Some(v1::introspect_request::Credential::Token(agent.token.clone())),
    };
    let calls = vec![request; CALLS];
    load("Introspect", CALLERS, pid, &verifiers, calls, active).await;
    let asked = |token: String| v1::IntrospectRequest {
        credential: Some(v1::introspect_request::Credential::Token(token)),
    };
    let calls: Vec<_> = tokens(&daemon, agent.key.kid(), CREDENTIALS).await.into_iter().map(asked).collect();
    for round in ["first", "second"] {
        let name = format!("Introspect, {} tokens, the {round} time", calls.len());
        load(&name, CALLERS, pid, &verifiers, calls.clone(), active).await;
    }
}
