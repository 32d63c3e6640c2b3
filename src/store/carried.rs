//! What is carried forward of the entries before a segment: the few that still matter, so that an emergency start reads
//! from that segment on and is as fast behind ten million entries as behind ten.
//!
//! Entries that are older than the longest life of a credential bear on nothing, but for ends that are for good, locks,
//! certificates and steps of break-glass (`store/replay.rs`). The index knows them; but in an emergency it can't be
//! opened where it is, and making it anew, or copying it, takes as long as the log. So an ordinary day writes them into one
//! file, as entries, signed with the log's key. Without it, or when it does not fit, everything is read.

mod form;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::index::record::{Record, RecordKind};
use super::journal::recovery::Found;
use super::ledger::Shared;
use super::reader::ReadError;
use super::replay::window_start;
use crate::domain::digest::Digest;
use crate::domain::entry::{Entry, Event};
use crate::domain::limits::CARRIED_BYTES_MAX;
use crate::domain::merkle::leaf_hash;
use crate::domain::note::VerifierKey;
use crate::domain::revocation::forget_time;
use crate::domain::signer::Signer;
use crate::domain::time::Timestamp;

/// Its name below the state directory.
const FILE: &str = "carried";

/// The segment that is gone on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Its first entry; those before are what is carried.
    pub(super) first: u64,
    /// The root of the tree before it: of this log and of no other.
    pub(super) root: Digest,
    /// How many entries there were when that was written. What they lift or end is lifted or ended in what is carried.
    pub(super) size: u64,
    /// The leaf of the last of them.
    pub(super) leaf: Digest,
}

/// Why an entry is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parts(u8);

impl Parts {
    /// It ended something for good.
    const MARK: Self = Self(1);
    /// Its lock is in force.
    const LOCK: Self = Self(2);
    /// The state is made of it until a time.
    const KEPT: Self = Self(4);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One entry that still matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matters {
    parts: Parts,
    /// Its canonical JSON.
    pub(super) json: Vec<u8>,
}

impl Matters {
    /// Whether it is carried for this record of it: a lock that was lifted is not put back by what else its entry says.
    pub(super) fn is_for(&self, record: &Record) -> bool {
        match record.kind {
            RecordKind::Enroll => self.parts.has(Parts::KEPT),
            RecordKind::Lock => self.parts.has(Parts::LOCK),
            RecordKind::Mark | RecordKind::MarkScoped => self.parts.has(Parts::MARK),
            RecordKind::Deny
            | RecordKind::End
            | RecordKind::Issue
            | RecordKind::Load
            | RecordKind::Unlock => false,
        }
    }
}

/// What is carried forward; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) start: Option<Start>,
    /// The log index, plus 1, of the newest entry that ended anything.
    pub(super) epoch: u64,
    /// The newest load of the registry, and the registry's digest.
    pub(super) loaded: Option<(u64, Digest)>,
    /// When each agent was last given a credential.
    pub(super) last_issue: HashMap<String, Timestamp>,
    /// By their indexes.
    pub(super) entries: BTreeMap<u64, Matters>,
}

impl Carried {
    /// What `shared` has now, before the last segment that is older than anything that matters by itself.
    fn of(shared: &Shared) -> Result<Self, ReadError> {
        let newest = shared.head.load().time;
        let begun = shared.positions.begun_before(window_start(newest))?;
        let Some(header) = begun.filter(|header| header.frontier.size() > 0) else {
            return Ok(Self::default());
        };
        let first = header.frontier.size();
        let index = &shared.index;
        let mut carried = Self {
            start: None,
            epoch: index.epoch()?,
            loaded: shared.last_load()?,
            last_issue: shared.last_issue.read().unwrap_or_else(PoisonError::into_inner).clone(),
            entries: BTreeMap::new(),
        };
        let mut bytes = 0;
        let parts = [
            (Parts::MARK, index.marks_for_good(first)?),
            (Parts::LOCK, index.locks_in_force(first, newest)?),
            (Parts::KEPT, index.enrollments(first, newest)?),
        ];
        for (part, indexes) in parts {
            for at in indexes {
                bytes += carried.add(shared, part, at, newest)?;
                if bytes > CARRIED_BYTES_MAX {
                    return Err(form::too_large().into());
                }
            }
        }
        // After the last look at the index, so that whatever it said follows from these entries.
        let size = shared.durable.load(Ordering::Acquire);
        let last = size.saturating_sub(1);
        let leaf = leaf_hash(&shared.positions.entry(last)?.ok_or(ReadError::Mismatch(last))?);
        carried.start = Some(Start { first, root: header.frontier.root(), size, leaf });
        Ok(carried)
    }

