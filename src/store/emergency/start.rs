//! The emergency start of a ledger: the log is read where it is, and goes on elsewhere.
//!
//! How long it takes must not grow with the log: what was carried forward stands for the entries before a segment, and
//! those from there on are read. Without that, or when the index that is made of it is no good, all of them are.

use std::path::Path;
use std::sync::Arc;

use super::{EmergencyStore, Parsed, Shadow, continued, path, read};
use crate::domain::limits::JOURNAL_SEGMENT_BYTES_MAX;
use crate::domain::note::VerifierKey;
use crate::store::carried::Carried;
use crate::store::index::IndexError;
use crate::store::journal::{Journal, Positions};
use crate::store::ledger::Ledger;
use crate::store::lock::DirectoryLock;
use crate::store::open::{Assembly, OpenError, Options, Recovered, found, io_error, new_index, verifier_key};
use crate::store::replay::replay;

impl Ledger {
    /// Opens the ledger although its directory takes no writes: it is read, and goes on in the emergency journal
    /// that [`crate::store::prepare_emergency`] made. What others read of it is in `scratch`, a directory in memory.
    /// Only what [`Command::in_emergency`](crate::domain::ledger::Command::in_emergency) lets through is recorded;
    /// where the emergency journal can't be written either, nothing is. Records that are older than what was read
    /// ([`Self::read_from`]) are in the log and not found by their ids. Blocking.
    ///
    /// # Errors
    /// [`OpenError`]; a log that can't be read opens no emergency: what is revoked and locked would not be known.
    pub fn open_emergency(options: Options, scratch: &Path) -> Result<Self, OpenError> {
        let key = verifier_key(&options)?;
        let root = options.directory.as_path();
        let lock = DirectoryLock::take_as_it_is(root).map_err(|source| io_error(root, source))?;
        let lock = lock.ok_or_else(|| OpenError::Locked(root.to_owned()))?;
        let shadow = Shadow::of(root, scratch).map_err(|source| io_error(scratch, source))?;
        let carried = carried(root, shadow.path(), &key);
        let (mut from, mut read) = (carried.first(), prepared(root, &key, &shadow, &carried));
        if let (true, Err(error @ OpenError::Index(_))) = (from > 0, &read) {
            tracing::warn!(%error, "what was carried forward of the log is no good: all of it is read");
            (from, read) = (0, prepared(root, &key, &shadow, &Carried::default()));
        }
        let loaded = carried.loaded.filter(|_| from > 0);
        let (parsed, recovered) = read?;
        tracing::info!(from, size = recovered.found.size, "the log was read for an emergency");
        let directory = shadow.path().join("journal");
        let max = JOURNAL_SEGMENT_BYTES_MAX;
        let journal = Journal::open(&directory, &recovered.found, Arc::clone(&options.scratch), max);
        let journal = journal.map_err(|source| io_error(&directory, source))?;
        let positions = journal.positions();
        let area = options.medium.overwrite(&path(root));
        let (store, room) = EmergencyStore::begin(area, &parsed, &recovered.found, journal);
        let (store, tree_root) = (Box::new(store), shadow.path().to_owned());
        let emergency = Some((room, shadow));
        let (merged, read_from) = (None, from);
        Assembly { options, key, lock, recovered, positions, store, merged, read_from, loaded, emergency }
            .start(&tree_root)
    }
}

/// What was carried forward of this log; nothing when it is of another one, or of one that went on otherwise.
fn carried(root: &Path, shadow: &Path, key: &VerifierKey) -> Carried {
    let carried = Carried::read(root, key);
    let Some(start) = carried.start else { return carried };
    let header = Positions::new(shadow.join("journal")).header(start.first);
    let fits = header
        .is_ok_and(|header| header.frontier.size() == start.first && header.frontier.root() == start.root);
    if !fits {
        tracing::warn!(
            first = start.first,
            "what was carried forward is of another log: all of this one is read"
        );
        return Carried::default();
    }
    carried
}

/// What an earlier emergency wrote, and what the log is with it.
fn prepared(
    root: &Path,
    key: &VerifierKey,
    shadow: &Shadow,
    carried: &Carried,
) -> Result<(Parsed, Recovered), OpenError> {
    let parsed = continued(shadow.path(), read(root, key)?, carried.first())?;
    let index = new_index(&shadow.path().join("index"))?;
    let content = index.begin(carried).map_err(OpenError::Index)?;
    let found = found(shadow.path(), 0, carried.first(), key)?;
    if !carried.fits(&found) {
        tracing::warn!(
            size = found.size,
            "what was carried forward was written behind entries that this log has not"
        );
        return Err(OpenError::Index(IndexError::Gap(found.size)));
    }
    let (content, state) = replay(&found, &index, content, carried)?;
    Ok((parsed, Recovered { index, content, found, state }))
}
