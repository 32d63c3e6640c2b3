//! Serves until told to stop: signals, reload, sweep, drain.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::api;
use crate::api::server::ServeError;
use crate::broker::Broker;
use crate::config::{Config, LogFormat};
use crate::domain::emergency::Cause;
use crate::telemetry;

use super::build::{App, Bound};
use super::{Failure, descriptors, emergency, environment, last_good};

/// How often expired records leave the index.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// How long after the announcing broke it begins anew.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);

/// `hotworkd serve`. A file with problems is passed over for the last good one, in `state` when the file does not say
/// where; that is an emergency.
///
/// # Errors
/// A file with problems, all of them, when there was no good one; else as [`run`].
pub fn run_file(file: &Path, state: &Path) -> Result<(), Failure> {
    let problems = match Config::load(file) {
        Ok(config) => return run(Configured { file: Some(file.to_owned()), ..config.into() }, |_| {}),
        Err(problems) => problems.to_string(),
    };
    let Some(config) = last_good::load(file, state) else {
        let next = "next: mend the file; `hotworkd check` shows all problems";
        return Err(Failure::usage(format!("{problems}\n{next}")));
    };
    run(Configured { problems: Some(problems), ..config.into() }, |_| {})
}

/// What the daemon is started with.
pub struct Configured {
    /// The configuration.
    pub config: Config,
    /// Its file, to be kept for when it is broken.
    pub file: Option<PathBuf>,
    /// What is wrong with the file, when this is the last good one.
    pub problems: Option<String>,
}

impl From<Config> for Configured {
    fn from(config: Config) -> Self {
        Self { config, file: None, problems: None }
    }
}

/// Serves as configured, and calls `ready` when the listeners are bound.
///
/// # Errors
/// The first part that can't be made, or a listener that ended by itself.
pub fn run(configured: Configured, ready: impl FnOnce(&Bound)) -> Result<(), Failure> {
    let Configured { config, file, problems } = configured;
    let format = match config.log_format {
        LogFormat::Json => telemetry::Format::Json,
        LogFormat::Text => telemetry::Format::Pretty,
    };
    let wanted =
        telemetry::wants_color(std::env::var_os("NO_COLOR").as_deref(), std::env::var_os("TERM").as_deref());
    let colours = wanted && std::io::stderr().is_terminal();
    telemetry::init(format, config.log_level.as_str(), colours)
        .map_err(|error| Failure::usage(format!("log: {error}")))?;
    descriptors::raise();
    // Attestation has CAP_SYS_PTRACE as an ambient capability, which programs that are told would inherit. Threads
    // that come after this have none.
    if let Err(error) = rustix::thread::clear_ambient_capability_set() {
        tracing::warn!(%error, "ambient capabilities stay: a notifier's program would inherit them");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("can't start threads: {error}")))?;
    runtime.block_on(async {
        if let Some(problems) = &problems {
            tracing::error!(
                problems,
                "EMERGENCY START: the configuration is broken, the last good one is in force"
            );
        }
        let app = App::build(config, problems.map(|_| Cause::Config)).await?;
        if let (Some(file), None) = (file, app.broker.emergency()) {
            last_good::keep(&file, &app.config);
        }
        serve(app, ready).await
    })
}

async fn serve(app: App, ready: impl FnOnce(&Bound)) -> Result<(), Failure> {
    // Who is told that we are ready may stop us at once.
    let signals = Signals::listen()?;
    let (stop, stopped) = watch::channel(false);
    let mut served = tokio::spawn(api::server::serve(
        app.listeners,
        Arc::clone(&app.broker),
        api::server::Settings {
            reflection: app.config.reflection,
            resource_servers: app.config.publication.resource_servers(),
        },
        stopped,
    ));
    let announcing = tokio::spawn(keep_announcing(Arc::clone(&app.broker)));
    let written = environment::write(&app.config.state_dir, &app.bound)
        .map_err(|error| Failure::new(format!("{}/env: {error}", app.config.state_dir.display())));
    emergency::tolerate(&app.broker, written)?;
    ready(&app.bound);
    tell(&[NotifyState::Ready]);
    tracing::info!(
        agent = %app.bound.agent.display(),
        admin = %app.bound.admin.display(),
        agent_tcp = ?app.bound.edge.agent,
        verifier_tcp = ?app.bound.edge.verifier,
        admin_tcp = ?app.bound.edge.admin,
        "ready"
    );
    tokio::select! {
        () = signals.until_stopped(&app.broker) => {}
        // Nobody may take a daemon without its listeners for one that works.
        ended = &mut served => return Err(ended_early(ended)),
    }
    tell(&[NotifyState::Stopping]);
    // Readers of the file must not find a daemon that is going away.
    let _ = std::fs::remove_file(app.config.state_dir.join("env"));
    stop.send_replace(true);
    let ended = served.await;
    // What was not told yet is told after the next start.
    announcing.abort();
    match ended {
        Ok(Ok(())) => Ok(()),
        ended => Err(ended_early(ended)),
    }
}

/// Announces for as long as the daemon serves: should that break, it begins anew, so that break-glass is never silent.
async fn keep_announcing(broker: Arc<Broker>) {
    loop {
        // In a set, so that it ends with this task.
        let mut running = JoinSet::new();
        let broker = Arc::clone(&broker);
        running.spawn(async move { broker.announce().await });
        let ended = running.join_next().await;
        tracing::error!(?ended, "the announcing of notices ended; it begins anew");
        tokio::time::sleep(ANNOUNCE_AGAIN).await;
    }
}

fn ended_early(ended: Result<Result<(), ServeError>, JoinError>) -> Failure {
    match ended {
        Ok(Ok(())) => Failure::new("the listeners ended"),
        Ok(Err(error)) => Failure::new(format!("a listener ended: {error}")),
        Err(error) => Failure::new(format!("a listener broke: {error}")),
    }
}

/// The signals that the daemon listens to.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::new(format!("signals: {error}")));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Reloads on SIGHUP, sweeps now and then, and returns on SIGTERM or SIGINT.
    async fn until_stopped(mut self, broker: &Broker) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(broker).await,
                _ = sweep.tick() => sweep_once(broker).await,
            }
        }
    }
}

async fn reload(broker: &Broker) {
    tell(&[NotifyState::Reloading, NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Watchdog)]);
    match broker.reload(None).await {
        Ok(loaded) => {
            tracing::info!(registry = %loaded.registry, changed = loaded.changed, "registry loaded");
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
    if let Err(error) = broker.drop_ended_keys().await {
        tracing::error!(%error, "a token key that ended for good could not be erased");
    }
    match broker.drop_token_keys().await {
        Ok(kids) => kids.iter().for_each(|kid| tracing::info!(%kid, "a token key was dropped and erased")),
        Err(error) => tracing::error!(%error, "a token key could not be dropped"),
    }
}

/// Tells the service manager; without one it does nothing (`sd_notify(3)`).
fn tell(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
}
