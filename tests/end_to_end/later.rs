//! A daemon in this process, on a clock that the test holds: hours and days pass.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hotwork::api::server;
use hotwork::app::build::{App, Bound};
use hotwork::broker::Broker;
use hotwork::clock::{ManualClock, SystemClock};
use hotwork::config::Config;
use hotwork::domain::clock::Clock as _;
use hotwork::proto::v1::break_glass_service_client::BreakGlassServiceClient;
use hotwork::proto::v1::prepare_request::Asks;
use hotwork::proto::v1::{PrepareRequest, PrepareResponse};
use serde_json::Value;
use tokio::sync::watch;

use crate::support::{channel, code, text};

pub struct Later {
    pub bound: Bound,
    pub broker: Arc<Broker>,
    pub clock: Arc<ManualClock>,
    _stop: watch::Sender<bool>,
}

impl Later {
    /// On the scene whose files are in `dir`, so many milliseconds after now.
    pub async fn start(dir: &Path, ahead_ms: i64) -> Self {
        let config = Config::load(&dir.join("config/hotworkd.toml")).unwrap_or_else(|bad| panic!("{bad}"));
        let clock = Arc::new(ManualClock::new(SystemClock::new().now().unwrap()));
        clock.advance_millis(ahead_ms);
        let app = App::build_on(config, None, Arc::clone(&clock) as _).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let (bound, broker) = (app.bound.clone(), Arc::clone(&app.broker));
        tokio::spawn(server::serve(app.listeners, app.broker, server::Settings::default(), stopped));
        Self { bound, broker, clock, _stop: stop }
    }

    /// `hotwork` as agent and operator of it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotwork"));
        command.args(arguments).stdin(Stdio::null());
        command.env("HOTWORK_ADMIN_ENDPOINT", format!("unix://{}", self.bound.admin.display()));
        command.env("HOTWORK_ENDPOINT", format!("unix://{}", self.bound.agent.display()));
        command
    }

    /// What is to be signed. By the API, because `hotwork` finds that its own clock is another one.
    pub async fn prepare(&self, asks: Asks) -> PrepareResponse {
        let channel = channel(self.bound.admin.to_str().unwrap()).await;
        let message = PrepareRequest { asks: Some(asks) };
        BreakGlassServiceClient::new(channel).prepare(message).await.unwrap().into_inner()
    }

    pub fn hotwork(&self, arguments: &[&str]) -> String {
        text(&self.command(arguments).output().unwrap())
    }

    /// The exit code, and the answer or failure.
    pub fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.command(&[arguments, &["-o", "json"]].concat()).output().unwrap();
        let answer = serde_json::from_slice(&output.stdout);
        (code(&output), answer.unwrap_or_else(|error| panic!("{error}: {}", text(&output))))
    }
}
