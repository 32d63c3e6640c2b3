//! The offline audit: a copied directory and the log's public key, nothing else.
//!
//! Every checksum, every entry's form and order, the tree over all of them, and every signed checkpoint.
//! What an editor can't mend without the key is the root under a signature; what a truncation leaves
//! behind is a log that is whole but short, so that takes a checkpoint somebody else has kept.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::journal::group::{Group, RECORD_HEAD_BYTES, RECORDS_BYTES_MAX};
use super::journal::recovery::{Damage, list};
use super::journal::segment::{self, SegmentHeader};
use super::open::is_signed;
use crate::domain::digest::Digest;
use crate::domain::entry::Entry;
use crate::domain::limits::JOURNAL_SEGMENT_BYTES_MAX;
use crate::domain::merkle::{Frontier, leaf_hash};
use crate::domain::note::{Checkpoint, VerifierKey};
use crate::domain::time::Timestamp;

/// What an audit found when nothing was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Entries.
    pub entries: u64,
    /// Groups, each with its checkpoint.
    pub groups: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The tree's root.
    pub root: Digest,
    /// The newest checkpoint; empty for an empty log.
    pub checkpoint: String,
    /// Whether a witnessed checkpoint was given and holds.
    pub witnessed: bool,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries so far.
    pub entries: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// Why an audit did not pass.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log is not as it was written.
    #[error("the log is damaged: {0}")]
    Damaged(Damage),
    /// It can't be read.
    #[error("the log can't be read: `{path}`")]
    Io {
        /// What can't.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The witnessed checkpoint is not one of this log's key.
    #[error("the witnessed checkpoint is not signed by the log's key")]
    Witness,
}

/// Audits the log in `directory`: the ledger's data directory or its `journal`. `witnessed` is a
/// checkpoint that was kept elsewhere: the log must contain what it covers.
///
/// # Errors
/// [`AuditError`]; damage is named by segment, byte and entry. The first one ends the audit.
pub fn directory(
    directory: &Path,
    key: &VerifierKey,
    witnessed: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditError> {
    let nested = directory.join("journal");
    let directory = if nested.is_dir() { nested.as_path() } else { directory };
    let names = list(directory).map_err(|source| io_error(directory, source))?;
    let witness = witnessed.map(|note| parse_witnessed(note, key).ok_or(AuditError::Witness)).transpose()?;
    let bytes_total = names.iter().map(|first| length(&directory.join(segment::name(*first)))).sum();
    let mut audit = Audit::new(key, witness, bytes_total);
    let mut buffer = Vec::new();
    for first in names {
        let path = directory.join(segment::name(first));
        read(&path, &mut buffer).map_err(|source| io_error(&path, source))?;
        audit.segment(first, &buffer, progress)?;
    }
    audit.end()
}

struct Audit<'a> {
    key: &'a VerifierKey,
    witness: Option<Checkpoint>,
    frontier: Frontier,
    sequence: u64,
    time: Timestamp,
    note: String,
    segments: u64,
    last: (u64, u64),
    bytes_before: u64,
    bytes_total: u64,
    canonical: Vec<u8>,
}

impl<'a> Audit<'a> {
    fn new(key: &'a VerifierKey, witness: Option<Checkpoint>, bytes_total: u64) -> Self {
        Self {
            key,
            witness,
            frontier: Frontier::default(),
            sequence: 0,
            time: Timestamp::default(),
            note: String::new(),
            segments: 0,
            last: (0, 0),
            bytes_before: 0,
            bytes_total,
            canonical: Vec::new(),
        }
    }

    fn segment(
        &mut self,
        first: u64,
        bytes: &[u8],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), AuditError> {
        let bad = |entry: u64, what: String| Err(damaged(first, 0, entry, what));
        let (header, mut at) = match SegmentHeader::parse(bytes) {
            Ok(parsed) => parsed,
            Err(flaw) => return bad(self.frontier.size(), format!("segment header: {flaw}")),
        };
        let follows = header.frontier == self.frontier && header.sequence == self.sequence;
        if !follows || first != self.frontier.size() {
            let what = "the segment does not follow the one before: entries are missing or changed";
            return bad(self.frontier.size(), what.to_owned());
        }
        self.segments += 1;
        while at < bytes.len() {
            at += self.group(first, at, bytes.get(at..).unwrap_or_default())?;
            let bytes = self.bytes_before.saturating_add(wide(at));
            progress(Progress { entries: self.frontier.size(), bytes, bytes_total: self.bytes_total });
        }
        self.last = (first, wide(at));
        self.bytes_before = self.bytes_before.saturating_add(wide(bytes.len()));
        Ok(())
    }

