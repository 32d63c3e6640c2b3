//! The registry at a start: its files, or what the log says was loaded last.
//!
//! Break-glass must work when `config/` is broken, and an edit that nobody loaded must not change who signs and what
//! a playbook gives. So files that can't be loaded now are passed over for the sealed copy of the last load in the
//! log, which is an emergency. Without such a copy nothing starts.

use crate::broker::{Fresh, Loader, Rules};
use crate::config::{self, Config};
use crate::domain::digest::Digest;
use crate::domain::emergency::Cause;
use crate::domain::note::VerifierKey;
use crate::domain::wording::causes;
use crate::signer::sealed;
use crate::store::Ledger;

use super::Failure;
use super::build::today;

/// A load that can't be sealed takes no effect, at a start as little as later.
const CHANGED: &str = "the registry's files are not those of the last load, and no load can be sealed while the \
                       store takes no writes";
const NEXT: &str = "mend the registry's files; `hotworkd check --config FILE` shows every problem. If they are lost, \
                    restore them, or the state directory's `sealed/` of the backup that its `journal/` is from";

/// What requests are decided on from the start, and what could not be had for it.
pub(super) struct Loaded {
    pub(super) fresh: Fresh,
    pub(super) cause: Option<Cause>,
    /// Whether the log's last load is of just this: then it is in force by a record, whatever becomes of the next.
    pub(super) recorded: bool,
}

/// Loads the registry for a start on this ledger. Blocking.
///
/// # Errors
/// When neither the files nor the sealed copy can be used. What is wrong with each is in it.
pub(super) fn load(
    config: &Config,
    loader: &Loader,
    ledger: &Ledger,
    key: &VerifierKey,
) -> Result<Loaded, Failure> {
    let problems = match loader() {
        Ok(fresh) => {
            let recorded = is_recorded(&fresh, ledger)?;
            if recorded || !ledger.is_emergency() {
                return Ok(Loaded { fresh, cause: None, recorded });
            }
            CHANGED.to_owned()
        }
        Err(problems) => problems.join("\n"),
    };
    // Whoever tries things has the files at hand, and wants to read what is wrong with them.
    if config.dev {
        return Err(Failure::new(problems));
    }
    let fresh = from_copy(config, ledger, key)
        .map_err(|why| Failure::new(format!("{problems}\nno emergency start: {why}")).next(NEXT))?;
    tracing::error!(
        problems,
        registry = %fresh.rules.registry.digest(),
        "EMERGENCY START: the registry can't be loaded, the last good one is in force"
    );
    Ok(Loaded { fresh, cause: Some(Cause::Registry), recorded: true })
}

/// Whether the log says that this was loaded last.
fn is_recorded(fresh: &Fresh, ledger: &Ledger) -> Result<bool, Failure> {
    let recorded = recorded(ledger).map_err(Failure::new)?;
    Ok(recorded == Some(fresh.files.digest()))
}

fn recorded(ledger: &Ledger) -> Result<Option<Digest>, String> {
    ledger.reader().last_load().map_err(|error| causes(&error))
}

/// What the sealed copy of the log's last load gives.
fn from_copy(config: &Config, ledger: &Ledger, key: &VerifierKey) -> Result<Fresh, String> {
    // Whoever can write the state directory can put an older copy there: the log knows which was the last.
    let recorded = recorded(ledger)?.ok_or("no registry was loaded here yet")?;
    let copy = sealed::open(&config.state_dir, key, Some(recorded));
    let copy = copy.map_err(|error| causes(&error))?;
    let today = today().map_err(|failure| failure.message)?;
    let loaded = config::registry::load_sealed(&copy.files, &config.trust_domain, &config.issuer, today);
    let loaded = loaded.map_err(|problems| format!("the sealed copy can't be loaded:\n{problems}"))?;
    // A last load is not refused for a destination that has gone since: the others are told. In an emergency no agent gets
    // a certificate of its identity.
    for problem in loaded.misfits(&config.notifiers, &config.edge.names()) {
        tracing::error!(%problem, "the last load does not fit the daemon's file");
    }
    Ok(fresh(loaded))
}

/// What is loaded, as the broker takes it.
pub(super) fn fresh(loaded: config::registry::Loaded) -> Fresh {
    let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
    let rules = Rules { registry: loaded.registry, policies: loaded.policies, warnings };
    Fresh { rules, files: loaded.files }
}