    /// Whether the log that was `found` has all entries that there were when this was carried forward: one that was cut
    /// back, or went on otherwise, may have neither lifted nor ended what they did.
    pub(super) fn fits(&self, found: &Found) -> bool {
        let Some(start) = self.start else { return true };
        let last = start.size.checked_sub(1).filter(|last| *last < found.size);
        let json = last.and_then(|last| found.positions.entry(last).ok().flatten());
        json.is_some_and(|json| leaf_hash(&json) == start.leaf)
    }

    /// Adds the entry; gives its bytes.
    fn add(&mut self, shared: &Shared, part: Parts, at: u64, newest: Timestamp) -> Result<usize, ReadError> {
        if let Some(known) = self.entries.get_mut(&at) {
            known.parts = known.parts.and(part);
            return Ok(0);
        }
        let json = shared.positions.entry(at)?.ok_or(ReadError::Mismatch(at))?;
        if part == Parts::MARK && is_forgotten(&json, at, newest)? {
            return Ok(0);
        }
        let bytes = json.len();
        self.entries.insert(at, Matters { parts: part, json });
        Ok(bytes)
    }

    /// The first entry that is not carried.
    pub(super) fn first(&self) -> u64 {
        self.start.map_or(0, |start| start.first)
    }

    /// What a good day carried forward below `root`. Nothing when there is no file, or none that the log's key signed:
    /// then everything is read.
    pub(super) fn read(root: &Path, key: &VerifierKey) -> Self {
        match form::read(&root.join(FILE), key) {
            Ok(carried) => carried,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                tracing::warn!(%error, "what was carried forward of the log can't be used: all of it is read");
                Self::default()
            }
        }
    }
}

/// Whether an end for good covers nothing any more that is or can be minted.
fn is_forgotten(json: &[u8], index: u64, newest: Timestamp) -> Result<bool, ReadError> {
    let entry = Entry::from_json(json).map_err(|source| ReadError::Entry { index, source })?;
    let Event::Revoke(revoked) = &entry.event else { return Err(ReadError::Mismatch(index)) };
    let until = revoked.until(entry.time);
    Ok(forget_time(&revoked.selector, until, entry.time).is_some_and(|forget| forget <= newest))
}

/// Carries forward, now and then, on ordinary days.
pub(super) struct Carrier {
    path: PathBuf,
    signer: Arc<dyn Signer>,
    done: Mutex<Done>,
}

/// How far it was carried in this run.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    /// The first entry that the file in place does not carry.
    first: Option<u64>,
    /// The one before which all that still matters was looked at. More than a file may have is not looked at again.
    tried: Option<u64>,
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Carrier {
    /// Below `root`, signed with the log's key.
    pub(super) fn new(root: &Path, signer: Arc<dyn Signer>) -> Self {
        Self { path: root.join(FILE), signer, done: Mutex::default() }
    }

    /// Writes the file unless the one in place goes as far. Gives the first entry that is not carried, when there is
    /// one.
    ///
    /// # Errors
    /// [`ReadError`]; what was in place stays good.
    pub(super) fn carry(&self, shared: &Shared) -> Result<Option<u64>, ReadError> {
        // One at a time, and an index that has failed does not know what it lacks.
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.problem.load().is_some() {
            return Ok(None);
        }
        let newest = shared.head.load().time;
        let begun = shared.positions.begun_before(window_start(newest))?;
        let begun = begun.map(|header| header.frontier.size()).filter(|first| *first > 0);
        if begun.is_none() || begun == done.tried {
            return Ok(done.first);
        }
        let written = Carried::of(shared).and_then(|carried| {
            form::write(&self.path, &carried, &*self.signer)?;
            Ok(carried.start.map(|start| start.first))
        });
        match &written {
            Ok(first) => *done = Done { first: *first, tried: *first },
            Err(ReadError::Journal(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                done.tried = begun;
            }
            Err(_) => {}
        }
        written
    }
}