    /// Checks the group at the start of `bytes`, which is at `at` in the segment; gives its length.
    fn group(&mut self, segment: u64, at: usize, bytes: &[u8]) -> Result<usize, AuditError> {
        let size = self.frontier.size();
        let group = Group::parse(bytes).map_err(|bad| {
            let entry = size.saturating_add(u64::from(bad.record));
            damaged(segment, at + bad.at, entry, format!("group {}: {}", self.sequence, bad.flaw))
        })?;
        let header = group.header;
        if header.sequence != self.sequence || header.first != size || header.time < self.time {
            return Err(damaged(segment, at, size, "the group is out of order".to_owned()));
        }
        self.time = header.time;
        for (offset, json) in group.entries() {
            let at = at + usize::try_from(offset).unwrap_or_default() + RECORD_HEAD_BYTES;
            self.entry(segment, at, json)?;
        }
        let checkpoint = parse_checkpoint(group.note, self.key);
        let holds = checkpoint.is_some_and(|checkpoint| {
            checkpoint.size == self.frontier.size() && checkpoint.root == self.frontier.root()
        });
        if !holds {
            let what =
                format!("group {}: the log's key signed no checkpoint for these entries", self.sequence);
            return Err(damaged(segment, at, size, what));
        }
        group.note.clone_into(&mut self.note);
        self.sequence = self.sequence.saturating_add(1);
        Ok(header.total_bytes())
    }

    fn entry(&mut self, segment: u64, at: usize, json: &[u8]) -> Result<(), AuditError> {
        let index = self.frontier.size();
        let entry = Entry::from_json(json).map_err(|error| {
            let cause =
                std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            damaged(segment, at, index, format!("{error}{cause}"))
        })?;
        self.canonical.clear();
        let written = entry.append_canonical_json(&mut self.canonical);
        if written.is_err() || self.canonical != json {
            let same = self.canonical.iter().zip(json).take_while(|(a, b)| a == b).count();
            return Err(damaged(segment, at + same, index, "the entry is not canonical JSON".to_owned()));
        }
        if entry.time != self.time {
            return Err(damaged(segment, at, index, "the entry's time is not its group's".to_owned()));
        }
        self.frontier.push(leaf_hash(json));
        let witness = self.witness.as_ref().filter(|witness| witness.size == self.frontier.size());
        if witness.is_some_and(|witness| witness.root != self.frontier.root()) {
            let what = "the entries up to here are not those of the witnessed checkpoint";
            return Err(damaged(segment, at, index, what.to_owned()));
        }
        Ok(())
    }

    fn end(self) -> Result<Report, AuditError> {
        let entries = self.frontier.size();
        if let Some(witness) = self.witness.as_ref().filter(|witness| witness.size > entries) {
            let (segment, offset) = self.last;
            let what = format!("truncated: the witnessed checkpoint has {} entries", witness.size);
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            return Err(damaged(segment, offset, entries, what));
        }
        Ok(Report {
            entries,
            groups: self.sequence,
            segments: self.segments,
            bytes: self.bytes_before,
            root: self.frontier.root(),
            checkpoint: self.note,
            witnessed: self.witness.is_some(),
        })
    }
}

fn parse_checkpoint(note: &str, key: &VerifierKey) -> Option<Checkpoint> {
    let (checkpoint, signature) = Checkpoint::parse(note, key).ok()?;
    // One spelling: bytes after the signature line, or another signer's, were not written by us.
    let written = checkpoint.signed(key, &signature) == note;
    (written && is_signed(key, checkpoint.body().as_bytes(), &signature)).then_some(checkpoint)
}

/// As [`parse_checkpoint`], but witnesses may have added their own signatures.
fn parse_witnessed(note: &str, key: &VerifierKey) -> Option<Checkpoint> {
    let (checkpoint, signature) = Checkpoint::parse(note, key).ok()?;
    is_signed(key, checkpoint.body().as_bytes(), &signature).then_some(checkpoint)
}

fn read(path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let bound = JOURNAL_SEGMENT_BYTES_MAX.saturating_add(2 * wide(RECORDS_BYTES_MAX));
    if file.metadata()?.len() > bound {
        return Err(io::Error::other("the segment is larger than any that is written"));
    }
    buffer.clear();
    file.read_to_end(buffer)?;
    Ok(())
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |about| about.len())
}

fn wide(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

fn damaged(segment: u64, at: usize, entry: u64, what: String) -> AuditError {
    AuditError::Damaged(Damage { segment: segment::name(segment), offset: wide(at), entry, what })
}

fn io_error(path: &Path, source: io::Error) -> AuditError {
    AuditError::Io { path: path.to_owned(), source }
}
