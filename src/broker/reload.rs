//! Reload: registry and policies are read anew and swapped as a whole. A bad load changes nothing.

use std::sync::Arc;

use crate::domain::digest::Digest;
use crate::domain::entry::Load;
use crate::domain::ledger::Command;
use crate::domain::name::OperatorName;
use crate::domain::registry_files::RegistryFiles;
use crate::domain::wording::counted;
use crate::notify::Notice;
use crate::signer::sealed::{Prepared, SealedError};
use crate::store::LedgerError;

use super::{Broker, Fresh, Rules};

/// Reads registry and policies from where they are declared. `Err` holds every problem found, each with
/// file, line and key. Blocking; called off the async threads.
pub type Loader = Arc<dyn Fn() -> Result<Fresh, Vec<String>> + Send + Sync>;

/// What a reload did.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The digest now in force.
    pub registry: Digest,
    /// Whether it differs from the one before.
    pub changed: bool,
    /// What the load warned of.
    pub warnings: Vec<String>,
}

/// Why the rules in force stay.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailed {
    /// The files have these problems.
    #[error("the registry has {}; the one in force stays", counted(.0.len(), "problem", "problems"))]
    Bad(Vec<String>),
    /// The load did not end.
    #[error("the load was interrupted; the registry in force stays")]
    Interrupted,
    /// The load could not be recorded, so it does not take effect.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The copy for emergencies could not be made, so the load does not take effect.
    #[error(transparent)]
    Seal(#[from] SealedError),
}

impl Broker {
    /// Loads anew. The load is sealed and recorded before it takes effect. One reload runs at a time, so that the
    /// order in the log is the order in force.
    ///
    /// # Errors
    /// [`LoadFailed`]; then nothing has changed.
    pub async fn reload(self: &Arc<Self>, operator: Option<OperatorName>) -> Result<Loaded, LoadFailed> {
        let broker = Arc::clone(self);
        // A caller that goes away, on purpose or not, does not leave a load in the log that is not in force.
        let loaded = tokio::spawn(async move { broker.load(operator).await });
        loaded.await.map_err(|_| LoadFailed::Interrupted)?
    }

    async fn load(&self, operator: Option<OperatorName>) -> Result<Loaded, LoadFailed> {
        let _one_at_a_time = self.reloading.lock().await;
        let loader = Arc::clone(&self.loader);
        let loaded = tokio::task::spawn_blocking(move || loader()).await;
        let Fresh { rules, files } = loaded.map_err(|_| LoadFailed::Interrupted)?.map_err(|problems| {
            self.notifier.notify(&Notice::LoadFailed { problems: problems.len() });
            LoadFailed::Bad(problems)
        })?;
        let changed = rules.registry.digest() != self.rules.load().registry.digest();
        let result = Loaded { registry: rules.registry.digest(), changed, warnings: rules.warnings.clone() };
        let prepared = self.seal(files).await?;
        self.record_load(&rules, operator).await?;
        self.rules.store(Arc::new(rules));
        self.finish_seal(prepared).await;
        self.registry_is_good();
        Ok(result)
    }

    /// Seals and records the rules that are in force at the start, which came from `files`.
    ///
    /// # Errors
    /// When one of them can't be done.
    pub async fn record_first_load(&self, files: RegistryFiles) -> Result<(), LoadFailed> {
        let prepared = self.seal(files).await?;
        self.record_load(&self.rules(), None).await?;
        self.finish_seal(prepared).await;
        Ok(())
    }

    async fn seal(&self, files: RegistryFiles) -> Result<Prepared, LoadFailed> {
        let sealer = self.sealer.clone();
        let sealed = tokio::task::spawn_blocking(move || sealer.prepare(&files)).await;
        Ok(sealed.map_err(|_| LoadFailed::Interrupted)??)
    }

    /// The load is in the log, so it counts, whatever becomes of the copy's name.
    async fn finish_seal(&self, prepared: Prepared) {
        let sealer = self.sealer.clone();
        let done = tokio::task::spawn_blocking(move || sealer.commit(&prepared)).await;
        if let Ok(Err(error)) = done {
            tracing::error!(%error, "the sealed copy for emergencies keeps its old name");
        }
    }

    async fn record_load(&self, rules: &Rules, operator: Option<OperatorName>) -> Result<(), LedgerError> {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let load = Load {
            agents: count(rules.registry.agents().len()),
            operator,
            policies: count(rules.policies.len()),
            registry: rules.registry.digest(),
        };
        self.ledger.submit(Command::Load(load)).await.map(|_| ())
    }
}
