//! The real daemon in this process, on a clock that the test holds: what it does when time can't be told, and
//! what must not depend on who comes first.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    reason = "tests"
)]

#[path = "end_to_end/support.rs"]
mod support;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use hotwork::api::door::Gate;
use hotwork::api::server;
use hotwork::app::build::{App, Bound};
use hotwork::attest::Presented;
use hotwork::attest::unix::{Connection, Listener};
use hotwork::attest::x509::{Certified, Standing as Shows};
use hotwork::broker::Broker;
use hotwork::broker::identity::Slot;
use hotwork::broker::standing::StandingError;
use hotwork::clock::{ManualClock, SystemClock};
use hotwork::config::Config;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::evidence::Evidence;
use hotwork::domain::id::CredentialId;
use hotwork::domain::name::AgentId;
use hotwork::domain::time::Timestamp;
use hotwork::verify::http::{Arrived, Protected, check};
use hotwork::verify::{Authority, Calls, Refusal, Settings, Standing, Status, Verifier};
use http::HeaderMap;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use support::{http_with, text};

const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const SITE: &str = "repo/acme/site";

/// A served daemon with the coding agent's registry.
struct Held {
    broker: Arc<Broker>,
    bound: Bound,
    clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
    _stop: watch::Sender<bool>,
}

impl Held {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// One whose registry `edit` changes before the start.
    async fn with(edit: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = support::example("coding", dir.path());
        edit(file.parent().unwrap());
        let config = Config::load(&file).unwrap_or_else(|bad| panic!("{bad}"));
        let clock = Arc::new(ManualClock::new(SystemClock::new().now().unwrap()));
        let app = App::build_on(config, None, Arc::clone(&clock) as _).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let (broker, bound) = (Arc::clone(&app.broker), app.bound.clone());
        tokio::spawn(server::serve(app.listeners, app.broker, server::Settings::default(), stopped));
        Self { broker, bound, clock, dir, _stop: stop }
    }

