//! Serves until told to stop: signals, reload, sweep, drain. A ledger that has stopped is started anew.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::api;
use crate::api::server::ServeError;
use crate::broker::Broker;
use crate::clock::SystemClock;
use crate::config::{Config, LogFormat};
use crate::domain::clock::Clock;
use crate::domain::emergency::Cause;
use crate::telemetry;

use super::build::{App, Bound};
use super::signals::{Signals, Wanted};
use super::{Failure, descriptors, emergency, environment, last_good};

/// How often it is looked whether what break-glass shuts is shut.
const RESTRICT_EVERY: Duration = Duration::from_secs(10);

/// How often expired records leave the index.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// How often the ledger is asked whether it has stopped.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// From a ledger that has stopped to a new start: so long the notice of it, which is in no log, has at least.
const RESTART_PAUSE: Duration = Duration::from_secs(2);
/// The longest such pause.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);
/// A ledger that took writes for so long stops for another reason than the last one.
const CALM: Duration = Duration::from_secs(3_600);
/// What may still run, such as a read of the disk, has so long to let go of the ledger.
const LET_GO_MAX: Duration = Duration::from_secs(10);

/// How long after the announcing broke it begins anew.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);

/// `hotworkd serve`. A file with problems is passed over for the last good one, in `state` when the file does not say
/// where; that is an emergency. `accept_clock`: somebody has looked at the clock.
///
/// # Errors
/// A file with problems, all of them, when there was no good one; else as [`run`].
pub fn run_file(file: &Path, state: &Path, accept_clock: bool) -> Result<(), Failure> {
    let problems = match Config::load(file) {
        Ok(config) => {
            let config = Config { accept_clock, ..config };
            return run(&Configured { file: Some(file.to_owned()), ..config.into() }, |_| {});
        }
        Err(problems) => problems.to_string(),
    };
    let Some(config) = last_good::load(file, state) else {
        let next = "next: mend the file; `hotworkd check` shows all problems";
        return Err(Failure::usage(format!("{problems}\n{next}")));
    };
    let config = Config { accept_clock, ..config };
    run(&Configured { problems: Some(problems), ..config.into() }, |_| {})
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

/// Serves as configured, and calls `ready` when the listeners are bound. Once the ledger has stopped, everything is
/// made anew, as a restart would (`docs/decisions/0027`): where the store takes no writes that is an emergency.
///
/// # Errors
/// The first part that can't be made, or a listener that ended by itself.
pub fn run(configured: &Configured, ready: impl FnOnce(&Bound)) -> Result<(), Failure> {
    prepare(&configured.config)?;
    let (mut ready, mut signals) = (Some(ready), None);
    let mut this = Start::first(configured.config.clone());
    loop {
        let begun = Instant::now();
        let once = |bound: &Bound| {
            if let Some(ready) = ready.take() {
                ready(bound);
            }
        };
        match start(configured, &this, &mut signals, once)? {
            Ended::LedgerStopped => this = this.next(begun.elapsed()),
            Ended::Told => return Ok(()),
        }
    }
}

/// One of the starts of a process.
struct Start {
    config: Config,
    /// Watched from the first start on: one that jumped is not believed because the ledger had to be opened again.
    clock: Arc<dyn Clock>,
    /// From a ledger that stops to the next start.
    pause: Duration,
}

impl Start {
    fn first(config: Config) -> Self {
        Self { config, clock: Arc::new(SystemClock::new()), pause: RESTART_PAUSE }
    }

    /// The one after this one, which `served` for so long. Somebody looked at the clock before the first one only.
    fn next(self, served: Duration) -> Self {
        let config = Config { accept_clock: false, ..self.config };
        Self { config, pause: next_pause(self.pause, served), ..self }
    }
}

/// What is set once for the process: the log, its descriptors, its capabilities.
fn prepare(config: &Config) -> Result<(), Failure> {
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
    Ok(())
}

/// Why serving ended.
enum Ended {
    /// The ledger takes nothing more.
    LedgerStopped,
    /// Somebody said so.
    Told,
}

/// A listener of the network in the log.
fn listens(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "off".to_owned(), |address| address.to_string())
}

