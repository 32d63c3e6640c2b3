//! A daemon in this process, with a listener for verifiers, for what no configuration and no real time can give: its
//! clock, and how long it gives a connection, are the test's.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hotwork::api::server;
use hotwork::app::build::App;
use hotwork::config::Config;
use hotwork::domain::clock::Clock;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::pki::{Identity, config_below, connect_to, over};
use crate::raw::Raw;
use crate::support::{example, text};

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// The daemon, and a verifier that is enrolled there.
pub struct Within {
    address: SocketAddr,
    root: PathBuf,
    identity: Identity,
    _stop: watch::Sender<bool>,
}

impl Within {
    /// One that gives each connection `max_age`, when there is one, and the verifier a certificate for `lifetime`.
    pub async fn start(
        dir: &Path,
        clock: Arc<dyn Clock>,
        max_age: Option<Duration>,
        lifetime: &'static str,
    ) -> Self {
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
        let settings = &mut config.edge.verifier.as_mut().unwrap().settings;
        settings.max_age = max_age.unwrap_or(settings.max_age);
        let app = App::build_on(config, None, clock).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let bound = app.bound.clone();
        tokio::spawn(server::serve(app.listeners, app.broker, server::Settings::default(), stopped));
        let out = dir.join("verifier");
        let mut enroll = Command::new(env!("CARGO_BIN_EXE_hotwork"));
        enroll.args(["verifier", "enroll", "v", "--lifetime", lifetime, "--out"]).arg(&out);
        enroll.env("HOTWORK_ADMIN_ENDPOINT", format!("unix://{}", bound.admin.display()));
        let enrolled = tokio::task::spawn_blocking(move || enroll.output().unwrap()).await.unwrap();
        assert!(enrolled.status.success(), "{}", text(&enrolled));
        let (address, root) = (bound.edge.verifier.unwrap(), bound.edge.ca_file.unwrap());
        Self { address, root, identity: Identity::read(&out), _stop: stop }
    }

    /// The verifier's connection, by frames.
    pub async fn raw(&self) -> Raw {
        let config = config_below(&self.root, Some(&self.identity), &["h2"]);
        Raw::open(self.address, config, FROM).await.unwrap()
    }

    /// The verifier's connection.
    pub async fn verifier(&self) -> VerificationServiceClient<Channel> {
        let config = config_below(&self.root, Some(&self.identity), &["h2"]);
        let stream = connect_to(self.address, config, FROM).await.unwrap();
        VerificationServiceClient::new(over(stream).await.unwrap())
    }
}