    fn hotwork(&self, arguments: &[&str]) -> Output {
        let uri = |path: &Path| format!("unix://{}", path.display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotwork"));
        command.args(arguments).stdin(Stdio::null());
        command.env("HOTWORK_ENDPOINT", uri(&self.bound.agent));
        command.env("HOTWORK_ADMIN_ENDPOINT", uri(&self.bound.admin));
        command.output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.hotwork(&[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn is_live(&self, token: &str) -> bool {
        let file = self.dir.path().join("shown");
        std::fs::write(&file, token).unwrap();
        self.hotwork(&["credential", "verify", file.to_str().unwrap()]).status.success()
    }

    /// RFC 7009: the status of giving the token back.
    fn give_back(&self, token: &str) -> u16 {
        let address = format!("http://{}", self.bound.http.unwrap());
        let form = ["Content-Type: application/x-www-form-urlencoded"];
        http_with(&address, "POST", "/oauth2/revoke", &form, &format!("token={token}")).status
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_that_is_given_back_on_a_bad_clock_is_an_error_and_never_a_silent_success() {
    let held = Held::start().await;
    let issue = ["issue", "repo.file.read", "--resource", SITE, "--dpop-jkt", JKT];
    let token = held.json(&issue)["token"].as_str().unwrap().to_owned();
    assert!(held.is_live(&token));
    held.clock.break_by(10_000);
    assert_eq!(held.give_back(&token), 503, "RFC 7009 section 2.2.1");
    held.clock.advance_millis(1);
    assert!(held.is_live(&token), "nothing was done, and that is what was said");
    assert_eq!(held.give_back(&token), 200);
    assert!(!held.is_live(&token));
    // An unknown token has nothing to give back.
    assert_eq!(held.give_back("x"), 200);
}

/// Has not heard of anything.
struct Deaf;

impl Standing for Deaf {
    fn standing(&self, _: &Authority, _: Timestamp) -> Status {
        Status::Live
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_door_judges_the_record_also_when_another_request_has_put_it_into_memory() {
    let held = Held::start().await;
    let gate = Gate::new(Arc::clone(&held.broker));
    let out = held.dir.path().join("cert");
    let issue =
        ["issue", "repo.file.read", "--resource", SITE, "--kind", "cert", "--out", out.to_str().unwrap()];
    let issued = held.json(&issue);
    let id: CredentialId = issued["credential"]["id"].as_str().unwrap().parse().unwrap();
    let der = CertificateDer::from_pem_file(out.join("cert.pem")).unwrap();
    let (now, headers) = (held.clock.now().unwrap(), HeaderMap::new());
    let target = "/repos/acme/site/contents";
    let arrived = Arrived { method: "GET", target, headers: &headers, certificate: Some(&der), args: None };
    // This request was verified while its record was not in memory, so nothing was known of its owner.
    let settings = Settings { calls: Calls::CountedByCaller, ..Settings::default() };
    let verifier = Verifier::new(held.broker.minter().trust(now), Arc::new(Deaf), settings);
    let api = Protected::of(held.broker.rules().registry.active_api(&"repo".parse().unwrap()).unwrap());
    let verified = check(&verifier, &api, &arrived, now).unwrap();
    assert_eq!(gate.recorded(&verified, now).await, Ok(()));
    held.clock.advance_millis(1);
    let owner = "dev-tools@example.org";
    let revoked = held.hotwork(&["revoke", "--owner", owner, "--reason", "test", "--yes"]);
    assert!(revoked.status.success(), "{}", text(&revoked));
    // Another one has put it there meanwhile.
    assert!(held.broker.record_of(id).await.unwrap().is_some() && held.broker.remembered(&id).is_some());
    assert_eq!(gate.recorded(&verified, now).await, Err(Refusal::Ended));
    assert_eq!(gate.check("repo", &arrived).await.map(drop).unwrap_err().refusal, Refusal::Ended);
}

#[tokio::test]
async fn a_connection_s_certificate_that_has_expired_is_good_for_no_call() {
    let held = Held::start().await;
    let evidence = Arc::new(Evidence::new([], None).unwrap());
    let expires = held.clock.now().unwrap().plus_millis(60_000);
    let peer = Certified { expires, standing: Shows::Workload(evidence) };
    held.clock.advance_millis(59_999);
    assert_eq!(held.broker.check_standing(&peer), Ok(()));
    held.clock.advance_millis(1);
    // Nobody has cut the connection: this is what each call on it is asked.
    assert_eq!(held.broker.check_standing(&peer), Err(StandingError::Expired));
}

/// What this process shows to a broker on a Unix socket, and the connection, which stays open.
async fn own(dir: &Path) -> (Presented, (Connection, UnixStream)) {
    let socket = dir.join("own.sock");
    let listener = Listener::bind(&socket, 0o600).unwrap();
    let mut stream = UnixStream::connect(&socket).unwrap();
    std::io::Write::write_all(&mut stream, b"a").unwrap();
    let mut connection = listener.accept().await.unwrap();
    assert_eq!(connection.read_u8().await.unwrap(), b'a');
    (Presented { unix: Some(connection.peer()), ..Presented::default() }, (connection, stream))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_certificate_of_a_proxy_is_over_when_a_lock_the_registry_or_a_revocation_says_so() {
    let change = |config: &Path, from: &str, to: &str| {
        let file = config.join("agents/coder.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(file, text.replace(from, to)).unwrap();
    };
    let (without, with) = ("[rules]", "identity_certificate = true\n[rules]");
    let held = Held::with(|config| change(config, without, with)).await;
    let (presented, _open) = own(held.dir.path()).await;
    let slot: Slot = Arc::default();
    let made = held.broker.agent_identity(&presented, |_| Arc::clone(&slot)).await;
    let made = made.unwrap_or_else(|refused| panic!("{refused}"));
    let agent: AgentId = "spiffe://example.org/tenant/default/agent/coder".parse().unwrap();
    let is_over = || held.broker.identity_is_over(&agent, &made, held.broker.time());
    assert!(!is_over());
    assert!(held.broker.identity_is_over(&agent, &made, made.expires()), "by itself");
    for (selector, over) in [
        (&["--all"][..], true),
        (&["--tenant", "default"], true),
        (&["--agent", agent.as_str()], true),
        (&["--owner", "dev-tools@example.org"], true),
        (&["--owner", "somebody@example.org"], false),
        (&["--tenant", "other"], false),
    ] {
        let lock = held.json(&[&["lock"], selector, &["--message", "not now"]].concat());
        assert_eq!(is_over(), over, "{selector:?}");
        held.json(&["lock", "rm", lock["lock"]["id"].as_str().unwrap()]);
        assert!(!is_over(), "{selector:?}");
    }
    let config = held.dir.path().join("config");
    for (from, to) in [(with, without), ("name = \"coder\"", "name = \"other\"")] {
        change(&config, from, to);
        held.json(&["reload"]);
        assert!(is_over(), "{to}");
        change(&config, to, from);
        held.json(&["reload"]);
        assert!(!is_over());
    }
    held.clock.advance_millis(1);
    held.json(&["revoke", "--agent", agent.as_str(), "--reason", "leaked", "--yes"]);
    assert!(is_over());
}