/// Makes everything, and serves until something ends it. `signals` are those of an earlier start: they end this one in the
/// middle, too.
fn start(
    configured: &Configured,
    this: &Start,
    signals: &mut Option<Signals>,
    ready: impl FnOnce(&Bound),
) -> Result<Ended, Failure> {
    let Configured { file, problems, config: _ } = configured;
    let Start { config, clock, pause } = this;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("can't start threads: {error}")))?;
    let ended = runtime.block_on(async {
        if let Some(problems) = problems {
            tracing::error!(
                problems,
                "EMERGENCY START: the configuration is broken, the last good one is in force"
            );
        }
        let broken = problems.as_ref().map(|_| Cause::Config);
        let building = App::build_on(config.clone(), broken, Arc::clone(clock));
        let (app, signals) = match signals {
            None => {
                let app = building.await?;
                // Who is told that we are ready may stop us at once.
                (app, signals.insert(Signals::listen()?))
            }
            Some(signals) => {
                // In a task, because much of it blocks.
                let building = tokio::spawn(building);
                let mut told = signals.clone();
                tokio::select! {
                    biased;
                    () = told.stopped() => return Ok(Ended::Told),
                    built = building => (built.map_err(|error| Failure::new(error.to_string()))??, signals),
                }
            }
        };
        if let (Some(file), None) = (file, app.broker.emergency()) {
            last_good::keep(file, &app.config);
        }
        serve(app, *pause, signals, ready).await
    });
    // What still runs holds the ledger, whose directory takes no second one.
    runtime.shutdown_timeout(LET_GO_MAX);
    ended
}

/// Twice the last one while ledgers stop soon after their start, so that a disk that is full now and then makes no
/// storm of starts and notices.
fn next_pause(last: Duration, served: Duration) -> Duration {
    if served > CALM { RESTART_PAUSE } else { last.saturating_mul(2).min(RESTART_PAUSE_MAX) }
}

/// Ends when the ledger has stopped, and whoever is told of that had a moment to be. In an emergency there is no
/// further place to record in: what was revoked is told, until an operator has mended the disk.
async fn until_ledger_stops(broker: &Broker, pause: Duration) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        if !broker.ledger().is_emergency() && broker.ledger().status().problem.is_some() {
            break;
        }
    }
    tracing::error!(?pause, "the ledger has stopped: everything is started anew");
    tokio::time::sleep(pause).await;
}

async fn serve(
    app: App,
    pause: Duration,
    signals: &mut Signals,
    ready: impl FnOnce(&Bound),
) -> Result<Ended, Failure> {
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
        agent_tcp = listens(app.bound.edge.agent),
        verifier_tcp = listens(app.bound.edge.verifier),
        admin_tcp = listens(app.bound.edge.admin),
        "ready"
    );
    let why = tokio::select! {
        () = until_stopped(signals, &app.broker) => Ended::Told,
        () = until_ledger_stops(&app.broker, pause) => Ended::LedgerStopped,
        // Nobody may take a daemon without its listeners for one that works.
        ended = &mut served => return Err(ended_early(ended)),
    };
    match why {
        Ended::LedgerStopped => tell(&[NotifyState::Status("the ledger has stopped: starting anew")]),
        Ended::Told => tell(&[NotifyState::Stopping]),
    }
    // Readers of the file must not find a daemon that is going away.
    let _ = std::fs::remove_file(app.config.state_dir.join("env"));
    stop.send_replace(true);
    let ended = served.await;
    // What was not told yet is told after the next start.
    announcing.abort();
    match ended {
        Ok(Ok(())) => Ok(why),
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

/// Reloads when it is told to, sweeps now and then, and returns when it is told to stop.
async fn until_stopped(signals: &mut Signals, broker: &Arc<Broker>) {
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    let mut restrict = tokio::time::interval(RESTRICT_EVERY);
    restrict.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Beside the loop: whoever keeps the ledger's queue full must not keep a signal out.
    let mut finishing = JoinSet::new();
    loop {
        tokio::select! {
            wanted = signals.next() => match wanted {
                Wanted::Reload => reload(broker).await,
                Wanted::Stop => return,
            },
            _ = restrict.tick(), if finishing.is_empty() => {
                let broker = Arc::clone(broker);
                finishing.spawn(async move { broker.finish_restrictions().await });
            }
            Some(_) = finishing.join_next(), if !finishing.is_empty() => {}
            _ = sweep.tick() => sweep_once(broker).await,
        }
    }
}

async fn reload(broker: &Arc<Broker>) {
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

#[cfg(test)]
mod tests;
