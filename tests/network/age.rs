//! `max_age`: no connection lasts longer, whatever its peer does with it. The daemon is in this process, because its
//! configuration has a minute at least.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotwork::api::server;
use hotwork::app::build::App;
use hotwork::clock::SystemClock;
use hotwork::config::Config;
use hotwork::domain::limits::REQUEST_SECONDS_MAX;
use hotwork::proto::v1::WatchRevocationsRequest;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use tokio::sync::watch;

use crate::pki::{Identity, config_below, connect_to, over};
use crate::raw::Raw;
use crate::support::{example, text};

const AGE: Duration = Duration::from_secs(2);
const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
/// GOAWAY (RFC 9113 section 6.8).
const GOAWAY: u8 = 7;
/// How much later than it should a busy machine may be.
const LATE: Duration = Duration::from_secs(8);

/// A daemon whose verifiers' listener gives each connection [`AGE`].
struct Aged {
    address: SocketAddr,
    root: PathBuf,
    identity: Identity,
    _stop: watch::Sender<bool>,
}

impl Aged {
    async fn start(dir: &Path) -> Self {
        let file = example("coding", dir);
        let operators = file.with_file_name("operators.toml");
        let uid = format!("uid = {}\n", rustix::process::getuid().as_raw());
        let known = std::fs::read_to_string(&operators).unwrap().replace("uid = 0\n", &uid);
        std::fs::write(&operators, known).unwrap();
        let before = std::fs::read_to_string(&file).unwrap();
        let listener = "[verifier_tcp]\nlisten = \"127.0.0.1:0\"\nserver_names = [\"localhost\"]\n";
        std::fs::write(&file, format!("{before}{listener}max_age = \"59s\"\n")).unwrap();
        assert!(Config::load(&file).is_err(), "no configuration can have less than a minute");
        std::fs::write(&file, format!("{before}{listener}")).unwrap();
        let mut config = Config::load(&file).unwrap_or_else(|bad| panic!("{bad}"));
        config.edge.verifier.as_mut().unwrap().settings.max_age = AGE;
        let app = App::build_on(config, None, Arc::new(SystemClock::new())).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let bound = app.bound.clone();
        tokio::spawn(server::serve(app.listeners, app.broker, server::Settings::default(), stopped));
        let out = dir.join("verifier");
        let mut enroll = Command::new(env!("CARGO_BIN_EXE_hotwork"));
        enroll.args(["verifier", "enroll", "v", "--out"]).arg(&out);
        enroll.env("HOTWORK_ADMIN_ENDPOINT", format!("unix://{}", bound.admin.display()));
        let enrolled = tokio::task::spawn_blocking(move || enroll.output().unwrap()).await.unwrap();
        assert!(enrolled.status.success(), "{}", text(&enrolled));
        let (address, root) = (bound.edge.verifier.unwrap(), bound.edge.ca_file.unwrap());
        Self { address, root, identity: Identity::read(&out), _stop: stop }
    }

    async fn raw(&self) -> Raw {
        let config = config_below(&self.root, Some(&self.identity), &["h2"]);
        Raw::open(self.address, config, FROM).await.unwrap()
    }

    /// Who answers what it is asked is asked to go, and goes.
    async fn quiet(&self) {
        let begun = Instant::now();
        let mut raw = self.raw().await;
        let mut asked_to_go = false;
        while let Ok(next) = raw.next().await {
            asked_to_go |= next.kind == GOAWAY;
        }
        ended("quiet", begun, AGE);
        assert!(asked_to_go);
    }

    /// Who answers nothing is cut when what is in flight must have ended.
    async fn deaf(&self) {
        let begun = Instant::now();
        let kinds = self.raw().await.until_closed().await;
        ended("deaf", begun, AGE + Duration::from_secs(REQUEST_SECONDS_MAX));
        assert!(kinds.contains(&GOAWAY), "{kinds:?}");
    }

    /// And so is a stream that has no end of its own.
    async fn following(&self) {
        let begun = Instant::now();
        let config = config_below(&self.root, Some(&self.identity), &["h2"]);
        let channel = over(connect_to(self.address, config, FROM).await.unwrap()).await.unwrap();
        let mut verifier = VerificationServiceClient::new(channel);
        let follow =
            verifier.watch_revocations(WatchRevocationsRequest { instance: 1, ..Default::default() });
        let mut feed = follow.await.unwrap().into_inner();
        while let Ok(Some(_)) = feed.message().await {}
        ended("following", begun, AGE + Duration::from_secs(REQUEST_SECONDS_MAX));
    }
}

#[track_caller]
fn ended(who: &str, begun: Instant, limit: Duration) {
    let took = begun.elapsed();
    assert!(took >= limit && took < limit + LATE, "{who}: {took:?}, and the limit is {limit:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_connection_lasts_longer_than_it_may_whatever_its_peer_does() {
    let dir = tempfile::tempdir().unwrap();
    let aged = Aged::start(dir.path()).await;
    let all = async { tokio::join!(aged.quiet(), aged.deaf(), aged.following()) };
    tokio::time::timeout(Duration::from_secs(40), all).await.expect("a connection that does not end");
}
