//! The emergency start: a broker that can't have its store starts all the same, to refuse what is ordinary, to go on
//! telling what was revoked, and for break-glass.
//!
//! It is automatic and loud: an error in the log, a notice, `status`, `/readyz`, a metric. A log that is damaged or can't be
//! read starts nothing, because what was revoked and locked would not be known.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::domain::emergency::Cause;
use crate::domain::entry::Start;
use crate::domain::ledger::Command;
use crate::domain::limits::STORE_PROBE_BYTES;
use crate::domain::wording::causes;
use crate::signer::minter::Minter;
use crate::store::{Ledger, LedgerError, OpenError, Options, prepare_emergency, sweep_emergencies};

use super::Failure;
use super::build::VERSION;

/// Where there is room in memory, on most systems. Every local process can fill the first.
const MEMORY: [&str; 2] = ["/run", "/dev/shm"];

/// A ledger that has recorded this start, and what could not be had for it.
pub(super) struct Opened {
    pub(super) ledger: Ledger,
    pub(super) cause: Option<Cause>,
}

/// Opens the ledger; where its directory takes no writes, in an emergency.
pub(super) async fn open(
    config: &Config,
    minter: &Minter,
    clock: &Arc<dyn Clock>,
) -> Result<Opened, Failure> {
    let memories = memories(config);
    memories.iter().for_each(|memory| sweep_emergencies(memory));
    let problem = match ordinary(config, minter, clock).await? {
        Ok(ledger) => return Ok(Opened { ledger, cause: None }),
        Err(problem) => problem,
    };
    tracing::error!(problem, "EMERGENCY START: the store takes no writes");
    let ledger =
        in_memory(&memories, |memory| Ledger::open_emergency(options(config, minter, clock), memory))
            .map_err(|why| Failure::new(format!("{problem}\nno emergency start: {why}")))?;
    match record_start(config, &ledger).await {
        // There is no room beside what an emergency is for, or the emergency journal can't be written either: what
        // was revoked can be told all the same. The log of the daemon has it.
        Ok(()) | Err(LedgerError::EmergencyFull | LedgerError::Stopped(_)) => {
            Ok(Opened { ledger, cause: Some(Cause::Store) })
        }
        Err(error) => Err(Failure::new(format!("{problem}\nno emergency start: ledger: {error}"))),
    }
}

/// A ledger as on every other day, with this start recorded; or why the store takes no writes.
async fn ordinary(
    config: &Config,
    minter: &Minter,
    clock: &Arc<dyn Clock>,
) -> Result<Result<Ledger, String>, Failure> {
    if let Err(error) = probe(&config.state_dir) {
        return Ok(Err(format!("{}: {error}", config.state_dir.display())));
    }
    let ledger = match Ledger::open(options(config, minter, clock)) {
        Ok(ledger) => ledger,
        Err(error @ (OpenError::Index(_) | OpenError::Io { .. })) => return Ok(Err(causes(&error))),
        Err(error @ (OpenError::Damaged(_) | OpenError::Key | OpenError::Locked(_))) => {
            return Err(Failure::caused("ledger", &error));
        }
    };
    match prepare_emergency(&config.state_dir) {
        Ok(_) => {}
        Err(error) => {
            tracing::error!(%error, "there is no emergency journal: no emergency start is possible");
        }
    }
    match record_start(config, &ledger).await {
        Ok(()) => Ok(Ok(ledger)),
        Err(error @ LedgerError::Stopped(_)) => Ok(Err(error.to_string())),
        Err(error) => Err(Failure::new(format!("ledger: {error}"))),
    }
}

async fn record_start(config: &Config, ledger: &Ledger) -> Result<(), LedgerError> {
    let start = Start { dev: config.dev, version: VERSION.to_owned() };
    ledger.submit(Command::Start(start)).await.map(|_| ())
}

fn options(config: &Config, minter: &Minter, clock: &Arc<dyn Clock>) -> Options {
    let origin = minter.verifier_key().name.clone();
    let mut options = Options::new(config.state_dir.clone(), origin, minter.log_signer(), Arc::clone(clock));
    options.accept_clock = config.accept_clock || config.dev;
    options.retention = Duration::from_secs(config.retention_seconds);
    options
}

/// Writes, syncs and removes what a day would write: a full, broken or read-only disk says so here, before
/// anything that matters is touched.
fn probe(state: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(state)?;
    let path = state.join(".probe");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&vec![0x5a; STORE_PROBE_BYTES])?;
        file.sync_data()
    };
    let written = write();
    // What is left of it must not be what fills the disk.
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

/// Directories for what readers need, best first: the daemon's own at runtime, which is beside its sockets and which
/// nobody else can fill or squat in, then those that most systems have in memory. None is on the disk that takes no
/// more.
fn memories(config: &Config) -> Vec<PathBuf> {
    let own =
        [&config.admin_socket.path, &config.agent_socket.path].into_iter().filter_map(|path| path.parent());
    let others = MEMORY.iter().map(Path::new);
    let device = |path: &Path| std::fs::metadata(path).map(|about| about.dev()).ok();
    let (full, temporary) = (device(&config.state_dir), std::env::temp_dir());
    let mut found: Vec<PathBuf> = Vec::new();
    for path in own.chain(others).chain([temporary.as_path()]) {
        let usable = rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
        if usable.is_ok() && device(path) != full && !found.iter().any(|one| one == path) {
            found.push(path.to_owned());
        }
    }
    found.sort_by_key(|path| !is_in_memory(path));
    // Better the same disk than none.
    if found.is_empty() { vec![temporary] } else { found }
}

/// Whether it is in memory, where the index of a large log is made anew in seconds.
fn is_in_memory(path: &Path) -> bool {
    // `TMPFS_MAGIC`, statfs(2).
    rustix::fs::statfs(path).is_ok_and(|about| about.f_type == 0x0102_1994)
}

/// The ledger in the first of these directories that has room for what readers need; else why not, of each.
fn in_memory(
    memories: &[PathBuf],
    open: impl Fn(&Path) -> Result<Ledger, OpenError>,
) -> Result<Ledger, String> {
    let mut problems = Vec::new();
    for memory in memories {
        match open(memory) {
            Ok(ledger) => return Ok(ledger),
            Err(error @ (OpenError::Index(_) | OpenError::Io { .. })) => {
                let problem = format!("ledger in {}: {}", memory.display(), causes(&error));
                tracing::warn!(problem, "no room for what readers need of the log");
                problems.push(problem);
            }
            Err(error @ (OpenError::Damaged(_) | OpenError::Key | OpenError::Locked(_))) => {
                return Err(format!("ledger: {}", causes(&error)));
            }
        }
    }
    Err(problems.join("\n"))
}

/// In an emergency, says what could not be done and goes on; else it fails.
pub(super) fn tolerate(broker: &Broker, done: Result<(), Failure>) -> Result<(), Failure> {
    match done {
        Err(failure) if broker.emergency().is_some() => {
            tracing::error!(problem = failure.message, "left undone in an emergency");
            Ok(())
        }
        done => done,
    }
}
