//! Serves until told to stop: signals, reload, sweep, drain.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api;
use crate::broker::Broker;
use crate::config::{Config, LogFormat};
use crate::telemetry;

use super::build::App;
use super::{Failure, environment};

/// How often expired records leave the index.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// `hotworkd serve`.
pub fn run_file(file: &Path) -> Result<(), Failure> {
    let config = Config::load(file).map_err(|problems| {
        Failure::usage(format!("{problems}\nnext: mend the file; `hotworkd check` shows all problems"))
    })?;
    run(config, |_| {})
}

/// Serves with `config`, and calls `ready` when the listeners are bound.
pub fn run(config: Config, ready: impl FnOnce(&App)) -> Result<(), Failure> {
    let format = match config.log_format {
        LogFormat::Json => telemetry::Format::Json,
        LogFormat::Text => telemetry::Format::Pretty,
    };
    let colours = std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal();
    telemetry::init(format, config.log_level.as_str(), colours)
        .map_err(|error| Failure::usage(format!("log: {error}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("can't start threads: {error}")))?;
    runtime.block_on(async {
        let app = App::build(config).await?;
        ready(&app);
        serve(app).await
    })
}

async fn serve(app: App) -> Result<(), Failure> {
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(api::server::serve(
        app.listeners,
        Arc::clone(&app.broker),
        api::server::Settings { reflection: app.config.reflection },
        stopped,
    ));
    environment::write(&app.config.state_dir, &app.bound)
        .map_err(|error| Failure::new(format!("{}/env: {error}", app.config.state_dir.display())))?;
    tell(&[NotifyState::Ready]);
    tracing::info!(agent = %app.bound.agent.display(), admin = %app.bound.admin.display(), "ready");
    let result = until_stopped(&app.broker).await;
    tell(&[NotifyState::Stopping]);
    // Readers of the file must not find a daemon that is going away.
    let _ = std::fs::remove_file(app.config.state_dir.join("env"));
    stop.send_replace(true);
    let served = served.await.map_err(|error| Failure::new(format!("a listener broke: {error}")))?;
    served.map_err(|error| Failure::new(format!("a listener ended: {error}")))?;
    result
}

/// Reloads on SIGHUP, sweeps now and then, and returns on SIGTERM or SIGINT.
async fn until_stopped(broker: &Arc<Broker>) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new(format!("signals: {error}")));
    let mut hangup = listen(SignalKind::hangup())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload(broker).await,
            _ = sweep.tick() => sweep_once(broker).await,
        }
    }
}

async fn reload(broker: &Broker) {
    tell(&[NotifyState::Reloading, NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Watchdog)]);
    match broker.reload(None).await {
        Ok(loaded) => {
            tracing::info!(registry = %loaded.registry, changed = loaded.changed, "registry loaded")
        }
        Err(error) => tracing::error!(%error, "registry not loaded"),
    }
    tell(&[NotifyState::Ready]);
}

async fn sweep_once(broker: &Broker) {
    match broker.sweep().await {
        Ok(0) => {}
        Ok(records) => tracing::info!(records, "expired records left the index"),
        Err(error) => tracing::warn!(%error, "sweep failed"),
    }
}

/// Tells the service manager; without one it does nothing (`sd_notify(3)`).
fn tell(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
}
